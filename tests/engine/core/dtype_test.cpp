// Element types: names, promotion, and the 16-bit conversions over all their bits.
#include "engine/core/dtype.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/scalar.h"

using namespace plumb;

namespace {

// The value of 16 bits with `exponent` exponent bits, worked out from the format.
double decoded(uint16_t bits, int exponent_bits) {
  int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = bits & ((1 << mantissa_bits) - 1);
  double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

template <typename H>
void check_every_pattern(int exponent_bits) {
  int wrong = 0;
  for (uint32_t b = 0; b < 0x10000; ++b) {
    H h;
    h.bits = static_cast<uint16_t>(b);
    double expected = decoded(h.bits, exponent_bits);
    float got = static_cast<float>(h);
    if (std::isnan(expected)) wrong += !std::isnan(got) || !std::isnan(static_cast<float>(H(got)));
    else wrong += got != expected || std::signbit(got) != std::signbit(expected) || H(got).bits != h.bits;
  }
  CHECK(wrong == 0);
}

// Between neighbours lo < hi: just below the middle rounds down, the middle to the even one, just above up; both signs.
template <typename H>
void check_rounding(uint16_t infinity) {
  int wrong = 0;
  for (uint16_t b = 0; b < infinity; ++b) {
    H lo, hi;
    lo.bits = b;
    hi.bits = static_cast<uint16_t>(b + 1);
    double low = static_cast<float>(lo), high = b + 1 == infinity ? 2 * low - static_cast<double>(static_cast<float>([&] {
                                                                      H p;
                                                                      p.bits = static_cast<uint16_t>(b - 1);
                                                                      return p;
                                                                    }()))
                                                                  : static_cast<float>(hi);
    auto middle = static_cast<float>((low + high) / 2);
    if (middle != (low + high) / 2) continue;  // below float's subnormals: bfloat16's smallest
    float below = std::nextafter(middle, 0.0f), above = std::nextafter(middle, INFINITY);
    uint16_t even = b % 2 == 0 ? lo.bits : hi.bits;
    for (float sign : {1.0f, -1.0f}) {
      uint16_t s = sign < 0 ? 0x8000 : 0;
      wrong += H(sign * below).bits != (lo.bits | s);
      wrong += H(sign * middle).bits != (even | s);
      wrong += H(sign * above).bits != (hi.bits | s);
    }
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("half and bfloat16: every bit pattern has the value of its format and comes back") {
  check_every_pattern<half>(5);
  check_every_pattern<bfloat16>(8);
}

TEST_CASE("half and bfloat16: rounding is to nearest, halves to even, up to infinity") {
  check_rounding<half>(0x7c00);
  check_rounding<bfloat16>(0x7f80);
  CHECK(half(65504.0f).bits == 0x7bff);
  CHECK(half(65519.9f).bits == 0x7bff);
  CHECK(half(65520.0f).bits == 0x7c00);
  CHECK(half(1e30f).bits == 0x7c00);
  CHECK(half(-1e-30f).bits == 0x8000);
}

TEST_CASE("half: conversion in integer arithmetic is that of the instruction") {
  int wrong = 0;
  for (uint32_t b = 0; b < 0x10000; ++b) {
    half h;
    h.bits = static_cast<uint16_t>(b);
    float value = static_cast<float>(h), plain = detail::half_bits_to_float(h.bits);
    wrong += std::isnan(value) ? !std::isnan(plain) : value != plain;
  }
  for (uint64_t u = 0; u < (uint64_t{1} << 32); u += 65521) {
    float x = std::bit_cast<float>(static_cast<uint32_t>(u));
    if (!std::isnan(x)) wrong += half(x).bits != detail::float_to_half_bits(x);
    else wrong += !std::isnan(detail::half_bits_to_float(detail::float_to_half_bits(x)));
  }
  CHECK(wrong == 0);
}

TEST_CASE("dtype: names go both ways, an unknown one lists the known") {
  for (int i = 0; i < kDTypes; ++i) CHECK(dtype_from_name(name(static_cast<DType>(i))) == static_cast<DType>(i));
  CHECK_THROWS_WITH_AS(dtype_from_name("float"), "dtype: \"float\" is unknown; choose one of f64, f32, bf16, f16, i64, i32, u8, bool",
                       ValueError);
}

TEST_CASE("promote: the table of the array API") {
  // Rows and columns in the order of DType.
  const DType table[kDTypes][kDTypes] = {
      {f64, f64, f64, f64, f64, f64, f64, f64},
      {f64, f32, f32, f32, f32, f32, f32, f32},
      {f64, f32, bf16, f32, bf16, bf16, bf16, bf16},
      {f64, f32, f32, f16, f16, f16, f16, f16},
      {f64, f32, bf16, f16, i64, i64, i64, i64},
      {f64, f32, bf16, f16, i64, i32, i32, i32},
      {f64, f32, bf16, f16, i64, i32, u8, u8},
      {f64, f32, bf16, f16, i64, i32, u8, boolean},
  };
  for (int a = 0; a < kDTypes; ++a)
    for (int b = 0; b < kDTypes; ++b) {
      CAPTURE(a);
      CAPTURE(b);
      CHECK(promote(static_cast<DType>(a), static_cast<DType>(b)) == table[a][b]);
    }
}

TEST_CASE("Scalar: a number widens a tensor's type only if it is of a higher kind") {
  for (DType t : {f64, f32, bf16, f16}) CHECK(Scalar(2.5).promote_with(t) == t);
  CHECK(Scalar(2.5).promote_with(i64) == f32);
  CHECK(Scalar(2.5).promote_with(boolean) == f32);
  CHECK(Scalar(2).promote_with(u8) == u8);
  CHECK(Scalar(2).promote_with(boolean) == i64);
  CHECK(Scalar(true).promote_with(boolean) == boolean);
  CHECK(Scalar(int64_t{1} << 62).integer() == int64_t{1} << 62);
  CHECK(Scalar(2.9).integer() == 2);
}

TEST_CASE("visit: calls with the C++ type, and refuses what is not asked for") {
  for (int i = 0; i < kDTypes; ++i) {
    DType t = static_cast<DType>(i);
    CHECK(visit_dtype(t, []<typename T>() { return dtype_of<T>(); }) == t);
    CHECK(visit_dtype(t, []<typename T>() { return sizeof(T); }) == item_size(t));
  }
  auto type = []<typename T>() { return dtype_of<T>(); };
  CHECK(visit_floating("op", bf16, type) == bf16);
  CHECK_THROWS_WITH_AS(visit_floating("softmax", i64, type), "softmax: does not take i64 tensors", DTypeError);
  CHECK_THROWS_WITH_AS(visit_f32_f64("svd", f16, type), "svd: does not take f16 tensors", DTypeError);
  CHECK_THROWS_WITH_AS(visit_index("gather", f32, type), "gather: does not take f32 tensors", DTypeError);
}
