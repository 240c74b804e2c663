// Stable grokking: StableMax, ⊥Grad and the numerics of softmax by worked numbers, and the experiment in small.
#include "methods/regularization/stable_grokking/stable_grokking.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/runner.h"
#include "models/optim/parameters.h"
#include "models/optim/transforms.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::stable_grokking;

namespace {

void check_close(const Tensor& x, const std::vector<double>& expected, double tolerance) {
  std::vector<double> values = to_vector(x);
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(std::abs(values[i] - expected[i]) <= tolerance);
}

Tensor worked_logits() { return tensor({{2.0, -1.0, 0.5, -3.0}}, f64); }

Tensor gradient_at(const Tensor& z, int64_t label) {
  Tensor leaf = z.detach().requires_grad_();
  return grad({stablemax_cross_entropy(leaf, tensor({label}))}, {leaf})[0];
}

/// Two logits 0 and −d, the first the label.
Tensor gap(double d) { return tensor({{0.0, -d}}, f64); }

}  // namespace

TEST_CASE("stable_exponential: a line above 0, its mirror's inverse below, one slope at 0") {
  check_close(stable_exponential(tensor({0.0, 2.0, -1.0, -3.0}, f64)), {1, 3, 0.5, 0.25}, 1e-15);
  for (double x : {0.0, -0.0, 1e-12, -1e-12}) {
    Tensor leaf = tensor({x}, f64).requires_grad_();
    CHECK(grad({sum(stable_exponential(leaf))}, {leaf})[0].item() == doctest::Approx(1).epsilon(1e-11));
    Tensor other = tensor({x, 5.0}, f64).requires_grad_();  // through the logarithm: 1 − s / Σ s with s = 1, Σ s = 7
    CHECK(to_vector(grad({select(log_stablemax(other), 0, 0)}, {other})[0])[0] == doctest::Approx(6.0 / 7).epsilon(1e-11));
  }
  CHECK(std::isfinite(stable_exponential(tensor({1e30}, f64)).item()));
  CHECK(std::isfinite(stable_exponential(tensor({1e30}, f32)).item()));
  CHECK(stable_exponential(tensor({-1e30}, f64)).item() > 0);
  gradcheck([](const Tensor& x) { return stable_exponential(x); }, {tensor({0.3, -0.7, 4.0, -5.0}, f64)}).throw_if_failed();
}

TEST_CASE("stablemax: worked probabilities, losses and gradients") {
  Tensor z = worked_logits();
  check_close(stablemax(z), {0.571429, 0.0952381, 0.285714, 0.0476190}, 1e-6);
  CHECK(stablemax_cross_entropy(z, tensor({0})).item() == doctest::Approx(0.559616).epsilon(1e-6));
  CHECK(stablemax_cross_entropy(z, tensor({3})).item() == doctest::Approx(3.04452).epsilon(1e-6));
  check_close(gradient_at(z, 0), {-0.142857, 0.0476190, 0.190476, 0.0119048}, 1e-6);
  check_close(gradient_at(z, 3), {0.190476, 0.0476190, 0.190476, -0.238095}, 1e-6);
  CHECK(cross_entropy(z, tensor({0})).item() == doctest::Approx(0.246591).epsilon(1e-5));
  CHECK(cross_entropy(z, tensor({3})).item() == doctest::Approx(5.24659).epsilon(1e-5));
}

TEST_CASE("stablemax: shifts matter") {
  Tensor z = worked_logits();
  CHECK(sum(gradient_at(z, 0)).item() == doctest::Approx(0.107143).epsilon(1e-5));
  CHECK(std::abs(stablemax_cross_entropy(z + 1, tensor({0})).item() - stablemax_cross_entropy(z, tensor({0})).item()) > 0.05);
}

TEST_CASE("log_stablemax: log softmax of sign(z) log(1 + |z|), and of any dimension") {
  manual_seed(1);
  Tensor z = randn({5, 7}, {.dtype = f64}) * 10;
  Tensor g = sign(z) * log1p(abs(z));
  check_close(log_stablemax(z), to_vector(log_softmax(g, -1)), 1e-12);
  check_close(log_stablemax(z), to_vector(log(stablemax(z))), 1e-12);
  check_close(stablemax(z, 0), to_vector(transpose(stablemax(transpose(z, 0, 1)), 0, 1)), 1e-15);
  check_close(log_stablemax(z, 0), to_vector(log(stablemax(z, 0))), 1e-12);
  gradcheck([](const Tensor& x) { return log_stablemax(x); }, {z}).throw_if_failed();
  gradgradcheck([](const Tensor& x) { return log_stablemax(x); }, {z}).throw_if_failed();
  CHECK_THROWS_AS(stablemax(z, 2), IndexError);
}

TEST_CASE("stablemax_cross_entropy: computes in f64 whatever the logits are") {
  Tensor z = to(worked_logits(), f32).requires_grad_();
  Tensor loss = stablemax_cross_entropy(z, tensor({0}));
  CHECK(loss.dtype() == f64);
  CHECK(grad({loss}, {z})[0].dtype() == f32);
  Tensor two = cat({worked_logits(), worked_logits()}, 0), labels = tensor({0, 3});
  check_close(stablemax_cross_entropy(two, labels, Reduction::none), {0.559616, 3.04452}, 1e-5);
  CHECK(stablemax_cross_entropy(two, labels, Reduction::sum).item() == doctest::Approx(3.604136).epsilon(1e-6));
  CHECK_THROWS_AS(stablemax_cross_entropy(two, tensor({0, 4})), IndexError);
}

TEST_CASE("⊥Grad: the worked example, weights of zero, and gradients along the weights") {
  auto project = [](Tensor w, Tensor g, bool keep_norm = true) {
    std::vector<Tensor> gradients{g};
    optim::perpendicular(keep_norm)({w}, gradients);
    return gradients[0];
  };
  Tensor w = tensor({1.0, 2.0, -2.0}, f64);
  Tensor kept = project(w, tensor({0.5, -1.0, 3.0}, f64));
  check_close(kept, {2.134375, 1.067187, 2.134375}, 1e-6);
  CHECK(std::abs(optim::dot({w}, {kept})) < 1e-12);
  CHECK(optim::norm({kept}) == doctest::Approx(3.201562).epsilon(1e-6));
  check_close(project(w, tensor({0.5, -1.0, 3.0}, f64), false), {4.0 / 3, 2.0 / 3, 4.0 / 3}, 1e-12);
  check_close(project(zeros({3}, f64), tensor({0.5, -1.0, 3.0}, f64)), {0.5, -1, 3}, 1e-12);
  for (DType type : {f64, f32}) check_close(project(to(w, type), to(w * -0.7, type)), {0, 0, 0}, 0);
}

TEST_CASE("softmax collapse: the sum absorbs what is small at each precision's own gap, and only then is the loss 0") {
  struct {
    DType precision;
    double open, collapsed;
  } cases[] = {{f16, 7.6, 7.7}, {f32, 16.6, 16.7}, {f64, 36.7, 36.8}};
  for (auto [precision, open, collapsed] : cases) {
    CHECK(softmax_collapse_rate(gap(open), precision) == 0);
    CHECK(softmax_collapse_rate(gap(collapsed), precision) == 1);
    CHECK(cross_entropy_at(gap(open), tensor({0}), precision).item() > 0);
    CHECK(cross_entropy_at(gap(collapsed), tensor({0}), precision).item() == 0);
  }
  CHECK(softmax_collapse_rate(cat({gap(1), gap(20), gap(17), gap(3)}, 0), f32) == 0.5);
  CHECK(zero_loss_rate(tensor({0.0, 1e-30, 0.5, 0.0}, f64)) == 0.5);
}

TEST_CASE("softmax collapse: terms are added one by one") {
  // Each of many small terms is lost against a 1 that came first, although together they are not; before the 1 they add up.
  std::vector<double> first(33, -17.0), last(33, -17.0);
  first[0] = 0;
  last[32] = 0;
  CHECK(softmax_collapse_rate(from_vector(first, {1, 33}), f32) == 1);
  CHECK(softmax_collapse_rate(from_vector(last, {1, 33}), f32) == 0);
}

TEST_CASE("cross_entropy_at: agrees with the exact loss while nothing is absorbed, and so do its gradients") {
  manual_seed(3);
  Tensor z = uniform({20, 9}, -5, 5, {.dtype = f64}), labels = randint(0, 9, {20});
  double exact = cross_entropy(z, labels).item();
  CHECK(cross_entropy_at(z, labels, f64).item() == doctest::Approx(exact).epsilon(1e-13));
  CHECK(cross_entropy_at(z, labels, f32).item() == doctest::Approx(exact).epsilon(1e-6));
  CHECK(cross_entropy_at(z, labels, f16).item() == doctest::Approx(exact).epsilon(1e-2));
  auto gradient = [&](auto loss) {
    Tensor leaf = z.detach().requires_grad_();
    return to_vector(grad({loss(leaf)}, {leaf})[0]);
  };
  std::vector<double> expected = gradient([&](const Tensor& x) { return cross_entropy(x, labels); });
  auto check = [&](DType precision, double tolerance) {
    std::vector<double> g = gradient([&](const Tensor& x) { return cross_entropy_at(x, labels, precision); });
    for (size_t i = 0; i < g.size(); ++i) CHECK(std::abs(g[i] - expected[i]) <= tolerance);
  };
  check(f64, 1e-15);
  check(f32, 1e-7);
  check(f16, 3e-4);  // 11 bits: z moves by 2⁻⁹, S by 2⁻⁹ of itself, and the gradient is at most 1/20
  CHECK(cross_entropy_at(z, labels, f16, Reduction::none).dtype() == f16);
  CHECK(cross_entropy_at(z, labels, f32, Reduction::sum).item() == doctest::Approx(20 * exact).epsilon(1e-6));
}

TEST_CASE("cross_entropy_at: f64 and f32 agree to 1e-6 below a gap of 10") {
  for (double d = 0.5; d < 10; d += 0.5) {
    double a = cross_entropy_at(gap(d), tensor({1}), f64).item(), b = cross_entropy_at(gap(d), tensor({1}), f32).item();
    CHECK(b == doctest::Approx(a).epsilon(1e-6));
  }
}

TEST_CASE("cross_entropy_at: a collapsed row leaves the largest class without a gradient") {
  for (DType precision : {f16, f32, f64}) {
    Tensor z = gap(precision == f16 ? 8.0 : precision == f32 ? 17.0 : 37.0).requires_grad_();
    std::vector<double> g = to_vector(grad({cross_entropy_at(z, tensor({0}), precision)}, {z})[0]);
    CHECK(g[0] == 0);
    CHECK(g[1] > 0);
  }
  Tensor z = gap(1).requires_grad_();
  Tensor once = grad({cross_entropy_at(z, tensor({0}), f32)}, {z}, {.create_graph = true})[0];
  CHECK_THROWS_WITH_AS(sum(once).backward(), "the gradient of cross_entropy_at has no derivative", AutogradError);
}

TEST_CASE("nlm_alignment: 1 where the step would stretch the weights, 0 across them") {
  Tensor w = tensor({3.0, 4.0}, f64), v = tensor({{1.0}}, f64);
  CHECK(nlm_alignment({w, v}, {w * -2, v * -2}) == doctest::Approx(1).epsilon(1e-15));
  CHECK(nlm_alignment({w}, {w}) == doctest::Approx(-1).epsilon(1e-15));
  CHECK(nlm_alignment({w}, {tensor({-4.0, 3.0}, f64)}) == 0);
  CHECK(nlm_alignment({w}, {zeros({2}, f64)}) == 0);
  CHECK(nlm_alignment({w, v}, {zeros({2}, f64), tensor({{-2.0}}, f64)}) == doctest::Approx(1 / std::sqrt(26.0)).epsilon(1e-14));
  CHECK_THROWS_AS(nlm_alignment({w}, {v}), ShapeError);
}

TEST_CASE("stable_grokking: bad input is named") {
  Tensor z = zeros({2, 3}), y = tensor({0, 1});
  CHECK_THROWS_WITH_AS(cross_entropy_at(z, y, bf16), "cross_entropy_at: the precision must be f16, f32 or f64, not bf16", DTypeError);
  CHECK_THROWS_WITH_AS(softmax_collapse_rate(z, i64), "softmax_collapse_rate: the precision must be f16, f32 or f64, not i64", DTypeError);
  CHECK_THROWS_WITH_AS(cross_entropy_at(z, tensor({0, 3}), f32), "cross_entropy_at: target 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(cross_entropy_at(z, tensor({0, -1}), f32), "cross_entropy_at: target -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(cross_entropy_at(z, tensor({0}), f32), "cross_entropy_at: logits are [2, 3], target [1]", ShapeError);
  CHECK_THROWS_WITH_AS(cross_entropy_at(zeros({3}), y, f32), "cross_entropy_at: takes logits [n, C], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(softmax_collapse_rate(zeros({0, 3}), f32), "softmax_collapse_rate: there are no rows", ShapeError);
  CHECK_THROWS_WITH_AS(zero_loss_rate(zeros({0})), "zero_loss_rate: there are no losses", ShapeError);
}

TEST_CASE("stable_grokking: the experiment runs in small, and variants differ in what they are about") {
  Results results = run_experiment({"regularization", "stable_grokking", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 7);
  auto line = [&](const std::string& variant, const std::string& chart, const std::string& name) {
    for (const CellResult& cell : results.cells)
      if (cell.variant == variant)
        for (const Curve& c : cell.measured.curves)
          if (c.chart == chart && c.line == name) return c.y;
    FAIL(variant << " has no line " << name << " in " << chart);
    return std::vector<double>();
  };
  const std::string accuracy = "half of the table: accuracy (%)", norms = "half of the table: norm of the weights";
  CHECK(line("AdamW, softmax f32", accuracy, "train").back() > 80);  // memorised
  CHECK(line("AdamW, softmax f32", accuracy, "train").back() > line("AdamW, softmax f32", accuracy, "train").front());
  // All start from the same weights; then decay holds them down.
  CHECK(line("AdamW, softmax f32", norms, "").front() == doctest::Approx(line("⊥AdamW", norms, "").front()).epsilon(1e-12));
  CHECK(line("AdamW, weight decay 1", norms, "").back() < line("AdamW, softmax f32", norms, "").back());
}
