// Weight Compander (Cakaj, Mehnert, Bin Yang 2023, arXiv 2306.16993): a weight w is not trained itself but computed from a parameter v by a
// bounded odd function that is steep at zero. Small weights are pushed outwards, none can become large.
//   w = a · arctan(v / b),    |w| < a π / 2,    ∂w/∂v = (a/b) / (1 + (v/b)²),    ∂w/∂a = arctan(v / b),    ∂w/∂b = −a v / (b² + v²)
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods::weight_compander {

enum class Bounded : uint8_t {
  arctan,
  tanh,  ///< a · tanh(v / b), of which a is the bound: another function of the same kind, to compare with
};

/// The weight of v, element by element. Throws ValueError unless a and b are positive.
Tensor compand(const Tensor& v, double a, double b, Bounded function = Bounded::arctan);
/// With constants that have gradients: tensors that broadcast. Whether they are positive is not asked, since a GPU would be waited for.
Tensor compand(const Tensor& v, const Tensor& a, const Tensor& b, Bounded function = Bounded::arctan);

/// v with compand(v) = w, for |w| up to `clip` · a (of tanh: up to 2 clip / π · a), and for a larger one the v of that bound: at the bound
/// of the function itself there is none. Outside the graph. Throws ValueError unless a, b > 0 and 0 < clip < π/2.
Tensor compand_inverse(const Tensor& w, double a, double b, double clip = 1.45, Bounded function = Bounded::arctan);

/// v* > 0 with compand(v*) = v*: smaller weights are expanded, larger ones compressed. 0 if a ≤ b, where all are compressed.
double fixed_point(double a, double b);

}  // namespace plumb::methods::weight_compander
