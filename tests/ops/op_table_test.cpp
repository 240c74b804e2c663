// The general checks over every row of the table of operations.
#include <doctest/doctest.h>

#include <algorithm>

#include "ops/gradcheck.h"
#include "ops/shape.h"
#include "tests/ops/op_runs.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

void check_derivatives(const OpCase& row, const std::string& variant, const TensorFunction& f, const std::vector<Tensor>& x) {
  auto first = gradcheck(f, x);
  CHECK_MESSAGE(first.passed, row.name << " (" << variant << "): " << first.message);
  if (!row.second_order) return;
  auto second = gradgradcheck(f, x);
  CHECK_MESSAGE(second.passed, row.name << " (" << variant << "): " << second.message);
}

}  // namespace

TEST_CASE("op table: first and second derivatives agree with differences, for any strides") {
  for (const OpCase& row : all_op_cases())
    for (const Layout& layout : kLayouts) check_derivatives(row, layout.name, through(layout, row.function), draw_all(row));
}

TEST_CASE("op table: first and second derivatives agree with differences for broadcast inputs") {
  for (const OpCase& row : all_op_cases()) {
    if (!row.elementwise) continue;
    for (const auto& shapes : broadcast_shapes_of(row)) {
      std::string variant;
      for (const Shape& s : shapes) variant += to_string(s);
      check_derivatives(row, variant, row.function, draw_all(row, shapes));
    }
    Layout expanded{"expanded", [](const Tensor& x) {
      if (x.rank() == 0 || !is_floating(x.dtype())) return x;
      return expand(narrow(x, 0, 0, 1), x.shape());
    }};
    check_derivatives(row, expanded.name, through(expanded, row.function), draw_all(row));
  }
}

TEST_CASE("op table: results and gradients do not depend on strides") {
  for (const OpCase& row : all_op_cases()) {
    auto x = draw_all(row);
    Results plain = run(row.function, x);
    for (const Layout& layout : kLayouts) {
      Results other = run(through(layout, row.function), x);
      for (size_t k = 0; k < plain.outputs.size(); ++k)
        CHECK_MESSAGE(worst_error(other.outputs[k], plain.outputs[k]) < 1e-14, row.name << " (" << layout.name << "), output " << k);
    }
  }
}

TEST_CASE("op table: f32, bf16 and f16 agree with f64 to their precision, and gradients keep the type") {
  struct Type {
    DType dtype;
    double epsilon;
  };
  for (const OpCase& row : all_op_cases())
    for (Type type : {Type{f32, 0x1p-23}, Type{bf16, 0x1p-7}, Type{f16, 0x1p-10}}) {
      if (!row.low_precision && type.dtype != f32) continue;
      auto low = converted(draw_all(row), type.dtype);
      Results got = run(row.function, low), expected = run(row.function, converted(low, f64));
      REQUIRE(got.outputs.size() == expected.outputs.size());
      for (size_t k = 0; k < got.outputs.size(); ++k) {
        double error = worst_error(got.outputs[k], expected.outputs[k]) / type.epsilon;
        CHECK_MESSAGE(error <= row.tolerance,
                      row.name << " in " << name(type.dtype) << ": output " << k << " is off by " << error << " epsilon");
      }
      for (size_t i = 0, next = 0; i < low.size(); ++i) {
        if (!is_floating(low[i].dtype())) continue;
        const Tensor &g = got.gradients[next], &e = expected.gradients[next];
        ++next;
        CHECK_MESSAGE(g.defined() == e.defined(), row.name << " in " << name(type.dtype) << ", gradient of input " << i);
        if (!g.defined() || !e.defined()) continue;
        CHECK_MESSAGE(g.dtype() == low[i].dtype(),
                      row.name << ": the gradient of a " << name(low[i].dtype()) << " input is " << name(g.dtype()));
        double error = worst_error(g, e) / type.epsilon;
        CHECK_MESSAGE(error <= 4 * row.tolerance,
                      row.name << " in " << name(type.dtype) << ": the gradient of input " << i << " is off by " << error << " epsilon");
      }
    }
}

TEST_CASE("op table: element-wise operations take tensors without elements") {
  for (const OpCase& row : all_op_cases()) {
    bool all_floating = std::all_of(row.inputs.begin(), row.inputs.end(), [](const InputSpec& s) { return !s.fixed.defined(); });
    if (!row.elementwise || !all_floating) continue;
    const Shape none{0, 3};
    Results r = run(row.function, draw_all(row, std::vector<Shape>(row.inputs.size(), none)));
    for (const Tensor& y : r.outputs) CHECK_MESSAGE(y.shape() == none, row.name);
    for (const Tensor& g : r.gradients)
      if (g.defined()) CHECK_MESSAGE(g.shape() == none, row.name);
  }
}

TEST_CASE("op table: names are unique") {
  std::vector<std::string> names;
  for (const OpCase& row : all_op_cases()) names.push_back(row.name);
  std::sort(names.begin(), names.end());
  auto twice = std::adjacent_find(names.begin(), names.end());
  CHECK_MESSAGE(twice == names.end(), "twice: " << (twice == names.end() ? "" : *twice));
}
