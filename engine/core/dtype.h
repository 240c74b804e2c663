// Element types of tensors, and how two of them combine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "engine/core/half.h"

namespace plumb {

enum class DType : uint8_t { f64, f32, bf16, f16, i64, i32, u8, boolean };
inline constexpr int kDTypes = 8;
inline constexpr DType f64 = DType::f64, f32 = DType::f32, bf16 = DType::bf16, f16 = DType::f16, i64 = DType::i64, i32 = DType::i32,
                       u8 = DType::u8, boolean = DType::boolean;

/// Bytes of one element.
constexpr size_t item_size(DType t) {
  constexpr size_t sizes[kDTypes] = {8, 4, 2, 2, 8, 4, 1, 1};
  return sizes[static_cast<int>(t)];
}
constexpr bool is_floating(DType t) { return t <= DType::f16; }
constexpr bool is_integer(DType t) { return t == DType::i64 || t == DType::i32 || t == DType::u8; }
/// "f32", "bool", …
std::string_view name(DType t);
/// The type called `name`. Throws ValueError for an unknown one.
DType dtype_from_name(std::string_view name);
/// The type of an operation on a and b (array-API rules: the wider of a kind; floating over integer over bool; bf16 with f16 gives f32).
DType promote(DType a, DType b);

template <typename T> constexpr DType dtype_of();
template <> constexpr DType dtype_of<double>() { return DType::f64; }
template <> constexpr DType dtype_of<float>() { return DType::f32; }
template <> constexpr DType dtype_of<bfloat16>() { return DType::bf16; }
template <> constexpr DType dtype_of<half>() { return DType::f16; }
template <> constexpr DType dtype_of<int64_t>() { return DType::i64; }
template <> constexpr DType dtype_of<int32_t>() { return DType::i32; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::u8; }
template <> constexpr DType dtype_of<bool>() { return DType::boolean; }

/// The type that arithmetic on T is done in: float for the 16-bit types, T otherwise.
template <typename T> struct compute_type { using type = T; };
template <> struct compute_type<bfloat16> { using type = float; };
template <> struct compute_type<half> { using type = float; };
template <typename T> using compute_t = typename compute_type<T>::type;
/// The same for a type known at run time.
constexpr DType compute_dtype(DType t) { return t == DType::bf16 || t == DType::f16 ? DType::f32 : t; }

/// Throws DTypeError: `op` does not take `t`.
[[noreturn]] void unsupported_dtype(const char* op, DType t);

/// Calls f.template operator()<T>() for the C++ type of `t`, one of all eight.
template <typename F>
decltype(auto) visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f.template operator()<double>();
    case DType::f32: return f.template operator()<float>();
    case DType::bf16: return f.template operator()<bfloat16>();
    case DType::f16: return f.template operator()<half>();
    case DType::i64: return f.template operator()<int64_t>();
    case DType::i32: return f.template operator()<int32_t>();
    case DType::u8: return f.template operator()<uint8_t>();
    default: return f.template operator()<bool>();
  }
}
/// As visit_dtype for f64, f32, bf16 and f16; others throw DTypeError naming `op`.
template <typename F>
decltype(auto) visit_floating(const char* op, DType t, F&& f) {
  switch (t) {
    case DType::f64: return f.template operator()<double>();
    case DType::f32: return f.template operator()<float>();
    case DType::bf16: return f.template operator()<bfloat16>();
    case DType::f16: return f.template operator()<half>();
    default: unsupported_dtype(op, t);
  }
}
/// As visit_dtype for f64 and f32 only: for kernels that 16-bit callers reach through a conversion.
template <typename F>
decltype(auto) visit_f32_f64(const char* op, DType t, F&& f) {
  switch (t) {
    case DType::f64: return f.template operator()<double>();
    case DType::f32: return f.template operator()<float>();
    default: unsupported_dtype(op, t);
  }
}
/// As visit_dtype for i64 and i32.
template <typename F>
decltype(auto) visit_index(const char* op, DType t, F&& f) {
  switch (t) {
    case DType::i64: return f.template operator()<int64_t>();
    case DType::i32: return f.template operator()<int32_t>();
    default: unsupported_dtype(op, t);
  }
}

}  // namespace plumb
