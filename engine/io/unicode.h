// UTF-8, and the character classes and foldings that tokenizers use.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace plumb {

enum class CharClass : uint8_t { other, letter, number, space };

/// The class of a code point, of Unicode 16.0: letter is category L*, number N*, space the property White_Space.
CharClass char_class(uint32_t code_point);
bool is_punctuation(uint32_t code_point);      ///< category P*
bool is_nonspacing_mark(uint32_t code_point);  ///< Mn: accents that follow their letter
bool is_control(uint32_t code_point);          ///< Cc, Cf, Cs or Co: controls, formats, surrogates, private use
/// Appends the lower-case form of a code point, each by itself (Σ becomes σ everywhere).
void append_lower_case(std::string& text, uint32_t code_point);
/// Appends a code point's canonical decomposition (NFD) without its non-spacing marks: é gives e, a mark alone nothing, 한 its three
/// letters.
void append_without_marks(std::string& text, uint32_t code_point);

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
