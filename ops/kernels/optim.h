// Kernel slots over many tensors at once: what optimisers and arithmetic on parameter sets do to every parameter in one pass.
#pragma once
#include <array>
#include <span>

#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// The element-wise updates of ops/optim_functions.h.
enum class UpdateRule : uint8_t { sgd, adam, adagrad, rmsprop, lion, count };

/// One parameter in an update: row-major tensors of one shape.
struct UpdateTensor {
  Tensor parameter;                     ///< written
  Tensor gradient;                      ///< of the parameter's type
  Tensor master;                        ///< f32, what a 16-bit parameter is the rounding of; undefined for f32 and f64
  std::array<Tensor, 3> state;          ///< of the master's or parameter's type; undefined where the rule is used without
  std::array<double, 8> constants{};    ///< as the rule names them
  Tensor device_constants{};  ///< undefined, or eight numbers in f64 that the kernel reads in the constants' place (on a GPU alone)
};

namespace kernel {

/// Applies the rule to each tensor. A master whose rounding is not the parameter (someone wrote to it) starts again from the parameter.
inline constinit Kernel<void(UpdateRule rule, std::span<const UpdateTensor> tensors)> update{"update"};
/// Σ over all tensors and elements of x·y, in f64, in an order fixed by the shapes. Equal shapes and types in pairs; row-major.
inline constinit Kernel<void(std::span<const Tensor> x, std::span<const Tensor> y, double& total)> sum_of_products{"sum_of_products"};
/// y ← a·x + b·y. With b = 0, y is only written; with a = 0, x is not read. Equal shapes and types in pairs; row-major.
inline constinit Kernel<void(double a, std::span<const Tensor> x, double b, std::span<const Tensor> y)> combine{"combine"};

}  // namespace kernel
}  // namespace plumb
