// Byte-level byte-pair encoding: what a vocabulary consists of, how it is learnt, and the model that encodes with it.
#pragma once
#include <utility>

#include "engine/io/tokenizer.h"

namespace plumb {

/// A token that is looked for in the text before anything else, and never split.
struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool lstrip = false, rstrip = false;  ///< takes the white space on its left, on its right with it
  bool normalized = false;              ///< looked for only where no token without this was found
  bool special = true;                  ///< not part of ordinary text (kept for other readers of the file)
};

/// A vocabulary as plain data.
struct BytePairVocabulary {
  std::vector<std::string> tokens;                  ///< the bytes of each token, by number; empty where a number is not used
  std::vector<std::pair<int32_t, int32_t>> merges;  ///< the best first; the text of both together must be a token
  std::vector<AddedToken> added;                    ///< also in `tokens`
  std::optional<int32_t> unknown;                   ///< for bytes that are no token
  bool fuse_unknown = false;                        ///< one token for a run of them
  bool add_prefix_space = false;                    ///< text is encoded as if it began with a space
  bool ignore_merges = false;                       ///< a piece that is a token needs no merging
};

/// Behind Tokenizer::byte_pairs.
BytePairVocabulary learn_byte_pairs(std::string_view text, const BytePairOptions& options);
/// Throws ValueError if a merge refers to no token or makes none.
std::shared_ptr<const TokenizerModel> make_byte_pairs(BytePairVocabulary vocabulary);

/// The end of the piece of text[begin…] that starts at `begin` by GPT-2's pattern: a contraction ('s 't 're 've 'm 'll 'd); letters,
/// numbers, or other characters, each with at most one space before; white space, of which the last character is left to what follows.
/// Bytes that are not UTF-8 count as other characters.
size_t next_piece(std::string_view text, size_t begin);

/// GPT-2's printable names of bytes: byte b is written as the code point byte_alphabet(b), which is b itself for printable Latin-1.
uint32_t byte_alphabet(uint8_t byte);
/// "Ġthe" for " the".
std::string to_byte_alphabet(std::string_view bytes);
/// Back; nothing if a character is not in the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace plumb
