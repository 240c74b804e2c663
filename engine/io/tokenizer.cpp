// The tokenizer as a value, and its simplest kind: bytes.
#include "engine/io/tokenizer.h"

#include <array>

#include "engine/core/error.h"
#include "engine/io/bpe.h"
#include "engine/io/char_tokenizer.h"
#include "engine/io/file.h"

namespace plumb {
namespace {

class ByteModel final : public TokenizerModel {
 public:
  ByteModel() {
    for (int i = 0; i < 256; ++i) bytes_[static_cast<size_t>(i)] = std::string(1, static_cast<char>(i));
  }
  std::string name() const override { return "byte"; }
  int64_t vocab_size() const override { return 256; }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (char c : text) tokens.push_back(static_cast<uint8_t>(c));
  }
  const std::string* token_text(int32_t token) const override {
    return token >= 0 && token < 256 ? &bytes_[static_cast<size_t>(token)] : nullptr;
  }
  std::optional<int32_t> token_id(std::string_view text) const override {
    if (text.size() != 1) return std::nullopt;
    return static_cast<uint8_t>(text[0]);
  }
  std::string to_json() const override { return R"({"type":"byte"})"; }

 private:
  std::array<std::string, 256> bytes_;
};

}  // namespace

Tokenizer::Tokenizer() : Tokenizer(bytes()) {}

Tokenizer Tokenizer::bytes() {
  static const std::shared_ptr<const TokenizerModel> model = std::make_shared<ByteModel>();
  return Tokenizer(model);
}
Tokenizer Tokenizer::characters(std::string_view text) { return Tokenizer(make_characters(learn_characters(text))); }
Tokenizer Tokenizer::byte_pairs(std::string_view text, const BytePairOptions& options) {
  return Tokenizer(make_byte_pairs(learn_byte_pairs(text, options)));
}

Tokenizer Tokenizer::load(const std::string& path) { return from_json(read_nonempty_file(path), path); }
void Tokenizer::save(const std::string& path) const { write_file_atomic(path, to_json()); }

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  tokens.reserve(model_->name() == "bpe" ? text.size() / 3 + 1 : text.size());
  model_->encode(text, tokens);
  return tokens;
}

std::string Tokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (int32_t token : tokens) {
    const std::string* bytes = model_->token_text(token);
    if (!bytes)
      throw IndexError("decode: token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(vocab_size()));
    text += *bytes;
  }
  if (model_->name() == "wordpiece" && text.starts_with(' ')) text.erase(0, 1);  // every word brings the space before it
  return text;
}

}  // namespace plumb
