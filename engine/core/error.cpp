// Numbers in messages.
#include "engine/core/error.h"

#include <charconv>
#include <cmath>

namespace plumb {

std::string decimal(double x) {
  bool plain = x == 0 || (std::abs(x) >= 1e-4 && std::abs(x) < 1e16);
  auto form = plain ? std::chars_format::fixed : std::chars_format::scientific;
  auto f = static_cast<float>(x);
  char text[32];
  char* end = (f == x ? std::to_chars(text, text + sizeof text, f, form) : std::to_chars(text, text + sizeof text, x, form)).ptr;
  return {text, end};
}

}  // namespace plumb
