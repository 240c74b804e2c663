// Arithmetic with its derivatives. Broadcast inputs get their gradient summed back to their shape (sum_to).
#include "ops/pointwise.h"

#include <cmath>
#include <memory>
#include <utility>

#include "engine/autograd/inplace.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "ops/elementary.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

void check_numbers(const char* name, DType type) {
  if (type == boolean) throw DTypeError(std::string(name) + ": does not take bool tensors; convert them first");
}
void check_holds(const char* name, const Tensor& a, bool fractions) {
  if (fractions && !is_floating(a.dtype()))
    throw DTypeError(std::string(name) + ": a fraction does not fit into a tensor of " + std::string(plumb::name(a.dtype())) +
                     "; convert the tensor to f32 first");
}

Tensor unary(const char* name, UnaryOp op, const Tensor& x, double a, double b) {
  check_numbers(name, x.dtype());
  Tensor y = empty_for(x.shape(), x.dtype(), x.device(), name, x);
  kernel::unary(x.device(), op, x, a, b, y);
  return y;
}

Tensor floating(const Tensor& x) { return is_floating(x.dtype()) ? x : to(x, f32); }

[[noreturn]] static void devices_differ(const char* name, Device a, Device b) {
  throw DeviceError(std::string(name) + ": one tensor is on " + to_string(a) + ", the other on " + to_string(b));
}
void check_same_device(const char* name, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device()) devices_differ(name, a.device(), b.device());
}

Tensor binary(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  check_same_device(name, a, b);
  check_numbers(name, a.dtype());
  DType type = a.dtype() == b.dtype() ? a.dtype() : f32;
  if (a.shape() == b.shape()) {
    Tensor out = empty_for(a.shape(), type, a.device(), name, a, b);
    kernel::binary(a.device(), op, a, b, out);
    return out;
  }
  Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor out = empty_for(shape, type, a.device(), name, a, b);
  kernel::binary(a.device(), op, broadcast_view(name, a, shape), broadcast_view(name, b, shape), out);
  return out;
}

}  // namespace detail

using detail::binary;
using detail::unary;

// Both as their common type; the conversion is part of the graph.
struct Promoted {
  Tensor a, b;
};
static Promoted promoted(const Tensor& a, const Tensor& b, bool to_floating = false) {
  DType t = promote(a.dtype(), b.dtype());
  if (to_floating && !is_floating(t)) t = f32;
  if (t == boolean) t = i64;
  return {to(a, t), to(b, t)};
}
static bool same_numbers(const Tensor& a, const Tensor& b) { return a.dtype() == b.dtype() && a.dtype() != boolean; }
// What sums and products take as it is: also f32 and a 16-bit type, whose result is f32.
static bool summands(const Tensor& a, const Tensor& b) {
  auto narrow = [](DType t) { return t == bf16 || t == f16; };
  return same_numbers(a, b) || (a.dtype() == f32 && narrow(b.dtype())) || (b.dtype() == f32 && narrow(a.dtype()));
}

Tensor sum_to(Tensor g, const Shape& shape) {
  if (g.shape() == shape) return g;
  std::vector<int> dims;
  int shift = g.rank() - shape.rank();
  for (int i = 0; i < g.rank(); ++i)
    if (i < shift || (shape[i - shift] == 1 && g.shape()[i] != 1)) dims.push_back(i);
  return reshape(sum(g, dims, true), shape);
}

// The shapes and types of two inputs, for taking a gradient back to them; shapes are kept only if one was broadcast, which is rare.
class InputForms {
 public:
  InputForms(const Tensor& a, const Tensor& b) : first_(a.dtype()), second_(b.dtype()) {
    if (a.shape() != b.shape()) shapes_ = std::make_unique<std::pair<Shape, Shape>>(a.shape(), b.shape());
  }
  Tensor first(Tensor g) const { return to(shapes_ ? sum_to(std::move(g), shapes_->first) : std::move(g), first_); }
  Tensor second(Tensor g) const { return to(shapes_ ? sum_to(std::move(g), shapes_->second) : std::move(g), second_); }

 private:
  DType first_, second_;
  std::unique_ptr<std::pair<Shape, Shape>> shapes_;
};

// d(a + b) = da + db
Tensor add(const Tensor& a, const Tensor& b) {
  if (!summands(a, b)) { auto p = promoted(a, b); return add(p.a, p.b); }
  return record("add", binary("add", BinaryOp::add, a, b), {a, b}, saving(),
                [in = InputForms(a, b)](const Grads& dy, const Saved&, Needs needs) -> Grads {
                  return {needs[0] ? in.first(dy[0]) : Tensor(), needs[1] ? in.second(dy[0]) : Tensor()};
                });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  if (!summands(a, b)) { auto p = promoted(a, b); return sub(p.a, p.b); }
  return record("sub", binary("sub", BinaryOp::sub, a, b), {a, b}, saving(),
                [in = InputForms(a, b)](const Grads& dy, const Saved&, Needs needs) -> Grads {
                  return {needs[0] ? in.first(dy[0]) : Tensor(), needs[1] ? in.second(neg(dy[0])) : Tensor()};
                });
}

// d(a b) = b da + a db
Tensor mul(const Tensor& a, const Tensor& b) {
  if (!summands(a, b)) { auto p = promoted(a, b); return mul(p.a, p.b); }
  return record("mul", binary("mul", BinaryOp::mul, a, b), {a, b}, saving(kept_if(a.requires_grad(), b), kept_if(b.requires_grad(), a)),
                [in = InputForms(a, b)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? in.first(dy[0] * s[0]) : Tensor(), needs[1] ? in.second(dy[0] * s[1]) : Tensor()};
                });
}

// d(a / b) = da / b − (a / b) db / b
Tensor div(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return div(p.a, p.b); }
  Tensor y = binary("div", BinaryOp::div, a, b);
  return record("div", y, {a, b}, saving(b, y), [in = InputForms(a, b)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor da = dy[0] / s[0];
    return {needs[0] ? in.first(da) : Tensor(), needs[1] ? in.second(neg(da * s[1])) : Tensor()};
  });
}

static Tensor number_typed(const Tensor& a, Scalar b) {
  DType t = b.promote_with(a.dtype());
  return to(a, t == boolean ? i64 : t);
}

// Kernels take a number as f64, which has not all integers beyond 2⁵³; those go as a tensor.
static bool fits_f64(Scalar b) {
  constexpr int64_t kLargest = int64_t{1} << 53;
  return b.floating() || (b.integer() >= -kLargest && b.integer() <= kLargest);
}

Tensor add(const Tensor& a, Scalar b) {
  Tensor x = number_typed(a, b);
  if (!fits_f64(b) && x.dtype() == i64) return add(x, scalar_tensor(b, i64, x.device()));
  return record("add", unary("add", UnaryOp::add_scalar, x, b.value()), {x}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
}
Tensor mul(const Tensor& a, Scalar b) {
  Tensor x = number_typed(a, b);
  if (!fits_f64(b) && x.dtype() == i64) return mul(x, scalar_tensor(b, i64, x.device()));
  return record("mul", unary("mul", UnaryOp::mul_scalar, x, b.value()), {x}, saving(),
                [b](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0] * b; });
}
Tensor div(const Tensor& a, Scalar b) { return mul(detail::floating(a), 1.0 / b.value()); }
Tensor operator-(const Tensor& a, Scalar b) {
  if (b.floating()) return add(a, -b.value());
  return add(a, -b.integer());
}
Tensor operator-(Scalar a, const Tensor& b) {
  Tensor x = number_typed(b, a);
  if (!fits_f64(a) && x.dtype() == i64) return sub(scalar_tensor(a, i64, x.device()), x);
  return record("sub", unary("sub", UnaryOp::rsub_scalar, x, a.value()), {x}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return neg(dy[0]); });
}
Tensor operator/(Scalar a, const Tensor& b) { return mul(reciprocal(b), a.value()); }

Tensor neg(const Tensor& a) {
  return record("neg", unary("neg", UnaryOp::neg, a), {a}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return neg(dy[0]); });
}

// Piecewise constant: da = db = 0.
Tensor floor_divide(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b)) { auto p = promoted(a, b); return floor_divide(p.a, p.b); }
  return record("floor_divide", binary("floor_divide", BinaryOp::floor_divide, a, b), {a, b}, saving(),
                [sa = a.shape(), sb = b.shape(), t = a.dtype(), at = a.device()](const Grads&, const Saved&, Needs) -> Grads {
                  return {zeros(sa, t, at), zeros(sb, t, at)};
                });
}

// r = a − b ⌊a/b⌋,  dr = da − ⌊a/b⌋ db
Tensor remainder(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b)) { auto p = promoted(a, b); return remainder(p.a, p.b); }
  return record("remainder", binary("remainder", BinaryOp::remainder, a, b), {a, b}, saving(a, b),
                [in = InputForms(a, b)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? in.first(dy[0]) : Tensor(),
                          needs[1] ? in.second(neg(dy[0] * binary("floor_divide", BinaryOp::floor_divide, s[0], s[1]))) : Tensor()};
                });
}

// d(a^b) = b a^(b−1) da + a^b log a db
Tensor pow(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return pow(p.a, p.b); }
  Tensor y = binary("pow", BinaryOp::pow, a, b);
  return record("pow", y, {a, b}, saving(a, b, y), [in = InputForms(a, b)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor da, db;
    if (needs[0]) da = in.first(where(s[1] == 0, 0, dy[0] * s[1] * pow(s[0], s[1] - 1)));
    if (needs[1]) {
      Tensor at_zero = logical_and(s[0] == 0, s[1] >= 0);
      db = in.second(where(at_zero, 0, dy[0] * s[2] * log(where(at_zero, 1, s[0]))));
    }
    return {da, db};
  });
}

// d(x^p) = p x^(p−1) dx
Tensor pow(const Tensor& a, Scalar exponent) {
  double p = exponent.value();
  Tensor x = detail::floating(a);
  if (p == 2) return square(x);
  return record("pow", unary("pow", UnaryOp::pow_scalar, x, p), {x}, saving(x), [p](const Grads& dy, const Saved& s, Needs) -> Grads {
    if (p == 0) return zeros_like(dy[0]);
    return p == 1 ? dy[0] : dy[0] * pow(s[0], p - 1) * p;
  });
}

// d(a^x) = a^x log a dx
Tensor pow(Scalar base, const Tensor& exponent) {
  Tensor x = detail::floating(exponent);
  Tensor y = unary("pow", UnaryOp::rpow_scalar, x, base.value());
  return record("pow", y, {x}, saving(y), [a = base.value()](const Grads& dy, const Saved& s, Needs) -> Grads {
    return a == 0 ? zeros_like(dy[0]) : dy[0] * s[0] * std::log(a);
  });
}

// The share of the gradient that goes to a: 1 where it won, ½ where both are equal. NaN wins, as in the result.
static Tensor share_of_first(const Tensor& a, const Tensor& b, bool larger) {
  NoGrad off;
  Tensor a_is_nan = isnan(a), b_is_nan = isnan(b);
  Tensor won = logical_or(larger ? a > b : a < b, logical_and(a_is_nan, logical_not(b_is_nan)));
  return to(won, a.dtype()) + to(logical_or(a == b, logical_and(a_is_nan, b_is_nan)), a.dtype()) * 0.5;
}

static Tensor extremum(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  return record(name, binary(name, op, a, b), {a, b}, saving(a, b),
                [op, in = InputForms(a, b)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor share = share_of_first(s[0], s[1], op == BinaryOp::maximum);
                  return {needs[0] ? in.first(dy[0] * share) : Tensor(), needs[1] ? in.second(dy[0] * (1 - share)) : Tensor()};
                });
}
Tensor maximum(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b)) { auto p = promoted(a, b); return maximum(p.a, p.b); }
  return extremum("maximum", BinaryOp::maximum, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b)) { auto p = promoted(a, b); return minimum(p.a, p.b); }
  return extremum("minimum", BinaryOp::minimum, a, b);
}

// d atan2(a, b) = (b da − a db) / (a² + b²), 0 at the origin
Tensor atan2(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return atan2(p.a, p.b); }
  return record(
      "atan2", binary("atan2", BinaryOp::atan2, a, b), {a, b}, saving(a, b), [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
        Tensor squares = square(s[0]) + square(s[1]), origin = squares == 0;
        Tensor scaled = where(origin, 0, dy[0] / where(origin, 1, squares));
        return {needs[0] ? sum_to(scaled * s[1], s[0].shape()) : Tensor(), needs[1] ? sum_to(neg(scaled * s[0]), s[1].shape()) : Tensor()};
      });
}

// d √(a² + b²) = (a da + b db) / y
Tensor hypot(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return hypot(p.a, p.b); }
  Tensor y = binary("hypot", BinaryOp::hypot, a, b);
  return record("hypot", y, {a, b}, saving(a, b, y), [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor scaled = dy[0] / s[2];
    return {needs[0] ? sum_to(scaled * s[0], s[0].shape()) : Tensor(), needs[1] ? sum_to(scaled * s[1], s[1].shape()) : Tensor()};
  });
}

// d(a log b) = log b da + (a / b) db, 0 where a log b is taken as 0 outside the logarithm's domain
Tensor xlogy(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return xlogy(p.a, p.b); }
  return record("xlogy", binary("xlogy", BinaryOp::xlogy, a, b), {a, b}, saving(a, b),
                [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor outside = logical_and(s[0] == 0, s[1] <= 0);
                  return {needs[0] ? sum_to(where(outside, 0, dy[0] * log(where(outside, 1, s[1]))), s[0].shape()) : Tensor(),
                          needs[1] ? sum_to(where(s[0] == 0, 0, dy[0] * s[0] / s[1]), s[1].shape()) : Tensor()};
                });
}

// d log(eᵃ + eᵇ) = σ(a − b) da + σ(b − a) db
Tensor logaddexp(const Tensor& a, const Tensor& b) {
  if (!same_numbers(a, b) || !is_floating(a.dtype())) { auto p = promoted(a, b, true); return logaddexp(p.a, p.b); }
  return record(
      "logaddexp", binary("logaddexp", BinaryOp::logaddexp, a, b), {a, b}, saving(a, b),
      [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
        // Not 1 − σ: of the smaller one nothing would be left.
        return {needs[0] ? sum_to(dy[0] * sigmoid(s[0] - s[1]), s[0].shape()) : Tensor(),
                needs[1] ? sum_to(dy[0] * sigmoid(s[1] - s[0]), s[1].shape()) : Tensor()};
      });
}

Tensor lerp(const Tensor& a, const Tensor& b, Scalar weight) { return a + (b - a) * weight; }
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight) { return a + (b - a) * weight; }

}  // namespace plumb
