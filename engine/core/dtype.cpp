// Names and promotion of element types.
#include "engine/core/dtype.h"

#include <string>

#include "engine/core/error.h"

namespace plumb {

static constexpr std::string_view kNames[kDTypes] = {"f64", "f32", "bf16", "f16", "i64", "i32", "u8", "bool"};

std::string_view name(DType t) { return kNames[static_cast<int>(t)]; }

DType dtype_from_name(std::string_view wanted) {
  for (int i = 0; i < kDTypes; ++i)
    if (kNames[i] == wanted) return static_cast<DType>(i);
  throw ValueError("dtype: \"" + std::string(wanted) + "\" is unknown; choose one of f64, f32, bf16, f16, i64, i32, u8, bool");
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (is_floating(a)) {
    if (item_size(a) == item_size(b)) return DType::f32;  // bf16 with f16
    return item_size(a) > item_size(b) ? a : b;
  }
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  return item_size(a) > item_size(b) ? a : b;
}

void unsupported_dtype(const char* op, DType t) {
  throw DTypeError(std::string(op) + ": does not take " + std::string(name(t)) + " tensors");
}

}  // namespace plumb
