// WordPiece, the tokens of BERT (Wu et al. 2016; Devlin et al., NAACL 2019): words, and pieces of words that are written "##ing".
#pragma once
#include "engine/io/tokenizer.h"

namespace plumb {

/// A vocabulary as plain data.
struct WordPieceVocabulary {
  std::vector<std::string> tokens;               ///< by number; empty where a number is not used
  std::vector<std::pair<std::string, int32_t>> added;  ///< looked for in the text before anything else, and never split
  WordPieceOptions options;
};

/// The model behind Tokenizer::word_pieces. Throws ValueError for an empty vocabulary, one without the unknown token or with a token twice.
std::shared_ptr<const TokenizerModel> make_word_pieces(WordPieceVocabulary vocabulary);

/// The text as BERT sees it before splitting: white space as spaces, controls dropped, CJK characters set apart by spaces, accents removed
/// and letters lower case as `options` say. Bytes that are not UTF-8 are dropped.
std::string normalize_for_word_pieces(std::string_view text, const WordPieceOptions& options);

/// A vocabulary for training from scratch: [PAD], [UNK], [CLS], [SEP], [MASK], every character of `text` alone and as a continuation (so
/// that nothing is unknown), and the most frequent words that occur at least min_count times, `size` tokens in all (more where the
/// characters alone are more). Of equally frequent words the first in the alphabet comes first. Throws ValueError for an empty text.
std::vector<std::string> learn_words(std::string_view text, int64_t size, int64_t min_count = 1, const WordPieceOptions& options = {});

/// A sequence as BERT takes it.
struct MarkedTokens {
  std::vector<int32_t> tokens;  ///< [CLS] first [SEP], or [CLS] first [SEP] second [SEP]
  std::vector<int32_t> types;   ///< 0 up to the first [SEP], 1 behind it
};
/// `max_length` bounds the whole; what is too long loses tokens at the end, of a pair the longer text first. Throws ValueError if the
/// tokenizer has no [CLS] and [SEP], or max_length leaves no room for them.
MarkedTokens encode_marked(const Tokenizer& tokenizer, std::string_view text, int64_t max_length);
MarkedTokens encode_marked(const Tokenizer& tokenizer, std::string_view first, std::string_view second, int64_t max_length);

}  // namespace plumb
