// One pass over the bytes; U+0080 to U+009F are two in UTF-8, the first 0xC2.
#include "tools/cli/printable.h"

namespace plumb::tools {

std::string printable(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]), next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte < 0x20 || byte == 0x7f) text[i] = ' ';
    if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) text[i] = text[i + 1] = ' ';
  }
  return text;
}

}  // namespace plumb::tools
