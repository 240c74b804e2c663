// CRC-32C against published values and its definition, bit by bit.
#include "engine/io/crc32c.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string>

using namespace plumb;

namespace {

// Division of the message by the polynomial, a bit at a time.
uint32_t by_definition(const std::string& text) {
  uint32_t remainder = ~0u;
  for (unsigned char byte : text)
    for (uint32_t bit = 0; bit < 8; ++bit) {
      uint32_t out = (remainder ^ (byte >> bit)) & 1;
      remainder = (remainder >> 1) ^ (out ? 0x82F63B78u : 0u);
    }
  return ~remainder;
}

std::string counted(size_t n) {
  std::string text(n, 0);
  std::iota(text.begin(), text.end(), '\0');
  return text;
}

}  // namespace

TEST_CASE("crc32c: the values of RFC 3720 and the check value of the polynomial") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c("") == 0u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43u);
  CHECK(crc32c(counted(32)) == 0x46DD794Eu);
}

TEST_CASE("crc32c: any length, in one piece or in two, is the remainder of the division") {
  for (size_t n : {1, 7, 8, 9, 15, 16, 17, 63, 100}) {
    std::string text = counted(n);
    CHECK(crc32c(text) == by_definition(text));
    for (size_t cut = 0; cut <= n; ++cut) CHECK(crc32c(text.data() + cut, n - cut, crc32c(text.data(), cut)) == crc32c(text));
  }
}
