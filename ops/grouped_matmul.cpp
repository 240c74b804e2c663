// Grouped matrix products. grouped_matmul and grouped_outer are each other's derivatives, so they can be differentiated without end.
#include "ops/grouped_matmul.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/autocast_call.h"
#include "ops/kernels/grouped_matmul.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_operands(const char* op, const Tensor& a, const Tensor& b) {
  if (!is_floating(a.dtype()) || a.dtype() != b.dtype())
    throw DTypeError(std::string(op) + ": takes two floating tensors of one type, got " + std::string(name(a.dtype())) + " and " +
                     std::string(name(b.dtype())));
  detail::check_same_device(op, a, b);
}

// The offsets, row-major: 0 = o_0 ≤ o_1 ≤ … ≤ o_segments = rows. On a GPU that is taken on trust: to look would be to wait.
Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t segments, int64_t rows) {
  auto fail = [op](const std::string& problem) { throw IndexError(std::string(op) + ": " + problem); };
  if (offsets.dtype() != i64) throw DTypeError(std::string(op) + ": offsets must be i64, not " + std::string(name(offsets.dtype())));
  if (offsets.shape() != Shape{segments + 1})
    throw ShapeError(std::string(op) + ": " + std::to_string(segments) + " segments need offsets [" + std::to_string(segments + 1) +
                     "], got " + to_string(offsets.shape()));
  if (offsets.device().type != DeviceType::cpu) return contiguous_data(offsets);
  std::vector<int64_t> o = to_vector<int64_t>(offsets);
  if (o.front() != 0) fail("offsets begin with " + std::to_string(o.front()) + ", not 0");
  for (size_t e = 1; e < o.size(); ++e)
    if (o[e] < o[e - 1])
      fail("offsets fall from " + std::to_string(o[e - 1]) + " to " + std::to_string(o[e]) + " at segment " + std::to_string(e - 1));
  if (o.back() != rows) fail("offsets end with " + std::to_string(o.back()) + ", the rows are " + std::to_string(rows));
  return contiguous_data(offsets);
}

// The product with matrices b [E, k, n], outside the graph.
Tensor product(const char* op, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets) {
  Tensor out = empty({a.size(0), b.size(2)}, a.dtype(), a.device(), op);
  kernel::grouped_matmul(a.device(), a, b, bias, offsets, out);
  return out;
}

// The outer product with a result of `type`: that of a and b, or f32, in which 16-bit types are summed anyway.
//   Y_e = A_eᵀ B_e,   dA_e = B_e dY_eᵀ,   dB_e = A_e dY_e
Tensor outer(const Tensor& a, const Tensor& b, const Tensor& segments, DType type) {
  if (a.device().type == DeviceType::cpu && type != a.dtype()) return outer(to(a, type), to(b, type), segments, type);
  Tensor out = empty({segments.size(0) - 1, a.size(1), b.size(1)}, type, a.device(), "grouped_outer");
  kernel::grouped_outer(a.device(), a, b, segments, out);
  return record("grouped_outer", out, {a, b}, saving(kept_if(b.requires_grad(), a), kept_if(a.requires_grad(), b), segments),
                [type = a.dtype()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor da, db;
                  if (needs[0]) da = grouped_matmul(s[1], mT(to(dy[0], type)), s[2]);
                  if (needs[1]) db = grouped_matmul(s[0], to(dy[0], type), s[2]);
                  return {da, db};
                });
}

// y_e = Σ x_r, likewise;   dx_r = dy_e: a product of ones with dy as matrices of one row
Tensor sums(const Tensor& x, const Tensor& segments, DType type) {
  Tensor out = empty({segments.size(0) - 1, x.size(1)}, type, x.device(), "grouped_sum");
  kernel::grouped_sum(x.device(), contiguous_data(x), segments, out);
  return record("grouped_sum", out, {x}, saving(segments),
                [rows = x.size(0), type = x.dtype()](const Grads& dy, const Saved& s, Needs) -> Grads {
                  return {grouped_matmul(ones({rows, 1}, type, dy[0].device()), unsqueeze(to(dy[0], type), 1), s[0])};
                });
}

// A parameter in the type of the product, outside the graph: its gradient then comes in its own type, without a copy in the other.
Tensor for_product(const Tensor& parameter) {
  NoGrad off;
  return detail::autocast(parameter);
}

}  // namespace

// Y_e = X_e W_e,   dX_e = dY_e W_eᵀ,   dW_e = X_eᵀ dY_e
Tensor grouped_matmul(const Tensor& input, const Tensor& w, const Tensor& offsets) {
  if (input.rank() != 2 || w.rank() != 3 || input.size(1) != w.size(1))
    throw ShapeError("grouped_matmul: takes x [rows, in] and a weight [E, in, out], got " + to_string(input.shape()) + " and " +
                     to_string(w.shape()));
  Tensor x = detail::autocast(input), weight = detail::autocast(w);
  check_operands("grouped_matmul", x, weight);
  Tensor segments = checked_offsets("grouped_matmul", offsets, weight.size(0), x.size(0));
  return record("grouped_matmul", product("grouped_matmul", x, weight, {}, segments), {x, weight},
                saving(kept_if(weight.requires_grad(), x), kept_if(x.requires_grad(), weight), segments),
                [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor dx, dw;
                  if (needs[0]) dx = grouped_matmul(dy[0], mT(s[1]), s[2]);
                  if (needs[1]) dw = grouped_outer(s[0], dy[0], s[2]);
                  return {dx, dw};
                });
}

// Y_e = X_e W_eᵀ + 1 b_eᵀ,   dX_e = dY_e W_e,   dW_e = dY_eᵀ X_e,   db_e = Σ dY_e
Tensor grouped_linear(const Tensor& input, const Tensor& w, const Tensor& offset, const Tensor& offsets) {
  if (input.rank() != 2 || w.rank() != 3 || input.size(1) != w.size(2))
    throw ShapeError("grouped_linear: takes x [rows, in] and a weight [E, out, in], got " + to_string(input.shape()) + " and " +
                     to_string(w.shape()));
  Tensor x = detail::autocast(input), weight = for_product(w), bias = for_product(offset);
  check_operands("grouped_linear", x, weight);
  if (bias.defined()) {
    check_operands("grouped_linear", x, bias);
    if (bias.shape() != Shape{weight.size(0), weight.size(1)})
      throw ShapeError("grouped_linear: the bias must be " + to_string(Shape{weight.size(0), weight.size(1)}) + ", it is " +
                       to_string(bias.shape()));
  }
  Tensor segments = checked_offsets("grouped_linear", offsets, weight.size(0), x.size(0));
  Tensor transposed =
      view_of(weight, {weight.size(0), weight.size(2), weight.size(1)}, {weight.strides()[0], weight.strides()[2], weight.strides()[1]}, 0);
  Tensor y = product("grouped_linear", x, transposed, bias.defined() ? contiguous_data(bias) : bias, segments);
  return record("grouped_linear", y, {x, w, offset},
                saving(kept_if(w.requires_grad(), x), kept_if(x.requires_grad(), weight), segments, kept_if(x.requires_grad(), w)),
                [weight_type = w.dtype(), bias_type = offset.defined() ? offset.dtype() : w.dtype()](const Grads& dy, const Saved& s,
                                                                                                     Needs needs) -> Grads {
                  Tensor dx, dw, db;
                  if (needs[0]) dx = grouped_matmul(dy[0], grad_enabled() ? to(s[3], dy[0].dtype()) : s[1], s[2]);
                  if (needs[1]) dw = outer(dy[0], s[0], s[2], weight_type);
                  if (needs[2]) db = sums(dy[0], s[2], bias_type);
                  return {dx, dw, db};
                });
}

Tensor grouped_outer(const Tensor& left, const Tensor& right, const Tensor& offsets) {
  if (left.rank() != 2 || right.rank() != 2 || left.size(0) != right.size(0))
    throw ShapeError("grouped_outer: takes a [rows, m] and b [rows, n], got " + to_string(left.shape()) + " and " +
                     to_string(right.shape()));
  if (offsets.rank() != 1 || offsets.size(0) < 1)
    throw ShapeError("grouped_outer: offsets must be a vector of at least one element, their shape is " + to_string(offsets.shape()));
  Tensor a = detail::autocast(left), b = detail::autocast(right);
  check_operands("grouped_outer", a, b);
  return outer(a, b, checked_offsets("grouped_outer", offsets, offsets.size(0) - 1, a.size(0)), a.dtype());
}

Tensor grouped_sum(const Tensor& x, const Tensor& offsets) {
  if (x.rank() != 2) throw ShapeError("grouped_sum: takes x [rows, n], got " + to_string(x.shape()));
  if (offsets.rank() != 1 || offsets.size(0) < 1)
    throw ShapeError("grouped_sum: offsets must be a vector of at least one element, their shape is " + to_string(offsets.shape()));
  check_operands("grouped_sum", x, x);
  return sums(x, checked_offsets("grouped_sum", offsets, offsets.size(0) - 1, x.size(0)), x.dtype());
}

}  // namespace plumb
