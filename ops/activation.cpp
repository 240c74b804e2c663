// Activations and their derivatives. The hot ones (relu, gelu, silu) have a fused backward kernel f(x, dy); under create_graph the
// formula in plain operations is differentiated instead.
#include "ops/activation.h"

#include <numbers>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

template <typename Derivative>
Tensor activation(const char* name, UnaryOp op, const Tensor& input, Derivative dx, double a = 0, double b = 0) {
  Tensor x = detail::floating(input);
  return record(name, detail::unary(name, op, x, a, b), {x}, saving(x),
                [dx](const Grads& dy, const Saved& s, Needs) -> Grads { return dx(dy[0], s[0]); });
}

using T = const Tensor&;
constexpr double kInvSqrt2 = 1 / std::numbers::sqrt2, kInvSqrt2Pi = 0.39894228040143267794, kSqrt2OverPi = 0.79788456080286535588;

// Φ(x) + x φ(x)
Tensor gelu_derivative(T x) { return (erf(x * kInvSqrt2) + 1) * 0.5 + x * exp(square(x) * -0.5) * kInvSqrt2Pi; }

// ½(1 + t) + ½x(1 − t²) √(2/π)(1 + 3·0.044715x²),  t = tanh(√(2/π)(x + 0.044715x³))
Tensor gelu_tanh_derivative(T x) {
  Tensor t = tanh((x + x * square(x) * 0.044715) * kSqrt2OverPi);
  return (t + 1) * 0.5 + x * (1 - square(t)) * (square(x) * (3 * 0.044715) + 1) * (0.5 * kSqrt2OverPi);
}

}  // namespace

Tensor relu(T input) {
  Tensor y = detail::unary("relu", UnaryOp::relu, input);  // y > 0 exactly where x > 0, so that x need not be kept
  return record("relu", y, {input}, saving(y), [](const Grads& dy, const Saved& s, Needs) -> Grads {
    return grad_enabled() ? where(s[0] > 0, dy[0], 0) : detail::binary("relu_backward", BinaryOp::relu_backward, s[0], dy[0]);
  });
}
Tensor gelu(T x, GeluForm form) {
  if (form == GeluForm::tanh)
    return activation("gelu", UnaryOp::gelu_tanh, x, [](T dy, T x) {
      return grad_enabled() ? dy * gelu_tanh_derivative(x) : detail::binary("gelu_backward", BinaryOp::gelu_tanh_backward, x, dy);
    });
  return activation("gelu", UnaryOp::gelu, x, [](T dy, T x) {
    return grad_enabled() ? dy * gelu_derivative(x) : detail::binary("gelu_backward", BinaryOp::gelu_backward, x, dy);
  });
}
Tensor silu(T x) {
  return activation("silu", UnaryOp::silu, x, [](T dy, T x) {
    if (!grad_enabled()) return detail::binary("silu_backward", BinaryOp::silu_backward, x, dy);
    Tensor s = sigmoid(x);
    return dy * s * (x * (1 - s) + 1);
  });
}
Tensor leaky_relu(T x, double slope) {
  return activation(
      "leaky_relu", UnaryOp::leaky_relu, x, [slope](T dy, T x) { return where(x < 0, dy * slope, dy); }, slope);
}
Tensor elu(T x, double alpha) {
  return activation(
      "elu", UnaryOp::elu, x, [alpha](T dy, T x) { return where(x < 0, dy * exp(clamp_max(x, 0)) * alpha, dy); }, alpha);
}
Tensor relu6(T x) { return clamp(x, 0, 6); }
// d x tanh(s) = tanh(s) + x (1 − tanh²(s)) σ(x),  s = softplus(x)
Tensor mish(T x) {
  return activation("mish", UnaryOp::mish, x, [](T dy, T x) {
    Tensor t = tanh(softplus(x));
    return dy * (t + x * (1 - square(t)) * sigmoid(x));
  });
}
Tensor softplus(T x, double beta, double threshold) {
  return activation(
      "softplus", UnaryOp::softplus, x, [=](T dy, T x) { return where(x * beta > threshold, dy, dy * sigmoid(x * beta)); }, beta,
      threshold);
}
Tensor logsigmoid(T x) { return activation("logsigmoid", UnaryOp::logsigmoid, x, [](T dy, T x) { return dy * sigmoid(neg(x)); }); }
Tensor softsign(T x) { return x / (abs(x) + 1); }
Tensor hardtanh(T x, double low, double high) { return clamp(detail::floating(x), low, high); }
Tensor hardsigmoid(T x) {
  return activation("hardsigmoid", UnaryOp::hardsigmoid, x, [](T dy, T x) { return where(logical_and(x > -3, x < 3), dy * (1.0 / 6), 0); });
}
Tensor hardswish(T x) {
  return activation("hardswish", UnaryOp::hardswish, x,
                    [](T dy, T x) { return where(x <= -3, 0, where(x >= 3, dy, dy * (x * (1.0 / 3) + 0.5))); });
}

Tensor selu(T x) { return elu(x, 1.6732632423543772) * 1.0507009873554805; }
Tensor celu(T x, double alpha) {
  if (alpha == 0) throw ValueError("celu: alpha is 0");
  return where(x < 0, expm1(clamp_max(x, 0) * (1 / alpha)) * alpha, x);
}
Tensor prelu(T x, T weight) {
  bool single = weight.numel() == 1;
  if (!single && (weight.rank() != 1 || x.rank() < 2 || weight.size(0) != x.size(1)))
    throw ShapeError("prelu: the weight " + to_string(weight.shape()) + " is neither one number nor one for each channel of x " +
                     to_string(x.shape()));
  Shape along = Shape::filled(x.rank(), 1);
  if (!single) along[1] = weight.size(0);
  return where(x < 0, x * reshape(weight, along), x);
}
Tensor glu(T x, int dim) {
  dim = checked_dim("glu", dim, x.rank());
  if (x.rank() == 0 || x.size(dim) % 2 != 0)
    throw ShapeError("glu: dimension " + std::to_string(dim) + " of " + to_string(x.shape()) + " cannot be halved");
  int64_t half = x.size(dim) / 2;
  return narrow(x, dim, 0, half) * sigmoid(narrow(x, dim, half, half));
}
Tensor softshrink(T x, double lambda) {
  if (!(lambda >= 0)) throw ValueError("softshrink: lambda must not be negative, it is " + decimal(lambda));
  T v = detail::floating(x);
  return v - clamp(v, -lambda, lambda);
}
Tensor hardshrink(T x, double lambda) { return where(abs(x) <= lambda, 0, x); }
// Where the two parts of a difference are close to each other, 16 bits would leave few of its digits: f32 until the end.
static Tensor in_f32(T input, Tensor (*f)(T)) {
  Tensor x = detail::floating(input);
  return to(f(to(x, compute_dtype(x.dtype()))), x.dtype());
}
Tensor tanhshrink(T x) {
  return in_f32(x, [](T v) { return v - tanh(v); });
}
Tensor logit(T x, double eps) {
  return in_f32(eps > 0 ? clamp(detail::floating(x), eps, 1 - eps) : x, [](T v) { return log(v) - log1p(neg(v)); });
}

}  // namespace plumb
