// Rows sent to places and brought back.
#include "ops/grouped_rows.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/index_call.h"
#include "ops/kernels/grouped_rows.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

[[noreturn]] void wrong_shapes(const char* op, const std::string& takes, const Tensor& x, const Tensor& place) {
  throw ShapeError(std::string(op) + ": takes " + takes + " and places [N, k], got " + to_string(x.shape()) + " and " +
                   to_string(place.shape()));
}

// The places, row-major: each of [0, rows) once, −1 any number of times. On a GPU that is taken on trust: to look would be to wait.
Tensor checked_places(const char* op, const Tensor& place, int64_t rows) {
  if (place.dtype() != i64) throw DTypeError(std::string(op) + ": places must be i64, not " + std::string(name(place.dtype())));
  if (place.device().type != DeviceType::cpu) return contiguous_data(place);
  std::vector<bool> taken(static_cast<size_t>(rows));
  int64_t count = 0;
  for (int64_t p : to_vector<int64_t>(place)) {
    if (p < -1 || p >= rows)
      throw IndexError(std::string(op) + ": place " + std::to_string(p) + " is outside [−1, " + std::to_string(rows) + ")");
    if (p < 0) continue;
    if (taken[static_cast<size_t>(p)]) throw IndexError(std::string(op) + ": place " + std::to_string(p) + " is named twice");
    taken[static_cast<size_t>(p)] = true;
    ++count;
  }
  if (count != rows)
    throw IndexError(std::string(op) + ": only " + std::to_string(count) + " of " + std::to_string(rows) + " rows are somebody's place");
  return contiguous_data(place);
}

// The weights in the type that rows are added up in.
Tensor checked_weight(const char* op, const Tensor& x, const Tensor& weight, int64_t rows) {
  if (!weight.defined()) return weight;
  detail::check_same_device(op, x, weight);
  if (weight.shape() != Shape{rows})
    throw ShapeError(std::string(op) + ": " + std::to_string(rows) + " rows need as many weights, got " + to_string(weight.shape()));
  return to(weight, compute_dtype(x.dtype()));
}

// Types that can be on two sides: f64 only with itself.
void check_types(const char* op, DType a, DType b) {
  if (!is_floating(a) || !is_floating(b) || (a == f64) != (b == f64))
    throw DTypeError(std::string(op) + ": takes floating rows, f64 only on both sides; got " + std::string(name(a)) + " and " +
                     std::string(name(b)));
}

// Outside a graph rows, places and weights are used as they lie in memory.
Tensor defined_data(const Tensor& x) { return x.defined() ? contiguous_data(x) : x; }

Tensor joined(const Tensor& x, const Tensor& place, const Tensor& weight, DType type);
Tensor dots(const Tensor& x, const Tensor& y, const Tensor& place);

// y_p = w_p x_n,   dx_n = Σ w_p dy_p,   dw_p = ⟨x_n, dy_p⟩
Tensor spread(const Tensor& x, const Tensor& place, int64_t rows, const Tensor& weight, DType type) {
  Tensor y = empty({rows, x.size(1)}, type, x.device(), "spread_rows");
  kernel::spread_rows(x.device(), contiguous_data(x), place, defined_data(weight), y);
  bool weighed = weight.defined() && weight.requires_grad();
  return record("spread_rows", y, {x, weight}, saving(kept_if(weighed, x), place, weight),
                [type = x.dtype()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? joined(dy[0], s[1], s[2], type) : Tensor(), needs[1] ? dots(s[0], dy[0], s[1]) : Tensor()};
                });
}

// y_n = Σ w_p x_p,   dx_p = w_p dy_n,   dw_p = ⟨dy_n, x_p⟩
Tensor joined(const Tensor& x, const Tensor& place, const Tensor& weight, DType type) {
  Tensor y = empty({place.size(0), x.size(1)}, type, x.device(), "join_rows");
  kernel::join_rows(x.device(), contiguous_data(x), place, defined_data(weight), y);
  bool weighed = weight.defined() && weight.requires_grad();
  return record("join_rows", y, {x, weight}, saving(kept_if(weighed, x), place, weight),
                [rows = x.size(0), type = x.dtype()](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? spread(dy[0], s[1], rows, s[2], type) : Tensor(), needs[1] ? dots(dy[0], s[0], s[1]) : Tensor()};
                });
}

// d_p = ⟨x_n, y_p⟩,   dx_n = Σ dd_p y_p,   dy_p = dd_p x_n
Tensor dots(const Tensor& x, const Tensor& y, const Tensor& place) {
  Tensor d = empty({y.size(0)}, compute_dtype(x.dtype()), x.device(), "row_dots");
  kernel::row_dots(x.device(), contiguous_data(x), contiguous_data(y), place, d);
  return record(
      "row_dots", d, {x, y}, saving(kept_if(y.requires_grad(), x), kept_if(x.requires_grad(), y), place),
      [x_type = x.dtype(), y_type = y.dtype(), rows = y.size(0)](const Grads& dd, const Saved& s, Needs needs) -> Grads {
        return {needs[0] ? joined(s[1], s[2], dd[0], x_type) : Tensor(), needs[1] ? spread(s[0], s[2], rows, dd[0], y_type) : Tensor()};
      });
}

}  // namespace

Grouping group_by(const Tensor& label, int64_t groups) {
  if (label.rank() != 1 || label.dtype() != i64)
    throw ShapeError("group_by: takes a vector of i64, got " + std::string(name(label.dtype())) + " " + to_string(label.shape()));
  if (groups < 0) throw ValueError("group_by: the number of groups is negative: " + std::to_string(groups));
  auto integers = [&](int64_t n) { return empty({n}, i64, label.device(), "group_by"); };
  Grouping g{integers(label.size(0)), integers(label.size(0)), integers(groups + 1)};
  kernel::group_by(label.device(), contiguous_data(detail::checked_index("group_by", label, 0, groups)), g.order, g.place, g.offsets);
  return g;
}

Tensor spread_rows(const Tensor& x, const Tensor& place, int64_t rows, const Tensor& weight, std::optional<DType> type) {
  detail::check_same_device("spread_rows", x, place);
  if (x.rank() != 2 || place.rank() != 2 || x.size(0) != place.size(0)) wrong_shapes("spread_rows", "x [N, n]", x, place);
  if (rows < 0) throw ValueError("spread_rows: the number of rows is negative: " + std::to_string(rows));
  check_types("spread_rows", x.dtype(), type.value_or(x.dtype()));
  Tensor places = checked_places("spread_rows", place, rows);
  return spread(x, places, rows, checked_weight("spread_rows", x, weight, rows), type.value_or(x.dtype()));
}

Tensor join_rows(const Tensor& x, const Tensor& place, const Tensor& weight, std::optional<DType> type) {
  detail::check_same_device("join_rows", x, place);
  if (x.rank() != 2 || place.rank() != 2) wrong_shapes("join_rows", "x [rows, n]", x, place);
  DType result = type.value_or(weight.defined() ? promote(x.dtype(), weight.dtype()) : x.dtype());
  Tensor rows = result == f64 ? to(x, f64) : x;
  check_types("join_rows", rows.dtype(), result);
  Tensor places = checked_places("join_rows", place, x.size(0));
  return joined(rows, places, checked_weight("join_rows", rows, weight, x.size(0)), result);
}

Tensor row_dots(const Tensor& x, const Tensor& y, const Tensor& place) {
  detail::check_same_device("row_dots", x, y);
  detail::check_same_device("row_dots", x, place);
  if (x.rank() != 2 || place.rank() != 2 || x.size(0) != place.size(0)) wrong_shapes("row_dots", "x [N, n]", x, place);
  if (y.rank() != 2 || y.size(1) != x.size(1))
    throw ShapeError("row_dots: takes y [rows, n] beside x [N, n], got " + to_string(y.shape()) + " beside " + to_string(x.shape()));
  check_types("row_dots", x.dtype(), y.dtype());
  return dots(x, y, checked_places("row_dots", place, y.size(0)));
}

}  // namespace plumb
