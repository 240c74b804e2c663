// UTF-8 and the character classes that tokenizers split by.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace plumb {

enum class CharClass : uint8_t { other, letter, number, space };

/// The class of a code point, of Unicode 16.0: letter is category L*, number N*, space the property White_Space.
CharClass char_class(uint32_t code_point);

struct Utf8Char {
  uint32_t code_point;  ///< the byte itself where `valid` is false
  int bytes;            ///< 1 to 4; 1 where `valid` is false
  bool valid;           ///< well-formed: not overlong, no surrogate, complete
};
/// The character that begins at text[at], at < text.size().
Utf8Char decode_utf8(std::string_view text, size_t at);
/// Appends a code point (≤ 0x10FFFF) as UTF-8.
void append_utf8(std::string& text, uint32_t code_point);

}  // namespace plumb
