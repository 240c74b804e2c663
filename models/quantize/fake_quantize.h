// Fake quantisation to any number of bits with a learned scale and offset, one of each for a tensor or for each of its channels
// (LSQ+: Bhalgat et al., CVPR workshops 2020, in the form of EQ-Net).
#pragma once
#include "engine/core/tensor.h"

namespace plumb::quantize {

/// The least and the greatest code.
struct CodeRange {
  int64_t low = -128, high = 127;
  bool operator==(const CodeRange&) const = default;
};

/// The widths that codes may have.
inline constexpr int kLeastBits = 2, kMostBits = 8;
/// Throws ValueError `quantize: 9 bits are not supported; choose 2 to 8`.
void check_bits(int bits);
/// −2^(b−1) … 2^(b−1) − 1. Throws as check_bits.
CodeRange signed_codes(int bits);
/// 0 … 2^b − 1, for what is never negative. Throws as check_bits.
CodeRange unsigned_codes(int bits);

struct FakeQuantizeOptions {
  CodeRange codes;
  int axis = 0;               ///< along which vectors of scales and offsets run
  double eps = 1e-6;          ///< added to |s|
  double gradient_scale = 1;  ///< multiplies the gradients of s and β
};

/// v̂ = round(u)(|s| + ε) + β with u = min(max((v − β) / (|s| + ε), low), high), halves to even. s and β are single numbers or vectors
/// along `axis`; β may be undefined (0). Rounding passes straight through:
///   ∂v̂/∂v = 1 where the codes reach, their ends included, else 0
///   ∂v̂/∂s = sign(s)(round(u) − u) there, sign(s) low or sign(s) high beyond
///   ∂v̂/∂β = 0 there, 1 beyond
/// Throws DTypeError for integers, ShapeError for an s or β of another size, ValueError unless low < high. s and β have v's type.
Tensor fake_quantize(const Tensor& v, const Tensor& scale, const Tensor& offset, const FakeQuantizeOptions& options = {});

/// The codes themselves, round(u), in v's type and outside the graph.
Tensor codes_of(const Tensor& v, const Tensor& scale, const Tensor& offset, const FakeQuantizeOptions& options = {});

/// LSQ's factors of a scale's gradient: 1/√(high · numel) of a tensor with one scale, and, as in EQ-Net's code, 2/√(high · numel /
/// w.size(1)) of a weight with a scale for each output channel.
double scale_gradient(const Tensor& v, const CodeRange& codes, bool per_channel);

}  // namespace plumb::quantize
