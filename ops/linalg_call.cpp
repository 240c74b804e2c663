// Checks and shapes of dense linear algebra.
#include "ops/linalg_call.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/autograd/autocast.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::detail::linalg {

void check_matrix(const char* op, const Tensor& a) {
  if (a.dtype() != f64 && a.dtype() != f32) unsupported_dtype(op, a.dtype());
  if (a.rank() < 2) throw ShapeError(std::string(op) + ": takes matrices [.., m, n], not " + to_string(a.shape()));
}

void check_square(const char* op, const Tensor& a) {
  check_matrix(op, a);
  if (a.size(-1) != a.size(-2)) throw ShapeError(std::string(op) + ": takes square matrices, not " + to_string(a.shape()));
}

// Factors of NaN and infinity would be partly made up, and the iterations for them need not end.
void check_finite(const char* op, const Tensor& a) {
  if (a.numel() == 0) return;
  std::vector<int64_t> finite = to_vector<int64_t>(all(isfinite(a), {-2, -1}));
  auto bad = std::find(finite.begin(), finite.end(), 0);
  if (bad != finite.end())
    throw ValueError(std::string(op) + ": matrix " + std::to_string(bad - finite.begin()) + " of the batch holds NaN or infinity");
}

Shape batch_of(const Tensor& a) { return a.shape().slice(0, a.rank() - 2); }

Shape joined(Shape batch, const Shape& rest) {
  for (int64_t n : rest) batch.push_back(n);
  return batch;
}

Tensor matrices(const Tensor& a) {
  Tensor data = contiguous_data(a);
  Shape shape{numel(batch_of(a)), a.size(-2), a.size(-1)};
  return view_of(data, shape, contiguous_strides(shape), 0);
}

System checked_system(const char* op, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device()) throw DeviceError(std::string(op) + ": the matrix and the right side are on different devices");
  if (a.dtype() != b.dtype())
    throw DTypeError(std::string(op) + ": the matrix is " + std::string(name(a.dtype())) + ", the right side " +
                     std::string(name(b.dtype())));
  if (b.rank() < 2 || a.size(-2) != b.size(-2))
    throw ShapeError(std::string(op) + ": the right side " + to_string(b.shape()) + " does not fit the matrix " + to_string(a.shape()));
  Shape batch = broadcast_shapes(op, batch_of(a), batch_of(b));
  return {expand(a, joined(batch, {a.size(-2), a.size(-1)})), expand(b, joined(batch, {b.size(-2), b.size(-1)}))};
}

Tensor product(const Tensor& a, const Tensor& b) {
  Autocast off(f32);
  return matmul(a, b);
}

Output::Output(const char* op, const Tensor& a, const Shape& rest) : tensor(empty(joined(batch_of(a), rest), a.dtype(), a.device(), op)) {
  Shape shape = joined(Shape{numel(batch_of(a))}, rest);
  flat = view_of(tensor, shape, contiguous_strides(shape), 0);
}

}  // namespace plumb::detail::linalg
