// Rows of the table of operations, run: inputs drawn from the row's name, laid out in several ways, results and gradients compared.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

inline uint64_t seed_of(const std::string& name) {
  uint64_t h = 1469598103934665603u;
  for (char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return h;
}

inline Tensor draw(const InputSpec& spec, const Shape& shape, Generator& generator) {
  if (spec.fixed.defined()) return spec.fixed;
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  auto near_kink = [&](double v) {
    return std::any_of(spec.kinks.begin(), spec.kinks.end(), [&](double k) { return std::abs(v - k) < spec.margin; });
  };
  for (double& v : values) do v = spec.low + (spec.high - spec.low) * generator.next_double();
    while (near_kink(v));
  return from_vector(values, shape);
}

// A way to hand the same values to the operation: x as it is, or through a view with other strides.
struct Layout {
  const char* name;
  Tensor (*apply)(const Tensor& x);
};

inline Tensor transposed_storage(const Tensor& x) { return x.rank() < 2 ? x : transpose(clone(transpose(x, 0, -1)), 0, -1); }
inline Tensor strided_storage(const Tensor& x) {
  Shape wider = x.shape();
  wider.push_back(2);
  return select(clone(expand(unsqueeze(x, -1), wider)), -1, 1);
}
inline Tensor channels_last_storage(const Tensor& x) { return x.rank() < 3 ? x : movedim(clone(movedim(x, 1, -1)), -1, 1); }
inline const Layout kLayouts[] = {{"contiguous", [](const Tensor& x) { return x; }},
                                  {"transposed", transposed_storage},
                                  {"strided", strided_storage},
                                  {"channels last", channels_last_storage}};

inline TensorFunction through(const Layout& layout, const TensorFunction& f) {
  return [layout, f](const std::vector<Tensor>& x) {
    std::vector<Tensor> y;
    for (const Tensor& t : x) y.push_back(layout.apply(t));
    return f(y);
  };
}

inline std::vector<Tensor> draw_all(const OpCase& row, const std::vector<Shape>& shapes) {
  Generator generator(seed_of(row.name));
  std::vector<Tensor> x;
  for (size_t i = 0; i < row.inputs.size(); ++i) x.push_back(draw(row.inputs[i], shapes[i], generator));
  return x;
}
inline std::vector<Shape> own_shapes(const OpCase& row) {
  std::vector<Shape> shapes;
  for (const InputSpec& spec : row.inputs) shapes.push_back(spec.shape);
  return shapes;
}
inline std::vector<Tensor> draw_all(const OpCase& row) { return draw_all(row, own_shapes(row)); }

// Each floating input in turn as a column, as a row without leading dimensions, and as a single number.
inline std::vector<std::vector<Shape>> broadcast_shapes_of(const OpCase& row) {
  std::vector<std::vector<Shape>> variants;
  for (size_t i = 0; i < row.inputs.size(); ++i) {
    const InputSpec& spec = row.inputs[i];
    if (spec.fixed.defined() || spec.shape.rank() < 2) continue;
    Shape column = spec.shape;
    column[column.rank() - 1] = 1;
    for (const Shape& shape : {column, Shape{spec.shape.back()}, Shape{}}) {
      variants.push_back(own_shapes(row));
      variants.back()[i] = shape;
    }
  }
  return variants;
}

inline std::vector<Tensor> converted(const std::vector<Tensor>& x, DType t) {
  std::vector<Tensor> y;
  for (const Tensor& v : x) y.push_back(is_floating(v.dtype()) ? to(v, t) : v);
  return y;
}

// |a − b| relative to the larger of |b|, the mean size of b, and 1; infinite if one is not finite where the other differs.
inline double worst_error(const Tensor& a, const Tensor& b) {
  std::vector<double> p = to_vector(a), q = to_vector(b);
  double scale = 1, worst = 0;
  for (double v : q) scale += std::isfinite(v) ? std::abs(v) / static_cast<double>(q.size()) : 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i]))) continue;
    double error = std::abs(p[i] - q[i]) / std::max(scale, std::abs(q[i]));
    worst = std::max(worst, std::isfinite(error) ? error : INFINITY);
  }
  return worst;
}

struct Results {
  std::vector<Tensor> outputs, gradients;
};
// Outputs, and the gradients of their sum.
inline Results run(const TensorFunction& f, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> x, wanted, tied, ones;
  for (const Tensor& t : inputs) {
    x.push_back(t.detach());
    if (is_floating(t.dtype())) wanted.push_back(x.back().requires_grad_());
  }
  Results r{f(x), {}};
  for (const Tensor& y : r.outputs) {
    if (!y.requires_grad()) continue;
    tied.push_back(y);
    ones.push_back(ones_like(y));
  }
  r.gradients.resize(wanted.size());
  if (!tied.empty() && !wanted.empty()) r.gradients = grad(tied, wanted, {.allow_unused = true}, ones);
  return r;
}

}  // namespace plumb::testing
