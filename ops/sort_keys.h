// How sorting compares, for every device: elements become unsigned keys that grow with the number (NaN last, −0 = 0), each joined with its
// place: all entries differ, so every way of sorting gives the one stable result.
#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include "engine/core/half.h"
#include "ops/special_functions.h"

namespace plumb::sorting {

/// Key and place in one number: entries of 32-bit keys (rows below 2³² elements).
struct Narrow {
  uint64_t bits;
  using Key = uint32_t;
  PLUMB_DEVICE static Narrow make(uint32_t key, int64_t place) { return {uint64_t{key} << 32 | static_cast<uint64_t>(place)}; }
  PLUMB_DEVICE uint32_t number() const { return static_cast<uint32_t>(bits >> 32); }
  PLUMB_DEVICE int64_t place() const { return static_cast<int64_t>(bits & 0xffffffffu); }
  PLUMB_DEVICE uint8_t digit(int byte) const { return static_cast<uint8_t>(bits >> (32 + 8 * byte)); }
  static constexpr int kDigits = 4;
  PLUMB_DEVICE friend bool operator<(Narrow a, Narrow b) { return a.bits < b.bits; }
};
/// Entries of 64-bit keys.
struct Wide {
  uint64_t key;
  int64_t at;
  using Key = uint64_t;
  PLUMB_DEVICE static Wide make(uint64_t key, int64_t place) { return {key, place}; }
  PLUMB_DEVICE uint64_t number() const { return key; }
  PLUMB_DEVICE int64_t place() const { return at; }
  PLUMB_DEVICE uint8_t digit(int byte) const { return static_cast<uint8_t>(key >> (8 * byte)); }
  static constexpr int kDigits = 8;
  PLUMB_DEVICE friend bool operator<(Wide a, Wide b) { return a.key < b.key || (a.key == b.key && a.at < b.at); }
};

// Sign and magnitude as an unsigned number that grows with the value; the largest of all for NaN.
template <typename U>
PLUMB_DEVICE U magnitude_key(U bits, U infinity, bool descending) {
  constexpr U sign = U{1} << (8 * sizeof(U) - 1);
  auto magnitude = static_cast<U>(bits & ~sign);
  if (magnitude > infinity) return static_cast<U>(-1);
  if (magnitude == 0) bits = 0;
  U key = static_cast<U>(bits & sign ? ~bits : bits | sign);
  return static_cast<U>(descending ? ~key : key);
}
PLUMB_DEVICE inline uint64_t key_of(double x, bool d) { return magnitude_key(std::bit_cast<uint64_t>(x), uint64_t{0x7ff} << 52, d); }
PLUMB_DEVICE inline uint32_t key_of(float x, bool d) { return magnitude_key(std::bit_cast<uint32_t>(x), uint32_t{0xff} << 23, d); }
PLUMB_DEVICE inline uint32_t key_of(bfloat16 x, bool d) { return magnitude_key<uint16_t>(x.bits, 0x7f80, d); }
PLUMB_DEVICE inline uint32_t key_of(half x, bool d) { return magnitude_key<uint16_t>(x.bits, 0x7c00, d); }
PLUMB_DEVICE inline uint64_t key_of(int64_t x, bool d) {
  uint64_t key = static_cast<uint64_t>(x) ^ (uint64_t{1} << 63);
  return d ? ~key : key;
}
PLUMB_DEVICE inline uint32_t key_of(int32_t x, bool d) {
  uint32_t key = static_cast<uint32_t>(x) ^ (uint32_t{1} << 31);
  return d ? ~key : key;
}
PLUMB_DEVICE inline uint32_t key_of(uint8_t x, bool d) { return d ? uint32_t{255} - x : x; }

template <typename T> using Entry = std::conditional_t<sizeof(key_of(T(), false)) == 8, Wide, Narrow>;

}  // namespace plumb::sorting
