// bfloat16 and half: 16-bit floating-point storage. Arithmetic is done in float; conversions round to nearest even.
#pragma once
#include <bit>
#include <cstdint>
#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace plumb {

/// 8 exponent bits, 7 mantissa bits: the upper half of a float.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float x) {
    uint32_t u = std::bit_cast<uint32_t>(x);
    bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = static_cast<uint16_t>(nan ? (u >> 16) | 0x40u : rounded);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

namespace detail {
uint16_t float_to_half_bits(float x);
float half_bits_to_float(uint16_t h);
}  // namespace detail

/// IEEE binary16: 5 exponent bits, 10 mantissa bits.
struct half {
  uint16_t bits = 0;
  half() = default;
#if defined(__F16C__)
  explicit half(float x) : bits(static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))) {}
  explicit operator float() const { return _cvtsh_ss(bits); }
#else
  explicit half(float x) : bits(detail::float_to_half_bits(x)) {}
  explicit operator float() const { return detail::half_bits_to_float(bits); }
#endif
};

}  // namespace plumb
