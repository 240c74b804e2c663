// Groups, representations and projections onto equivariant maps: dimensions, worked projections, invariants, mistakes.
#include "models/equivariant/representation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::equivariant;

namespace {

double largest(const Tensor& x) { return x.numel() == 0 ? 0 : max(abs(x)).item(); }

std::vector<int64_t> dimensions(const MatrixGroup& group) {
  std::vector<int64_t> out;
  for (int rank = 0; rank <= 4; ++rank) out.push_back(equivariant_basis(group, rank, 0).size(1));
  return out;
}

MatrixGroup plane(bool mirrors, std::vector<int64_t> axes) { return embedded(mirrors ? orthogonal(2) : special_orthogonal(2), axes, 3); }

Tensor worked() { return tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}, {7.0, 8.0, 10.0}}, f64); }

const Representation kVector{{{1, 1}}};

}  // namespace

TEST_CASE("equivariant_basis: dimensions of the invariant tensors of ranks 0 to 4") {
  CHECK(dimensions(orthogonal(3)) == std::vector<int64_t>{1, 0, 1, 0, 3});
  CHECK(dimensions(special_orthogonal(3)) == std::vector<int64_t>{1, 0, 1, 1, 3});
  CHECK(dimensions(plane(true, {0, 1})) == std::vector<int64_t>{1, 1, 2, 4, 10});
  CHECK(dimensions(plane(false, {0, 1})) == std::vector<int64_t>{1, 1, 3, 7, 19});
}

TEST_CASE("equivariant_basis: projections are symmetric, idempotent, and what they keep is invariant") {
  Generator g(3);
  for (const MatrixGroup& group : {orthogonal(3), plane(true, {1, 2}), plane(false, {0, 2}), united({special_orthogonal(3), scaling(3)})})
    for (auto [out, in] : {std::pair{1, 1}, {2, 1}, {0, 2}, {2, 2}}) {
      CAPTURE(group.name);
      Projector projector(group);
      Tensor p = projector.block(out, in);
      CHECK(largest(matmul(p, p) - p) < 1e-10);
      CHECK(largest(p - transpose(p, 0, 1)) < 1e-10);
      Tensor element = random_element(group, g);
      Representation to{{{out, 1}}}, from{{{in, 1}}};
      Tensor map = reshape(matmul(p, randn({p.size(0)}, {.dtype = f64, .generator = &g})), {to.size(3), from.size(3)});
      Tensor turned = matmul(representation_matrix(to, element), map), other = matmul(map, representation_matrix(from, element));
      CHECK(largest(turned - other) < 1e-9 * (1 + largest(turned)));
    }
}

TEST_CASE("equivariant_basis: input slots are dual, so that scaling allows every map of vectors and forbids constants") {
  CHECK(equivariant_basis(scaling(3), 1, 1).size(1) == 9);
  CHECK(equivariant_basis(scaling(3), 1, 0).size(1) == 0);
  CHECK(equivariant_basis(scaling(3), 2, 1).size(1) == 0);
  CHECK(equivariant_basis({.name = "trivial", .dimension = 3}, 1, 1).size(1) == 9);
}

TEST_CASE("projector: worked projections of a 3 × 3 matrix") {
  auto projected = [](const MatrixGroup& group) { return Projector(group).weight(worked(), kVector, kVector); };
  auto check = [&](const MatrixGroup& group, const std::vector<double>& wanted, double penalty) {
    CAPTURE(group.name);
    Tensor p = projected(group);
    std::vector<double> values = to_vector(p);
    for (size_t i = 0; i < 9; ++i) CHECK(std::abs(values[i] - wanted[i]) < 1e-9);
    CHECK(sum((worked() - p) * (worked() - p)).item() / 2 == doctest::Approx(penalty).epsilon(1e-6));
  };
  double third = 16.0 / 3;
  check(orthogonal(3), {third, 0, 0, 0, third, 0, 0, 0, third}, 109.3333);
  check(plane(true, {0, 1}), {3, 0, 0, 0, 3, 0, 0, 0, 10}, 93.0);
  check(plane(true, {1, 2}), {1, 0, 0, 0, 7.5, 0, 0, 0, 7.5}, 95.25);
  check(plane(true, {0, 2}), {5.5, 0, 0, 0, 5, 0, 0, 0, 5.5}, 109.25);
  check(plane(false, {0, 1}), {3, -1, 0, 1, 3, 0, 0, 0, 10}, 92.0);
}

TEST_CASE("projector: a layer of several ranks is projected block by block, as its whole projection would") {
  Generator g(5);
  Representation in{{{0, 2}, {1, 2}}}, out{{{1, 1}, {0, 1}, {2, 1}}};
  MatrixGroup group = plane(true, {0, 1});
  Projector projector(group);
  Tensor w = randn({out.size(3), in.size(3)}, {.dtype = f64, .generator = &g});
  Tensor p = projector.weight(w, out, in);
  CHECK(largest(projector.weight(p, out, in) - p) < 1e-10);
  for (int i = 0; i < 3; ++i) {
    Tensor element = random_element(group, g);
    CHECK(largest(matmul(representation_matrix(out, element), p) - matmul(p, representation_matrix(in, element))) < 1e-9);
  }
  // The nearest equivariant map: what is left is orthogonal to every equivariant one.
  Tensor other = projector.weight(randn({out.size(3), in.size(3)}, {.dtype = f64, .generator = &g}), out, in);
  CHECK(std::abs(sum((w - p) * other).item()) < 1e-9);
  Tensor b = projector.bias(randn({out.size(3)}, {.dtype = f64, .generator = &g}), out);
  Tensor element = random_element(group, g);
  CHECK(largest(matmul(representation_matrix(out, element), b) - b) < 1e-9);
  gradcheck([&](const Tensor& x) { return projector.weight(x, out, in); }, {w}).throw_if_failed();
}

TEST_CASE("representation: sizes, the action of an element, and channels shared out among ranks") {
  Representation r{{{0, 5}, {1, 5}}};
  CHECK(r.size(3) == 20);
  CHECK((r + Representation{{{2, 1}}}).size(3) == 29);
  Tensor turn = tensor({{0.0, -1.0}, {1.0, 0.0}}, f64);
  std::vector<double> action = to_vector(representation_matrix({{{0, 1}, {1, 1}}}, turn));
  CHECK(action == std::vector<double>{1, 0, 0, 0, 0, -1, 0, 1, 0});
  auto counts = [](int64_t channels) {
    std::vector<int64_t> out;
    for (const TensorKind& part : uniform_representation(channels, 3).parts) out.push_back(part.count);
    return out;
  };
  CHECK(counts(48) == std::vector<int64_t>{21, 6, 1});
  CHECK(counts(5) == std::vector<int64_t>{5});
  CHECK(counts(6) == std::vector<int64_t>{3, 1});
  for (int64_t channels : {1, 7, 48, 108, 128, 384}) CHECK(uniform_representation(channels, 3).size(3) == channels);
  CHECK(uniform_representation(128, 3).max_rank() == 3);
}

TEST_CASE("random_element: stays in the group") {
  Generator g(7);
  bool mirrored = false;
  for (int i = 0; i < 20; ++i) {
    Tensor element = random_element(plane(true, {0, 1}), g);
    CHECK(largest(matmul(element, transpose(element, 0, 1)) - eye(3, -1, f64)) < 1e-12);
    CHECK(select(select(element, 0, 2), 0, 2).item() == doctest::Approx(1));
    mirrored = mirrored || slogdet(element).sign.item() < 0;
  }
  CHECK(mirrored);
}

TEST_CASE("equivariant: mistakes") {
  CHECK_THROWS_WITH_AS((MatrixGroup{.name = "G", .dimension = 3, .algebra = {zeros({3, 2}, f64)}}.check()),
                       "matrix_group: a generator of G must be [3, 3], it is [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS((MatrixGroup{.name = "G", .dimension = 3, .algebra = {zeros({3, 3})}}.check()),
                       "matrix_group: generators must be f64", DTypeError);
  CHECK_THROWS_WITH_AS(special_orthogonal(0), "special_orthogonal: the dimension 0 is below 1", ValueError);
  CHECK_THROWS_WITH_AS(embedded(orthogonal(2), {0}, 3), "embedded: O(2) acts on 2 axes, got 1", ValueError);
  CHECK_THROWS_WITH_AS(embedded(orthogonal(2), {1, 3}, 3), "embedded: axis 3 is outside [0, 3) or given twice", IndexError);
  CHECK_THROWS_WITH_AS(embedded(orthogonal(2), {1, 1}, 3), "embedded: axis 1 is outside [0, 3) or given twice", IndexError);
  CHECK_THROWS_WITH_AS(united({}), "united: there are no groups", ValueError);
  CHECK_THROWS_WITH_AS(united({orthogonal(2), orthogonal(3)}), "united: O(2) acts on R^2, O(3) on R^3", ShapeError);
  CHECK_THROWS_WITH_AS(equivariant_basis(orthogonal(2), -1, 0), "equivariant_basis: ranks -1 and 0 must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(Projector(orthogonal(3)).weight(zeros({3, 4}), kVector, kVector),
                       "projector: the representations need a weight [3, 3], it is [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(Projector(orthogonal(3)).weight(zeros({3, 3}), Representation{}, kVector), "representation: it has no parts",
                       ValueError);
  CHECK_THROWS_AS(uniform_representation(0, 3), ValueError);
}
