// The few differentiable operations that the backward pass itself needs; ops/ fills them in when kernels are registered.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::detail {

struct EngineOperations {
  Tensor (*add)(const Tensor& a, const Tensor& b) = nullptr;
  /// base's elements seen through the given geometry (offset relative to base), differentiable; base must be contiguous.
  Tensor (*as_strided)(const Tensor& base, const Shape& shape, const Strides& strides, int64_t offset) = nullptr;
  Tensor (*clone)(const Tensor& x) = nullptr;
  bool (*has_nan)(const Tensor& x) = nullptr;
};
/// Filled on first use by register_engine_operations(), which ops/ defines.
const EngineOperations& engine_operations();
void register_engine_operations(EngineOperations& slots);

}  // namespace plumb::detail
