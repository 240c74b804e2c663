// RF8: numbers as the sum of at most two signed powers of two, in a byte (Wu, Xiong, Wang and Wen, arXiv 2506.00486).
#pragma once
#include <cstdint>
#include <optional>

#include "engine/core/tensor.h"

namespace plumb::quantize {

/// v₁ + v₂ with v₁ = sign(w) 2^e₁, e₁ = round(log₂|w|) and, of the residual r = w − v₁, v₂ = sign(r) 2^e₂, e₂ = round(log₂|r|), where r ≠ 0
/// and e₁ − e₂ ≤ n; else v₁ alone. 0 stays 0. With n = 4 the relative error is at most 10.82 %. Same shape and type, outside the graph.
/// Throws DTypeError for integers, ValueError for n < 0 or values that are not finite.
Tensor rf8(const Tensor& w, int n = 4);

/// The exponents that a byte can hold, one code being left for 0.
inline constexpr int kRf8Exponents = 15;

/// A byte: the sign, 4 bits of the exponent (0: the number 0; 15: `top`, the tensor's largest; 14: top − 1; …), 3 bits of v₂ / v₁ in
/// (0, 1/2, 1/4, −1/4, 1/8, −1/8, 1/16, −1/16). Numbers of smaller exponents become 0. Throws ValueError for a number that is not finite,
/// or an exponent above `top`.
uint8_t rf8_encode(double w, int top);
double rf8_decode(uint8_t code, int top);
/// e₁ of w, or nothing for 0.
std::optional<int> rf8_exponent(double w);

}  // namespace plumb::quantize
