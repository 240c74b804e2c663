// Sums of products in Einstein's notation.
#pragma once
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// einsum("bij,bjk->bik", {a, b}): the product of the operands over all labels, summed over those that the output leaves out.
///   letters   name dimensions; equal letters are the same dimension, also within an operand (its diagonal)
///   "..."     stands for any further dimensions, which broadcast against each other, aligned at the last
///   "->"      begins the output; without it, the output is "..." and then the letters that occur once, in alphabetical order
///   spaces    mean nothing
/// Operands are joined from left to right, by matmul where labels are summed over; order them so that what lies in between stays small.
/// Types are promoted. Throws ValueError for a malformed equation or another number of operands, ShapeError where ranks or sizes do not
/// fit, naming the label.
Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands);

}  // namespace plumb
