// Groups by their generators.
#include "models/equivariant/matrix_group.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::equivariant {
namespace {

void check_dimension(const char* group, int64_t n) {
  if (n < 1) throw ValueError(fmt::format("{}: the dimension {} is below 1", group, n));
}

// The matrix on some axes, the identity (or zeros) on the others.
Tensor placed(const Tensor& matrix, const std::vector<int64_t>& axes, int64_t d, bool identity) {
  std::vector<double> small = to_vector(matrix), large(static_cast<size_t>(d * d), 0.0);
  if (identity)
    for (int64_t i = 0; i < d; ++i)
      if (std::ranges::find(axes, i) == axes.end()) large[static_cast<size_t>(i * d + i)] = 1;
  size_t n = axes.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) large[static_cast<size_t>(axes[i] * d + axes[j])] = small[i * n + j];
  return from_vector(large, {d, d});
}

}  // namespace

void MatrixGroup::check() const {
  check_dimension("matrix_group", dimension);
  for (const auto* generators : {&algebra, &discrete})
    for (const Tensor& g : *generators) {
      if (g.shape() != Shape{dimension, dimension})
        throw ShapeError(
            fmt::format("matrix_group: a generator of {} must be [{}, {}], it is {}", name, dimension, dimension, to_string(g.shape())));
      if (g.dtype() != f64) throw DTypeError("matrix_group: generators must be f64");
    }
}

MatrixGroup special_orthogonal(int64_t n) {
  check_dimension("special_orthogonal", n);
  MatrixGroup group{.name = fmt::format("SO({})", n), .dimension = n};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i + 1; j < n; ++j) {
      std::vector<double> a(static_cast<size_t>(n * n), 0.0);
      a[static_cast<size_t>(i * n + j)] = -1;
      a[static_cast<size_t>(j * n + i)] = 1;
      group.algebra.push_back(from_vector(a, {n, n}));
    }
  return group;
}

MatrixGroup orthogonal(int64_t n) {
  check_dimension("orthogonal", n);
  MatrixGroup group = special_orthogonal(n);
  group.name = fmt::format("O({})", n);
  std::vector<double> mirror(static_cast<size_t>(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) mirror[static_cast<size_t>(i * n + i)] = i == 0 ? -1 : 1;
  group.discrete.push_back(from_vector(mirror, {n, n}));
  return group;
}

MatrixGroup scaling(int64_t n) {
  check_dimension("scaling", n);
  return {.name = fmt::format("Scale({})", n), .dimension = n, .algebra = {eye(n, -1, f64)}};
}

MatrixGroup embedded(const MatrixGroup& group, const std::vector<int64_t>& axes, int64_t d) {
  group.check();
  if (static_cast<int64_t>(axes.size()) != group.dimension)
    throw ValueError(fmt::format("embedded: {} acts on {} axes, got {}", group.name, group.dimension, axes.size()));
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] < 0 || axes[i] >= d ||
        std::find(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(i), axes[i]) != axes.begin() + static_cast<std::ptrdiff_t>(i))
      throw IndexError(fmt::format("embedded: axis {} is outside [0, {}) or given twice", axes[i], d));
  MatrixGroup out{.name = group.name + " on axes", .dimension = d};
  for (int64_t axis : axes) out.name += fmt::format(" {}", axis);
  for (const Tensor& a : group.algebra) out.algebra.push_back(placed(a, axes, d, false));
  for (const Tensor& h : group.discrete) out.discrete.push_back(placed(h, axes, d, true));
  return out;
}

MatrixGroup united(const std::vector<MatrixGroup>& groups, std::string name) {
  if (groups.empty()) throw ValueError("united: there are no groups");
  MatrixGroup out{.name = std::move(name), .dimension = groups[0].dimension};
  for (const MatrixGroup& g : groups) {
    g.check();
    if (g.dimension != out.dimension)
      throw ShapeError(fmt::format("united: {} acts on R^{}, {} on R^{}", groups[0].name, out.dimension, g.name, g.dimension));
    out.algebra.insert(out.algebra.end(), g.algebra.begin(), g.algebra.end());
    out.discrete.insert(out.discrete.end(), g.discrete.begin(), g.discrete.end());
  }
  if (out.name.empty())
    for (const MatrixGroup& g : groups) out.name += (out.name.empty() ? "" : " ∪ ") + g.name;
  return out;
}

Tensor random_element(const MatrixGroup& group, Generator& generator) {
  group.check();
  Tensor element = eye(group.dimension, -1, f64);
  if (!group.algebra.empty()) {
    std::vector<double> z = to_vector(randn({static_cast<int64_t>(group.algebra.size())}, {.dtype = f64, .generator = &generator}));
    Tensor a = zeros_like(element);
    for (size_t i = 0; i < z.size(); ++i) a = a + group.algebra[i] * z[i];
    element = matrix_exp(a);
  }
  for (const Tensor& h : group.discrete)
    if (generator.next_double() < 0.5) element = matmul(element, h);
  return element;
}

}  // namespace plumb::equivariant
