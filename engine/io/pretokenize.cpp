// GPT-2's splitting of text into pieces, and its names of bytes.
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
#include <array>

#include "engine/io/bpe.h"
#include "engine/io/unicode.h"

namespace plumb {
namespace {

CharClass class_at(std::string_view text, size_t at, size_t& bytes) {
  Utf8Char c = decode_utf8(text, at);
  bytes = static_cast<size_t>(c.bytes);
  return c.valid ? char_class(c.code_point) : CharClass::other;
}

// The length of 's 't 're 've 'm 'll 'd at the start of `text`, or 0.
size_t contraction(std::string_view text) {
  for (std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.starts_with(ending)) return ending.size();
  return 0;
}

size_t end_of_run(std::string_view text, size_t at, CharClass wanted) {
  for (size_t bytes; at < text.size() && class_at(text, at, bytes) == wanted;) at += bytes;
  return at;
}

// \s+(?!\S)|\s+ : all of it at the end of the text; else all but the last character, which begins the next piece; one is taken anyway.
size_t end_of_space(std::string_view text, size_t begin) {
  size_t at = begin, last = begin;
  for (size_t bytes; at < text.size() && class_at(text, at, bytes) == CharClass::space; at += bytes) last = at;
  return at == text.size() || last == begin ? at : last;
}

struct Alphabet {
  std::array<uint32_t, 256> code_points;
  std::array<int, 512> bytes;  // by code point; −1 for none

  Alphabet() {
    bytes.fill(-1);
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      code_points[b] = printable ? b : next++;
      bytes[code_points[b]] = static_cast<int>(b);
    }
  }
};
const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

size_t next_piece(std::string_view text, size_t begin) {
  if (size_t length = contraction(text.substr(begin))) return begin + length;
  size_t start = begin + (text[begin] == ' ');
  if (start < text.size()) {
    size_t bytes;
    CharClass first = class_at(text, start, bytes);
    if (first != CharClass::space) return end_of_run(text, start, first);
  }
  return end_of_space(text, begin);
}

uint32_t byte_alphabet(uint8_t byte) { return alphabet().code_points[byte]; }

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (char b : bytes) append_utf8(text, byte_alphabet(static_cast<uint8_t>(b)));
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    Utf8Char c = decode_utf8(text, at);
    if (!c.valid || c.code_point >= alphabet().bytes.size() || alphabet().bytes[c.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet().bytes[c.code_point]);
    at += static_cast<size_t>(c.bytes);
  }
  return bytes;
}

}  // namespace plumb
