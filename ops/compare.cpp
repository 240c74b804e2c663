// Comparisons, tests and selection. Bool results have no derivative; where sends the gradient to the side it chose.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {

static Tensor compare(const char* name, CompareOp op, const Tensor& a, const Tensor& b) {
  detail::check_same_device(name, a, b);
  NoGrad off;
  DType t = promote(a.dtype(), b.dtype());
  Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor out = empty_for(shape, boolean, a.device(), name, a, b);
  kernel::compare(a.device(), op, broadcast_view(name, to(a, t), shape), broadcast_view(name, to(b, t), shape), out);
  return out;
}
// The range of an integer type.
static std::pair<int64_t, int64_t> range_of(DType t) {
  if (t == u8) return {0, 255};
  if (t == i32) return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
  return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
}

// A number that the tensor's type does not have is not squeezed into it: integers are compared with it in i64, or in f64 if it has a
// fraction.
static Tensor compare(const char* name, CompareOp op, const Tensor& a, Scalar b) {
  NoGrad off;
  DType t = b.promote_with(a.dtype());
  if (!is_floating(a.dtype()) && b.floating()) t = f64;
  if (!is_floating(t) && t != boolean && !b.floating())
    if (auto [least, most] = range_of(t); b.integer() < least || b.integer() > most) t = i64;
  return compare(name, op, to(a, t), scalar_tensor(b, t, a.device()));
}

Tensor operator==(const Tensor& a, const Tensor& b) { return compare("==", CompareOp::equal, a, b); }
Tensor operator!=(const Tensor& a, const Tensor& b) { return compare("!=", CompareOp::not_equal, a, b); }
Tensor operator<(const Tensor& a, const Tensor& b) { return compare("<", CompareOp::less, a, b); }
Tensor operator<=(const Tensor& a, const Tensor& b) { return compare("<=", CompareOp::less_equal, a, b); }
Tensor operator>(const Tensor& a, const Tensor& b) { return compare(">", CompareOp::greater, a, b); }
Tensor operator>=(const Tensor& a, const Tensor& b) { return compare(">=", CompareOp::greater_equal, a, b); }
Tensor operator==(const Tensor& a, Scalar b) { return compare("==", CompareOp::equal, a, b); }
Tensor operator!=(const Tensor& a, Scalar b) { return compare("!=", CompareOp::not_equal, a, b); }
Tensor operator<(const Tensor& a, Scalar b) { return compare("<", CompareOp::less, a, b); }
Tensor operator<=(const Tensor& a, Scalar b) { return compare("<=", CompareOp::less_equal, a, b); }
Tensor operator>(const Tensor& a, Scalar b) { return compare(">", CompareOp::greater, a, b); }
Tensor operator>=(const Tensor& a, Scalar b) { return compare(">=", CompareOp::greater_equal, a, b); }
Tensor logical_and(const Tensor& a, const Tensor& b) { return compare("logical_and", CompareOp::logical_and, a, b); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return compare("logical_or", CompareOp::logical_or, a, b); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return compare("logical_xor", CompareOp::logical_xor, a, b); }

static Tensor test(const char* name, TestOp op, const Tensor& a) {
  Tensor out = empty_for(a.shape(), boolean, a.device(), name, a);
  kernel::test(a.device(), op, a, out);
  return out;
}
Tensor logical_not(const Tensor& a) { return test("logical_not", TestOp::logical_not, a); }
Tensor isnan(const Tensor& a) { return test("isnan", TestOp::is_nan, a); }
Tensor isinf(const Tensor& a) { return test("isinf", TestOp::is_inf, a); }
Tensor isfinite(const Tensor& a) { return test("isfinite", TestOp::is_finite, a); }

// y = c ? a : b,   da = c ? dy : 0,   db = c ? 0 : dy
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  if (condition.dtype() != boolean) throw DTypeError("where: the condition must be bool, it is " + std::string(name(condition.dtype())));
  if (a.dtype() != b.dtype()) {
    DType t = promote(a.dtype(), b.dtype());
    return where(condition, to(a, t), to(b, t));
  }
  detail::check_same_device("where", a, b);
  detail::check_same_device("where", condition, a);
  Shape shape = broadcast_shapes("where", broadcast_shapes("where", a.shape(), b.shape()), condition.shape());
  Tensor out = empty_for(shape, a.dtype(), a.device(), "where", a, b, condition);
  kernel::where(a.device(), broadcast_view("where", condition, shape), broadcast_view("where", a, shape), broadcast_view("where", b, shape),
                out);
  return record("where", out, {a, b}, saving(condition),
                [sa = a.shape(), sb = b.shape()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? sum_to(where(s[0], dy[0], 0), sa) : Tensor(), needs[1] ? sum_to(where(s[0], 0, dy[0]), sb) : Tensor()};
                });
}
Tensor where(const Tensor& condition, const Tensor& a, Scalar b) {
  DType t = b.promote_with(a.dtype());
  return where(condition, to(a, t), scalar_tensor(b, t, a.device()));
}
Tensor where(const Tensor& condition, Scalar a, const Tensor& b) {
  DType t = a.promote_with(b.dtype());
  return where(condition, scalar_tensor(a, t, b.device()), to(b, t));
}

// dx = dy where low ≤ x ≤ high
static Tensor clamp_integers(Tensor x, double low, double high) {
  auto [least, most] = range_of(x.dtype());
  auto bound = [&, least = least, most = most](double v) {  // cut off, as a conversion does, and kept to the range
    int64_t n = v <= static_cast<double>(least) ? least : v >= static_cast<double>(most) ? most : static_cast<int64_t>(v);
    return scalar_tensor(n, x.dtype(), x.device());
  };
  if (low > static_cast<double>(least)) x = maximum(x, bound(low));
  return high < static_cast<double>(most) ? minimum(x, bound(high)) : x;
}

Tensor clamp(const Tensor& x, double low, double high) {
  if (std::isnan(low) || std::isnan(high)) throw ValueError("clamp: a bound is NaN");
  if (!is_floating(x.dtype()) && x.dtype() != boolean) {
    Tensor y = clamp_integers(x, low, high);
    return y.impl() == x.impl() ? clone(x) : y;
  }
  // Of bounds that are crossed the upper one holds.
  return record(
      "clamp", detail::unary("clamp", UnaryOp::clamp, x, std::min(low, high), high), {x}, saving(x),
      [low, high](const Grads& dy, const Saved& s, Needs) -> Grads { return where(logical_and(s[0] >= low, s[0] <= high), dy[0], 0); });
}
Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high) { return minimum(maximum(x, low), high); }

Tensor clamp_min(const Tensor& x, double low) { return clamp(x, low, std::numeric_limits<double>::infinity()); }
Tensor clamp_max(const Tensor& x, double high) { return clamp(x, -std::numeric_limits<double>::infinity(), high); }

}  // namespace plumb
