// bfloat16 and half: 16-bit floating-point storage. Arithmetic is done in float; conversions round to nearest even.
#pragma once
#include <bit>
#include <cstdint>

#include "engine/core/device_function.h"

namespace plumb {

/// 8 exponent bits, 7 mantissa bits: the upper half of a float.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  PLUMB_DEVICE explicit bfloat16(float x) {
    uint32_t u = std::bit_cast<uint32_t>(x);
    bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = static_cast<uint16_t>(nan ? (u >> 16) | 0x40u : rounded);
  }
  PLUMB_DEVICE explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

namespace detail {
// In plain integers, for machines without the instructions, which are tested against these.
uint16_t float_to_half_bits(float x);
float half_bits_to_float(uint16_t h);
#if defined(__F16C__) && !defined(__CUDACC__)
// The builtins behind _cvtss_sh and _cvtsh_ss: every file includes this header, and <immintrin.h> takes half a second to read.
using FloatLanes = float __attribute__((vector_size(16)));
using HalfLanes = short __attribute__((vector_size(16)));
#endif
PLUMB_DEVICE inline uint16_t round_to_half(float x) {
#if defined(__CUDA_ARCH__)
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#elif defined(__F16C__) && !defined(__CUDACC__)
  constexpr int nearest_even = 0;
  return static_cast<uint16_t>(__builtin_ia32_vcvtps2ph(FloatLanes{x}, nearest_even)[0]);
#else
  return float_to_half_bits(x);
#endif
}
PLUMB_DEVICE inline float widen_half(uint16_t h) {
#if defined(__CUDA_ARCH__)
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#elif defined(__F16C__) && !defined(__CUDACC__)
  return __builtin_ia32_vcvtph2ps(HalfLanes{static_cast<short>(h)})[0];
#else
  return half_bits_to_float(h);
#endif
}
}  // namespace detail

/// IEEE binary16: 5 exponent bits, 10 mantissa bits.
struct half {
  uint16_t bits = 0;
  half() = default;
  PLUMB_DEVICE explicit half(float x) : bits(detail::round_to_half(x)) {}
  PLUMB_DEVICE explicit operator float() const { return detail::widen_half(bits); }
};

}  // namespace plumb
