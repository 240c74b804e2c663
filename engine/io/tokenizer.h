// Text to token numbers and back: bytes, characters, byte-level byte pairs, or word pieces.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plumb {

/// What a kind of tokenizer implements. A model never changes after it was made, so threads may share it.
class TokenizerModel {
 public:
  virtual ~TokenizerModel() = default;
  virtual std::string name() const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;
  /// The bytes of one token, or nullptr if there is no such token.
  virtual const std::string* token_text(int32_t token) const = 0;
  virtual std::optional<int32_t> token_id(std::string_view text) const = 0;
  virtual std::string to_json() const = 0;
};

struct BytePairOptions {
  int64_t vocab_size = 4096;  ///< 256 bytes, merged tokens and special tokens together; fewer if the text has no more pairs to merge
  int64_t min_count = 2;      ///< pairs that occur less often are not merged
  std::vector<std::string> special_tokens;  ///< never split, such as "<|endoftext|>"; they get the last numbers
};

struct WordPieceOptions {
  bool lower_case = true;
  bool strip_accents = true;
  bool clean = true;             ///< every white space is a space, controls are dropped
  bool split_ideographs = true;  ///< Chinese characters are words by themselves
  std::string unknown = "[UNK]"; ///< for a word that the vocabulary cannot spell
  std::string prefix = "##";     ///< of pieces that go on with a word
  int64_t max_characters = 100;  ///< a longer word is unknown
};

/// A value: copies share one unchanging model. Made without arguments it is bytes().
class Tokenizer {
 public:
  Tokenizer();
  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model) : model_(std::move(model)) {}

  /// Token i is byte i.
  static Tokenizer bytes();
  /// One token for each Unicode code point that occurs in `text`, in ascending order. Throws ValueError if `text` is empty or not UTF-8.
  static Tokenizer characters(std::string_view text);
  /// Byte-level byte-pair encoding (Sennrich et al., ACL 2016; Radford et al., 2019) learnt from `text`: pieces are split as GPT-2 does,
  /// tokens 0–255 are the bytes in GPT-2's order, then the most frequent neighbours within pieces are merged again and again (at equal
  /// counts the pair with the smaller numbers first). Throws ValueError if `text` is empty or the vocabulary has no room for the bytes.
  static Tokenizer byte_pairs(std::string_view text, const BytePairOptions& options = {});

  /// WordPiece, the tokens of BERT: tokens[i] has number i; [PAD], [UNK], [CLS], [SEP] and [MASK] among them are found in a text as they
  /// are. decode() puts a space before each token that begins a word. Throws ValueError as make_word_pieces does (engine/io/wordpiece.h).
  static Tokenizer word_pieces(std::vector<std::string> tokens, const WordPieceOptions& options = {});
  /// The same from a vocab.txt: a token a line. Throws IoError naming the file.
  static Tokenizer load_word_pieces(const std::string& path, const WordPieceOptions& options = {});

  /// Reads what save() wrote, or a Hugging Face tokenizer.json of a GPT-2-style model (byte-level BPE with GPT-2's splitting pattern and
  /// added tokens) or of a BERT-style one (WordPiece). encode() then gives what that library gives with add_special_tokens=False. Throws
  /// IoError naming the file and the part that is missing, inconsistent or beyond this.
  static Tokenizer load(const std::string& path);
  /// load from the text of a file; errors call it `path`.
  static Tokenizer from_json(std::string_view json, const std::string& path = "tokenizer.json");
  /// Replaces the file at `path`, atomically. Byte pairs are written as a tokenizer.json that Hugging Face's library loads.
  void save(const std::string& path) const;
  std::string to_json() const { return model_->to_json(); }

  /// The token numbers of `text`. Bytes and byte pairs take any bytes; characters throw ValueError naming a character that is unknown and
  /// its place. Special tokens in the text become their numbers.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The text of `tokens`, special tokens included. A token may end inside a UTF-8 character. Throws IndexError for a number that is no
  /// token.
  std::string decode(std::span<const int32_t> tokens) const;
  std::string decode(std::initializer_list<int32_t> tokens) const { return decode(std::span(tokens.begin(), tokens.size())); }

  /// One more than the largest token number: the rows that an embedding needs.
  int64_t vocab_size() const { return model_->vocab_size(); }
  /// "byte", "char", "bpe" or "wordpiece".
  std::string name() const { return model_->name(); }
  /// The number of the token whose text is exactly `text`, if there is one: for "<|endoftext|>".
  std::optional<int32_t> token_id(std::string_view text) const { return model_->token_id(text); }

 private:
  std::shared_ptr<const TokenizerModel> model_;
};

}  // namespace plumb
