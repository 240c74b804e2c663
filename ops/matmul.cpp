// Matrix products and their derivatives. Every product goes through one kernel on [batch, m, k] and [batch, k, n]; a right operand
// without batch dimensions makes it a single product of [batch·m, k].
#include "ops/matmul.h"

#include "engine/autograd/record.h"
#include "ops/autocast_call.h"
#include "ops/kernels/matmul.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

std::string two_shapes(const Tensor& a, const Tensor& b) { return to_string(a.shape()) + " · " + to_string(b.shape()); }

void check_product(const char* op, const Tensor& a, const Tensor& b, int64_t inner_a, int64_t inner_b) {
  if (!is_floating(a.dtype()) || a.dtype() != b.dtype())
    throw DTypeError(std::string(op) + ": takes two floating tensors of one type, got " + std::string(name(a.dtype())) + " and " +
                     std::string(name(b.dtype())));
  detail::check_same_device(op, a, b);
  if (inner_a != inner_b) throw ShapeError(std::string(op) + ": inner sizes differ: " + two_shapes(a, b));
}

// Rows [.., m, k] as one matrix [rows, k], a copy only if the strides need it. Outside the graph.
Tensor as_rows(const Tensor& x) {
  NoGrad off;
  return reshape(x, {x.numel() / std::max<int64_t>(1, x.shape().back()), x.shape().back()});
}

Tensor batched(const Tensor& x, const Shape& batch) {
  NoGrad off;
  Shape full = batch;
  full.push_back(x.size(-2));
  full.push_back(x.size(-1));
  return reshape(expand(x, full), {numel(batch), x.size(-2), x.size(-1)});
}

// a · b for ranks ≥ 2, outside the graph.
Tensor product(const char* op, const Tensor& a, const Tensor& b, const Tensor& bias = {}) {
  int64_t m = a.size(-2), n = b.size(-1);
  Shape batch = b.rank() == 2 ? a.shape().slice(0, a.rank() - 2)
                              : broadcast_shapes(op, a.shape().slice(0, a.rank() - 2), b.shape().slice(0, b.rank() - 2));
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor out = empty(shape, a.dtype(), a.device(), op);
  if (b.rank() == 2 && numel(batch) * m > 0 && a.numel() > 0) {
    Tensor rows = as_rows(a), flat = view_of(out, {1, numel(batch) * m, n}, {out.numel(), n, 1}, 0);
    kernel::matmul(a.device(), view_of(rows, {1, rows.shape()[0], rows.shape()[1]}, {0, rows.strides()[0], rows.strides()[1]}, 0),
                   view_of(b, {1, b.shape()[0], n}, {0, b.strides()[0], b.strides()[1]}, 0), bias, false, flat);
  } else {
    Tensor flat = view_of(out, {numel(batch), m, n}, {m * n, n, 1}, 0);
    kernel::matmul(a.device(), batched(a, batch), batched(b, batch), bias, false, flat);
  }
  return out;
}

}  // namespace

// Y = A B,   dA = dY Bᵀ,   dB = Aᵀ dY; broadcast batch dimensions are summed.
Tensor matmul(const Tensor& left, const Tensor& right) {
  if (left.rank() == 0 || right.rank() == 0) throw ShapeError("matmul: takes vectors or matrices: " + two_shapes(left, right));
  if (left.rank() == 1) return squeeze(matmul(unsqueeze(left, 0), right), right.rank() == 1 ? 0 : -2);
  if (right.rank() == 1) return squeeze(matmul(left, unsqueeze(right, 1)), -1);
  Tensor a = detail::autocast(left), b = detail::autocast(right);
  check_product("matmul", a, b, a.size(-1), b.size(-2));
  return record("matmul", product("matmul", a, b), {a, b}, saving(b.requires_grad() ? a : Tensor(), a.requires_grad() ? b : Tensor()),
                [sa = a.shape(), sb = b.shape()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor da, db;
                  int64_t rows = numel(sa.slice(0, sa.rank() - 1));
                  if (needs[0]) da = sum_to(matmul(dy[0], mT(s[1])), sa);
                  if (needs[1] && sb.rank() == 2)
                    db = matmul(mT(reshape(s[0], {rows, sb[0]})), reshape(dy[0], {rows, sb[1]}));  // one product sums over the batch
                  else if (needs[1])
                    db = sum_to(matmul(mT(s[0]), dy[0]), sb);
                  return {da, db};
                });
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  if (a.rank() != 3 || b.rank() != 3 || a.size(0) != b.size(0)) throw ShapeError("bmm: takes [b, m, k] and [b, k, n]: " + two_shapes(a, b));
  return matmul(a, b);
}

// Y = X Wᵀ + b,   dX = dY W,   dW = dYᵀ X,   db = Σ dY
Tensor linear(const Tensor& input, const Tensor& w, const Tensor& offset) {
  Tensor x = detail::autocast(input), weight = detail::autocast(w), bias = detail::autocast(offset);
  if (x.rank() == 0 || weight.rank() != 2) throw ShapeError("linear: takes x [.., in] and a weight [out, in]: " + two_shapes(x, weight));
  check_product("linear", x, weight, x.size(-1), weight.size(1));
  int64_t in = weight.size(1), out = weight.size(0);
  if (bias.defined() && bias.shape() != Shape{out})
    throw ShapeError("linear: the bias must be [" + std::to_string(out) + "], it is " + to_string(bias.shape()));
  if (x.rank() == 1) return squeeze(linear(unsqueeze(x, 0), weight, bias), 0);
  Tensor contiguous_bias = bias.defined() ? contiguous_data(bias) : bias;
  Tensor y = product("linear", x, view_of(weight, {in, out}, {weight.strides()[1], weight.strides()[0]}, 0), contiguous_bias);
  return record("linear", y, {x, weight, bias}, saving(weight.requires_grad() ? x : Tensor(), x.requires_grad() ? weight : Tensor()),
                [in, out, rows = numel(x.shape().slice(0, x.rank() - 1))](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor dx, dw, db;
                  if (needs[0]) dx = matmul(dy[0], s[1]);
                  if (needs[1]) dw = matmul(mT(reshape(dy[0], {rows, out})), reshape(s[0], {rows, in}));
                  if (needs[2]) db = sum_to(dy[0], {out});
                  return {dx, dw, db};
                });
}

Tensor outer(const Tensor& a, const Tensor& b) {
  if (a.rank() != 1 || b.rank() != 1) throw ShapeError("outer: takes two vectors: " + two_shapes(a, b));
  return unsqueeze(a, 1) * unsqueeze(b, 0);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  if (a.rank() != 1 || b.rank() != 1) throw ShapeError("dot: takes two vectors: " + two_shapes(a, b));
  return matmul(a, b);
}

}  // namespace plumb
