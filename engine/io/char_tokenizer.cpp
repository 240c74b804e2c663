// Characters as tokens: a table from code points to numbers and a list back.
#include "engine/io/char_tokenizer.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/io/unicode.h"

namespace plumb {
namespace {

std::string place(std::string_view text, size_t at) {
  auto before = text.substr(0, at);
  return "byte " + std::to_string(at) + " (line " + std::to_string(1 + std::count(before.begin(), before.end(), '\n')) + ")";
}

[[noreturn]] void fail_not_utf8(std::string_view text, size_t at) {
  throw ValueError("char tokenizer: the text is not UTF-8 at " + place(text, at) + "; convert it, or use a byte or bpe tokenizer");
}

class CharModel final : public TokenizerModel {
 public:
  // `vocabulary`: distinct code points.
  explicit CharModel(const std::vector<uint32_t>& vocabulary) {
    numbers_.assign(vocabulary.empty() ? 0 : *std::max_element(vocabulary.begin(), vocabulary.end()) + size_t{1}, -1);
    for (uint32_t c : vocabulary) {
      numbers_[c] = static_cast<int32_t>(characters_.size());
      append_utf8(characters_.emplace_back(), c);
    }
  }
  std::string name() const override { return "char"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(characters_.size()); }

  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (size_t at = 0; at < text.size();) {
      Utf8Char c = decode_utf8(text, at);
      if (!c.valid) fail_not_utf8(text, at);
      int32_t number = c.code_point < numbers_.size() ? numbers_[c.code_point] : -1;
      if (number < 0) fail_unknown(text, at, c);
      tokens.push_back(number);
      at += static_cast<size_t>(c.bytes);
    }
  }
  const std::string* token_text(int32_t token) const override {
    return token >= 0 && token < vocab_size() ? &characters_[static_cast<size_t>(token)] : nullptr;
  }
  std::optional<int32_t> token_id(std::string_view text) const override {
    auto found = std::find(characters_.begin(), characters_.end(), text);
    if (found == characters_.end()) return std::nullopt;
    return static_cast<int32_t>(found - characters_.begin());
  }
  std::string to_json() const override { return nlohmann::json{{"type", "char"}, {"vocabulary", characters_}}.dump(); }

 private:
  [[noreturn]] void fail_unknown(std::string_view text, size_t at, Utf8Char c) const {
    char code[16];
    std::snprintf(code, sizeof code, "U+%04X", c.code_point);
    bool printable = c.code_point >= 0x20 && c.code_point != 0x7f;
    std::string shown = printable ? "\"" + std::string(text.substr(at, static_cast<size_t>(c.bytes))) + "\" (" + code + ")" : code;
    throw ValueError("char tokenizer: the character " + shown + " at " + place(text, at) + " is not among the " +
                     std::to_string(characters_.size()) + " known ones; leave it out, or train with a byte or bpe tokenizer");
  }

  std::vector<std::string> characters_;
  std::vector<int32_t> numbers_;  // by code point; −1 for unknown
};

}  // namespace

std::vector<uint32_t> learn_characters(std::string_view text) {
  if (text.empty()) throw ValueError("char tokenizer: the text is empty");
  std::vector<uint64_t> seen(0x110000 / 64);  // a bit a code point
  for (size_t at = 0; at < text.size();) {
    Utf8Char c = decode_utf8(text, at);
    if (!c.valid) fail_not_utf8(text, at);
    seen[c.code_point / 64] |= uint64_t{1} << c.code_point % 64;
    at += static_cast<size_t>(c.bytes);
  }
  std::vector<uint32_t> vocabulary;
  for (uint32_t word = 0; word < seen.size(); ++word)
    for (uint64_t left = seen[word]; left != 0; left &= left - 1)
      vocabulary.push_back(64 * word + static_cast<uint32_t>(std::countr_zero(left)));
  return vocabulary;
}

std::shared_ptr<const TokenizerModel> make_characters(const std::vector<uint32_t>& vocabulary) {
  return std::make_shared<CharModel>(vocabulary);
}

}  // namespace plumb
