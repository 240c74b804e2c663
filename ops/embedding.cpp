// Embedding: a gather of rows, and its derivative, a scatter of sums. Each is the other's derivative.
#include "ops/embedding.h"

#include "engine/autograd/record.h"
#include "ops/kernels/embedding.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

Tensor scatter_rows(const Tensor& dy, const Tensor& indices, int64_t rows, int64_t padding);

// y_i = W[t_i]   (0 where t_i is zero_row),   dW[r] = Σ_{i: t_i = r} dy_i   (0 for r = skipped)
Tensor gather_rows(const Tensor& weight, const Tensor& indices, int64_t zero_row, int64_t skipped) {
  Shape shape = indices.shape();
  shape.push_back(weight.size(1));
  Tensor y = empty(shape, weight.dtype(), weight.device(), "embedding");
  kernel::embedding(weight.device(), contiguous_data(weight), contiguous_data(indices), zero_row, y);
  return record("embedding", y, {weight}, saving(indices),
                [skipped, rows = weight.size(0)](const Grads& dy, const Saved& s, Needs) -> Grads {
                  return scatter_rows(dy[0], s[0], rows, skipped);
                });
}

Tensor scatter_rows(const Tensor& dy, const Tensor& indices, int64_t rows, int64_t padding) {
  Tensor dw = empty({rows, dy.shape().back()}, compute_dtype(dy.dtype()), dy.device(), "embedding_backward");
  kernel::embedding_backward(dy.device(), contiguous_data(dy), contiguous_data(indices), padding, dw);
  Tensor typed;
  {
    NoGrad off;
    typed = to(dw, dy.dtype());
  }
  return record("embedding_backward", typed, {dy}, saving(indices), [padding](const Grads& ddw, const Saved& s, Needs) -> Grads {
    return gather_rows(ddw[0], s[0], padding, padding);
  });
}

}  // namespace

Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding_idx) {
  if (weight.rank() != 2) throw ShapeError("embedding: the weight must be [rows, columns], it is " + to_string(weight.shape()));
  if (!is_floating(weight.dtype())) throw DTypeError("embedding: the weight must be floating, it is " + std::string(name(weight.dtype())));
  if (indices.dtype() != i64 && indices.dtype() != i32)
    throw DTypeError("embedding: indices must be i64 or i32, they are " + std::string(name(indices.dtype())));
  if (padding_idx >= weight.size(0))
    throw IndexError("embedding: padding_idx " + std::to_string(padding_idx) + " is outside [0, " + std::to_string(weight.size(0)) + ")");
  detail::check_same_device("embedding", weight, indices);
  return gather_rows(weight, indices, -1, padding_idx);
}

}  // namespace plumb
