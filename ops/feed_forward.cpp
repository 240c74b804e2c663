// With z = x Uᵀ + b, h = gelu(z) and y = h Dᵀ + c:
//   dz = (dy D) ⊙ gelu'(z),   dx = dz U,   dU = dzᵀ x,   db = Σ dz,   dD = dyᵀ h,   dc = Σ dy
#include "ops/feed_forward.h"

#include "engine/autograd/record.h"
#include "ops/activation.h"
#include "ops/autocast_call.h"
#include "ops/formula.h"
#include "ops/kernels/matmul.h"
#include "ops/matmul.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

using T = const Tensor&;

Tensor formula(T x, T up, T up_bias, T down, T down_bias) { return linear(gelu(linear(x, up, up_bias), GeluForm::tanh), down, down_bias); }

void check(T x, T up, T up_bias, T down, T down_bias) {
  auto shapes = [&] { return to_string(x.shape()) + ", up " + to_string(up.shape()) + ", down " + to_string(down.shape()); };
  if (x.rank() == 0 || up.rank() != 2 || down.rank() != 2 || x.size(-1) != up.size(1) || down.size(1) != up.size(0))
    throw ShapeError("gelu_feed_forward: takes x [.., in], up [inner, in] and down [out, inner], got " + shapes());
  for (auto [bias, size, what] : {std::tuple{&up_bias, up.size(0), "up"}, {&down_bias, down.size(0), "down"}})
    if (bias->defined() && bias->shape() != Shape{size})
      throw ShapeError(std::string("gelu_feed_forward: the bias of ") + what + " must be [" + std::to_string(size) + "], it is " +
                       to_string(bias->shape()));
  for (const Tensor* t : {&up, &down, &up_bias, &down_bias}) {
    if (!t->defined()) continue;
    if (!is_floating(x.dtype()) || t->dtype() != x.dtype())
      throw DTypeError("gelu_feed_forward: takes floating tensors of one type, got " + std::string(name(x.dtype())) + " and " +
                       std::string(name(t->dtype())));
    detail::check_same_device("gelu_feed_forward", x, *t);
  }
}

// [rows, columns] as a batch of one, and the same of a transposed weight.
Tensor one(T x) { return view_of(x, {1, x.size(0), x.size(1)}, {0, x.strides()[0], x.strides()[1]}, 0); }
Tensor row_major(T x) { return x.defined() ? contiguous_data(x) : x; }

}  // namespace

Tensor gelu_feed_forward(const Tensor& input, const Tensor& up_weight, const Tensor& up_offset, const Tensor& down_weight,
                         const Tensor& down_offset) {
  Tensor x = detail::autocast(input), up = detail::autocast(up_weight), up_bias = detail::autocast(up_offset),
         down = detail::autocast(down_weight), down_bias = detail::autocast(down_offset);
  check(x, up, up_bias, down, down_bias);
  int64_t in = up.size(1), inner = up.size(0), out = down.size(0), rows = numel(x.shape().slice(0, x.rank() - 1));
  bool keeps = grad_enabled() && (x.requires_grad() || up.requires_grad() || (up_bias.defined() && up_bias.requires_grad()) ||
                                  down.requires_grad() || (down_bias.defined() && down_bias.requires_grad()));
  Tensor flat, z, h = empty({rows, inner}, x.dtype(), x.device(), "gelu_feed_forward"), y;
  if (keeps) z = empty({rows, inner}, x.dtype(), x.device(), "gelu_feed_forward");
  {
    NoGrad off;
    flat = reshape(x, {rows, in});
    Tensor before = keeps ? one(z) : Tensor(), after = one(h);
    kernel::matmul_gelu(x.device(), one(flat), one(mT(up)), row_major(up_bias), before, after);
    Shape shape = x.shape();
    shape[shape.rank() - 1] = out;
    y = empty(shape, x.dtype(), x.device(), "gelu_feed_forward");
    Tensor result = view_of(y, {1, rows, out}, {rows * out, out, 1}, 0);
    kernel::matmul(x.device(), after, one(mT(down)), row_major(down_bias), false, result);
  }
  return record("gelu_feed_forward", y, {x, up, up_bias, down, down_bias}, saving(x, up, up_bias, down, down_bias, z, h),
                [=, shape = x.shape()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  if (grad_enabled())
                    return differentiate([](const std::vector<Tensor>& v) { return formula(v[0], v[1], v[2], v[3], v[4]); },
                                         {s[0], s[1], s[2], s[3], s[4]}, dy, needs);
                  Tensor d = contiguous_data(reshape(dy[0], {rows, out})), dz, dx, dup, dup_bias, ddown, ddown_bias;
                  if (needs[0] || needs[1] || needs[2]) {
                    dz = empty({rows, inner}, d.dtype(), d.device(), "gelu_feed_forward_backward");
                    Tensor result = one(dz);
                    kernel::matmul_gelu_backward(d.device(), one(d), one(s[3]), one(s[5]), result);
                  }
                  if (needs[0]) dx = reshape(matmul(dz, s[1]), shape);
                  if (needs[1]) dup = matmul(mT(dz), reshape(s[0], {rows, in}));
                  if (needs[2]) dup_bias = sum(dz, {0});
                  if (needs[3]) ddown = matmul(mT(d), s[6]);
                  if (needs[4]) ddown_bias = sum(d, {0});
                  return {dx, dup, dup_bias, ddown, ddown_bias};
                });
}

}  // namespace plumb
