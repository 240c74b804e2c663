// Clipping and the other gradient transforms.
#include "models/optim/clip.h"

#include <limits>

#include "models/optim/adam.h"
#include "models/optim/transforms.h"
#include "ops/shape.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

static double plain_norm(const std::vector<Tensor>& tensors) {
  double total = 0;
  for (const Tensor& t : tensors)
    for (double v : to_vector(t)) total += v * v;
  return std::sqrt(total);
}

TEST_CASE("clip_grad_norm: scales all gradients together and returns the norm before") {
  for (DType type : {f64, f32}) {
    auto p = some_parameters(type);
    set_waving_gradients(p, 1);
    p[1].zero_grad();  // has none: does not count
    auto gradients = optim::gradients(p);
    double norm = plain_norm(gradients);
    std::vector<double> before = to_vector(p[3].grad());
    CHECK(optim::clip_grad_norm(p, 1.5) == doctest::Approx(norm).epsilon(1e-12));
    CHECK(plain_norm(optim::gradients(p)) == doctest::Approx(1.5).epsilon(type == f64 ? 1e-12 : 1e-6));
    CHECK(to_vector(p[3].grad())[17] == doctest::Approx(before[17] * 1.5 / norm).epsilon(1e-6));
    CHECK_FALSE(p[1].grad().defined());
    std::vector<double> clipped = to_vector(p[3].grad());
    optim::clip_grad_norm(p, 2);  // below the limit: untouched
    CHECK(to_vector(p[3].grad()) == clipped);
  }
}

TEST_CASE("clip_grad_norm: a norm that is not finite is returned, the gradients stay") {
  for (double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    Tensor p = ones({2}, f64).requires_grad_();
    p.set_grad(from_vector(std::vector<double>{bad, 3}));
    CHECK_FALSE(std::isfinite(optim::clip_grad_norm({p}, 1)));
    CHECK(to_vector(p.grad())[1] == 3);
  }
  CHECK(optim::clip_grad_norm({}, 1) == 0);
  CHECK_THROWS_WITH_AS(optim::clip_grad_norm({}, 0), "clip_norm: max_norm must be positive, it is 0", ValueError);
}

TEST_CASE("clip_grad_value: limits each element, in any layout") {
  auto p = some_parameters();
  set_waving_gradients(p, 2);
  std::vector<double> before = to_vector(p[2].grad());
  optim::clip_grad_value(p, 0.5);
  std::vector<double> after = to_vector(p[2].grad());
  for (size_t i = 0; i < before.size(); ++i) CHECK(after[i] == std::min(std::max(before[i], -0.5), 0.5));
  CHECK_THROWS_AS(optim::clip_grad_value(p, -1), ValueError);
}

TEST_CASE("perpendicular: takes out what points along the weights; the worked example") {
  Tensor w = tensor({1.0, 2.0, -2.0}, f64), g = tensor({0.5, -1.0, 3.0}, f64), h = tensor({0.5, -1.0, 3.0}, f64);
  optim::make_perpendicular({w}, {g});
  std::vector<double> kept = to_vector(g);
  CHECK(kept[0] == doctest::Approx(2.134375).epsilon(1e-6));
  CHECK(kept[1] == doctest::Approx(1.067187).epsilon(1e-6));
  CHECK(kept[2] == doctest::Approx(2.134375).epsilon(1e-6));
  CHECK(std::abs(optim::dot({w}, {g})) < 1e-12);
  CHECK(optim::norm({g}) == doctest::Approx(3.201562).epsilon(1e-6));
  optim::make_perpendicular({w}, {h}, /*keep_norm=*/false);
  CHECK(to_vector(h)[0] == doctest::Approx(4.0 / 3).epsilon(1e-12));
  Tensor zero = zeros({3}, f64), same = tensor({0.5, -1.0, 3.0}, f64);
  optim::make_perpendicular({zero}, {same});
  CHECK(to_vector(same)[2] == doctest::Approx(3));
}

TEST_CASE("perpendicular: a gradient along the weights becomes zero, not noise at full length") {
  for (DType type : {f64, f32}) {
    Tensor w = to(waves({100}, 3), type), g = to(waves({100}, 3) * 0.37, type);
    optim::make_perpendicular({w}, {g});
    CHECK(optim::norm({g}) == 0);
    Tensor almost = to(waves({100}, 3) * 0.37 + waves({100}, 5) * 1e-3, type);
    double before = optim::norm({almost});
    optim::make_perpendicular({w}, {almost});
    CHECK(optim::norm({almost}) == doctest::Approx(before).epsilon(1e-5));
  }
  for (DType type : {bf16, f16}) {  // whose rounding alone leaves some 2^-9 or 2^-12 of the gradient off the weights
    Tensor w = to(waves({100}, 3), type), g = to(waves({100}, 3) * 0.37, type);
    optim::make_perpendicular({w}, {g});
    CHECK(optim::norm({g}) == 0);
  }
}

TEST_CASE("project_out: nothing is left along the directions") {
  std::vector<std::vector<Tensor>> directions;
  for (int k = 0; k < 3; ++k) directions.push_back({waves({4}, k + 0.1), waves({2, 2}, 2 * k)});
  directions.push_back(optim::clone(directions[1]));  // depends on an earlier one
  auto raw = directions;
  for (auto& d : raw) d = optim::clone(d);
  optim::orthonormalize(directions);
  REQUIRE(directions.size() == 3);
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) CHECK(std::abs(optim::dot(directions[i], directions[j]) - (i == j)) < 1e-14);
  std::vector<Tensor> g{waves({4}, 9), waves({2, 2}, 8)};
  optim::project_out(g, directions);
  for (const auto& d : raw) CHECK(std::abs(optim::dot(g, d)) < 1e-14);
  CHECK(optim::norm(g) > 0.1);
}

TEST_CASE("transforms: as steps of a pipeline they do the same as by hand") {
  Tensor p = waves({5}, 1).requires_grad_(), q = waves({5}, 1).requires_grad_();
  optim::AdamW piped({p}, {}), plain({q}, {});
  piped.add_transform(optim::perpendicular());
  piped.add_transform(optim::clip_value(0.6));
  piped.add_transform(optim::clip_norm(0.5));
  for (int t = 0; t < 3; ++t) {
    p.set_grad(waves({5}, t));
    piped.step();
    std::vector<Tensor> g{waves({5}, t)};
    optim::make_perpendicular({q}, g);
    optim::clip_value(g, 0.6);
    optim::clip_norm(g, 0.5);
    q.set_grad(g[0]);
    plain.step();
  }
  CHECK(to_vector(p) == to_vector(q));
}
