// AlignGuard-LoRA: Fisher spaces and penalties on worked numbers, limits and invariants, bad input, and the experiment.
#include "methods/finetuning/alignguard_lora/alignguard_lora.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "methods/common/adapter_factors.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

namespace plumb::methods::alignguard_lora {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::alignguard_lora;
using doctest::Approx;

namespace {

Tensor gradients() { return tensor({{1.0, 2.0, 0.0}, {0.5, 1.0, 0.1}, {-1.0, -1.8, 0.2}}, f64); }
Tensor fisher() { return matmul(mT(gradients()), gradients()) / 3; }
Tensor flat_change() { return tensor({0.3, -0.1, 0.2}, f64); }
Tensor row_change() { return tensor({{0.3, 0.1}, {-0.1, 0.2}, {0.2, 0.0}}, f64); }
FisherSpace worked_space() { return leading_space(fisher(), {.rank = 1}); }

double furthest(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  auto x = to_vector(a), y = to_vector(b);
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

bool same_bits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && to_vector(a) == to_vector(b); }

Tensor leaf(const Tensor& x) { return clone(x.detach()).requires_grad_(); }

}  // namespace

TEST_CASE("fisher_space: the worked matrix has its worked eigenvalues and first eigenvector") {
  CHECK(furthest(fisher(), tensor({{0.75, 1.433333, -0.05}, {1.433333, 2.746667, -0.0866667}, {-0.05, -0.0866667, 0.0166667}}, f64)) <
        5e-7);
  FisherSpace all = leading_space(fisher(), {.rank = 3});
  CHECK(furthest(all.values, tensor({3.497948, 0.0151052, 0.000280390}, f64)) < 5e-7);
  CHECK(to_vector(all.values)[2] == Approx(0.000280390).epsilon(1e-5));
  Tensor u = flatten(worked_space().vectors);
  if (to_vector(u)[0] < 0) u = -u;
  CHECK(furthest(u, tensor({0.462690, 0.886055, -0.0287038}, f64)) < 5e-7);
}

TEST_CASE("fisher_space: the singular values of the gradients give what the matrix gives") {
  for (int64_t d : {1, 2, 3}) {
    FisherSpace dense = leading_space(fisher(), {.rank = d}), thin = leading_space_of(gradients(), {.rank = d});
    CHECK(furthest(dense.values, thin.values) < 1e-10);
    CHECK(furthest(matmul(dense.vectors, mT(dense.vectors)), matmul(thin.vectors, mT(thin.vectors))) < 1e-10);
  }
  // More parameters than samples: n × n is never formed.
  manual_seed(1);
  Tensor wide = randn({4, 30}, {.dtype = f64});
  FisherSpace thin = leading_space_of(wide, {.rank = 3}), dense = leading_space(matmul(mT(wide), wide) / 4, {.rank = 3});
  CHECK(thin.dimension() == 30);
  CHECK(furthest(dense.values, thin.values) < 1e-10);
  CHECK(furthest(matmul(dense.vectors, mT(dense.vectors)), matmul(thin.vectors, mT(thin.vectors))) < 1e-10);
}

TEST_CASE("fisher_space: as many directions as reach the share of the spectrum, at most the limit, at least one") {
  CHECK(leading_space(fisher()).rank() == 1);  // 3.4979 of 3.5133 is more than 90 %
  CHECK(leading_space(fisher(), {.energy = 0.999}).rank() == 2);
  CHECK(leading_space(fisher(), {.energy = 1}).rank() == 3);
  CHECK(leading_space(fisher(), {.energy = 1, .most = 2}).rank() == 2);
  CHECK(leading_space(zeros({3, 3}, f64)).rank() == 1);
  FisherSpace normal = worked_space().normalized();
  CHECK(to_vector(normal.values)[0] == 1);
  CHECK(same_bits(normal.vectors, worked_space().vectors));
  CHECK(to_vector(leading_space(zeros({3, 3}, f64)).normalized().values)[0] == 0);
}

TEST_CASE("fisher_space: a projector splits a change in two, and does it once") {
  FisherSpace space = leading_space(fisher(), {.rank = 2});
  for (const Tensor& d : {flat_change(), row_change()}) {
    Tensor a = space.project(d), t = space.complement(d);
    CHECK(furthest(a + t, d) < 1e-15);
    CHECK(furthest(space.project(a), a) < 1e-15);
    CHECK(furthest(space.project(t), zeros_like(t)) < 1e-15);
  }
  FisherSpace turned{space.values, -space.vectors};  // an eigenvector's sign says nothing
  CHECK(furthest(turned.project(row_change()), space.project(row_change())) < 1e-15);
  CHECK(weighted_subspace_penalty(row_change(), turned).item() ==
        Approx(weighted_subspace_penalty(row_change(), space).item()).epsilon(1e-14));
}

TEST_CASE("row fisher: of a linear layer it is the outer products of output gradients, weighted by the inputs' squares") {
  manual_seed(2);
  nn::Linear layer(3, 4, {.bias = false, .dtype = f64});
  Tensor x = randn({5, 3}, {.dtype = f64}), label = tensor({0, 1, 2, 3, 1});
  Tensor measured_fisher = estimate_row_fisher([&](const Tensor& in) { return layer(in); }, {layer.weight}, x, label,
                                               {.labels = FisherLabels::given, .unit = FisherUnit::sample, .batch = 2})[0];
  Tensor expected = zeros({4, 4}, f64);
  for (int64_t n = 0; n < 5; ++n) {
    Tensor row = slice(x, 0, n, n + 1), z = leaf(layer(row));
    cross_entropy(z, slice(label, 0, n, n + 1)).backward();
    expected = expected + matmul(mT(z.grad()), z.grad()) * (sum(square(row)).item() / 5);
  }
  CHECK(furthest(measured_fisher, expected) < 1e-14);
  CHECK_THROWS_WITH_AS(RowFisherAccumulator({}), "fisher: there are no parameters", ValueError);
  CHECK_THROWS_WITH_AS(RowFisherAccumulator({layer.weight}).matrices(), "fisher: no loss was given", ValueError);
}

TEST_CASE("alignguard: of a change in one list, parts and terms have their worked values") {
  FisherSpace space = worked_space();
  Tensor d = flat_change(), a = space.project(d), t = space.complement(d), h = tensor({0.75, 2.7466667, 0.0166667}, f64);
  CHECK(furthest(a, tensor({0.0205715, 0.0393946, -0.00127619}, f64)) < 5e-8);
  CHECK(furthest(t, tensor({0.279428, -0.139395, 0.201276}, f64)) < 5e-7);
  CHECK(weighted_subspace_penalty(d, space).item() == Approx(0.00691458).epsilon(1e-6));
  CHECK(weighted_subspace_penalty(a, space).item() == Approx(0.00691458).epsilon(1e-6));  // the projection changes nothing there
  CHECK(weighted_square(t, h).item() == Approx(0.112606).epsilon(5e-6));
  Tensor eta = sigmoid(abs(d) - 0.01) * 4 + 1;
  CHECK(furthest(eta, tensor({3.287985, 3.089939, 3.189430}, f64)) < 5e-7);
  CHECK(riemannian_overlap(a, t, d).item() == Approx(0.0122292).epsilon(5e-6));
  CHECK(riemannian_overlap(a, t, d, 4, 0.01, Reduction::sum).item() == Approx(0.0366876).epsilon(5e-6));
  CHECK(squared_cosine(a, t).item() < 1e-28);

  AlignGuard guard({{space, h}});
  CHECK(guard.loss(scalar_tensor(1.0, f64), {d}).item() == Approx(1.058643).epsilon(1e-6));
  Terms terms = guard.terms({d});
  CHECK(terms.alignment.item() == Approx(0.00691458).epsilon(1e-6));
  CHECK(terms.task.item() == Approx(0.112606).epsilon(5e-6));
  CHECK(terms.riemannian.item() == Approx(0.0122292).epsilon(5e-6));
  CHECK(terms.geodesic.item() < 1e-28);
}

TEST_CASE("alignguard: two changes of their own have their worked collision") {
  Tensor a = flat_change(), b = tensor({0.1, 0.4, 0.2}, f64);
  CHECK(squared_cosine(a, b).item() == Approx(0.0306122).epsilon(2e-6));
  CHECK(riemannian_overlap(a, b, a + b).item() == Approx(0.122826).epsilon(5e-6));
  AlignGuard guard({{worked_space(), {}}});
  Terms terms = guard.terms({a}, {b});
  CHECK(terms.geodesic.item() == Approx(0.0306122).epsilon(2e-6));
  CHECK(terms.riemannian.item() == Approx(0.122826).epsilon(5e-6));
  CHECK(terms.task.item() == Approx(0.21).epsilon(1e-12));            // ‖b‖²
  CHECK(terms.alignment.item() == Approx(0.00691458).epsilon(1e-6));  // of a alone
}

TEST_CASE("alignguard: of a matrix, parts, terms and the gradient have their worked values") {
  FisherSpace space = worked_space();
  Tensor d = leaf(row_change()), a = space.project(d);
  CHECK(furthest(a.detach(), tensor({{0.0205715, 0.103402}, {0.0393946, 0.198016}, {-0.00127619, -0.00641472}}, f64)) < 5e-7);
  Terms terms = AlignGuard({{space, {}}}, {.reduction = Reduction::sum}).terms({d});
  CHECK(terms.alignment.item() == Approx(0.181614).epsilon(3e-6));
  CHECK(terms.task.item() == Approx(0.138080).epsilon(5e-6));
  CHECK(terms.riemannian.item() == Approx(0.0391508).epsilon(5e-6));
  Tensor slope = grad({weighted_subspace_penalty(d, space)}, {d})[0];
  CHECK(furthest(select(slope, 0, 0), tensor({0.143916, 0.723389}, f64)) < 2e-6);
}

TEST_CASE("alignguard: with every direction the alignment term is tr(D' F D) and nothing is left for the task") {
  FisherSpace all = leading_space(fisher(), {.rank = 3});
  Tensor d = row_change();
  double trace = sum(d * matmul(fisher(), d)).item();
  Terms terms = AlignGuard({{all, tensor({5.0, 7.0, 9.0}, f64)}}).terms({d});
  CHECK(terms.alignment.item() == Approx(trace).epsilon(1e-12));
  CHECK(terms.task.item() < 1e-28);
}

TEST_CASE("alignguard: without a change everything is 0, and so are the gradients") {
  AlignGuard guard({{worked_space(), {}}}, {.alignment = 1, .task = 1, .collision = 1});
  Tensor d = leaf(zeros({3, 2}, f64)), e = leaf(zeros({3, 2}, f64));
  Tensor one = guard.loss(scalar_tensor(0.0, f64), {d});
  CHECK(one.item() == 0);
  CHECK(same_bits(grad({one}, {d})[0], zeros({3, 2}, f64)));
  Tensor two = guard.loss(scalar_tensor(0.0, f64), {d}, {e});
  CHECK(two.item() == 0);
  for (const Tensor& g : grad({two}, {d, e})) CHECK(same_bits(g, zeros({3, 2}, f64)));
}

TEST_CASE("alignguard: the gradients of all terms are the slopes of their values") {
  AlignGuard guard({{leading_space(fisher(), {.rank = 2}), tensor({1.0, 2.0, 3.0}, f64)}}, {.alignment = 1, .task = 0.7, .collision = 3});
  Tensor zero = scalar_tensor(0.0, f64);
  GradcheckResult one =
      gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{guard.loss(zero, {x[0]})}; }, {leaf(row_change())});
  CHECK_MESSAGE(one.passed, one.message);
  manual_seed(3);
  GradcheckResult two = gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{guard.loss(zero, {x[0]}, {x[1]})}; },
                                  {leaf(row_change()), leaf(randn({3, 2}, {.dtype = f64}))});
  CHECK_MESSAGE(two.passed, two.message);
}

TEST_CASE("alignguard: the cosine lies in [0, 1] whatever the scale; the overlap is symmetric and 0 where supports are disjoint") {
  manual_seed(4);
  for (int k = 0; k < 20; ++k) {
    Tensor a = randn({3, 4}, {.dtype = f64}), b = randn({3, 4}, {.dtype = f64});
    double c = squared_cosine(a, b).item();
    CHECK(c >= 0);
    CHECK(c <= 1);
    CHECK(squared_cosine(a * 5, b * -0.2).item() == Approx(c).epsilon(1e-9));
    CHECK(squared_cosine(a, a * -3).item() == Approx(1).epsilon(1e-9));
    CHECK(riemannian_overlap(a, b, a + b).item() == riemannian_overlap(b, a, a + b).item());
  }
  Tensor left = tensor({1.0, 2.0, 0.0, 0.0}, f64), right = tensor({0.0, 0.0, 3.0, -1.0}, f64);
  CHECK(riemannian_overlap(left, right, left + right).item() == 0);
}

TEST_CASE("alignguard: of several layers, alignment and task are sums, the collision's terms means") {
  FisherSpace space = worked_space();
  Tensor a = flat_change(), b = tensor({0.1, 0.4, 0.2}, f64);
  AlignGuard one({{space, {}}}), two({{space, {}}, {space, {}}});
  Terms first = one.terms({a}, {b}), second = one.terms({b}, {a}), both = two.terms({a, b}, {b, a});
  CHECK(both.alignment.item() == Approx(first.alignment.item() + second.alignment.item()).epsilon(1e-13));
  CHECK(both.task.item() == Approx(first.task.item() + second.task.item()).epsilon(1e-13));
  CHECK(both.riemannian.item() == Approx((first.riemannian.item() + second.riemannian.item()) / 2).epsilon(1e-13));
  CHECK(both.geodesic.item() == Approx((first.geodesic.item() + second.geodesic.item()) / 2).epsilon(1e-13));
}

TEST_CASE("alignguard: after a refresh changes count from where they were") {
  AlignGuard guard({{worked_space(), {}}});
  guard.refresh({{leading_space(fisher(), {.rank = 2}), {}}}, {row_change()});
  CHECK(guard.layers()[0].space.rank() == 2);
  CHECK(guard.loss(scalar_tensor(1.0, f64), {row_change()}).item() == 1);
  Terms moved = guard.terms({row_change() * 2}), fresh = AlignGuard({{leading_space(fisher(), {.rank = 2}), {}}}).terms({row_change()});
  CHECK(moved.alignment.item() == Approx(fresh.alignment.item()).epsilon(1e-13));
  CHECK(moved.task.item() == Approx(fresh.task.item()).epsilon(1e-13));
  CHECK_THROWS_WITH_AS(guard.refresh({{worked_space(), {}}}, {}), "alignguard: 0 changes for 1 layers", ShapeError);
}

TEST_CASE("alignguard: without multipliers the training is LoRA's to the last bit; with them it is not") {
  manual_seed(5);
  mlp::Mlp pretrained(mlp::MlpConfig{.inputs = 6, .hidden = {12}, .outputs = 4});
  Tensor x = randn({16, 6}), label = randint(0, 4, {16});
  auto after_steps = [&](const AlignGuardOptions* options) {
    mlp::Mlp net = pretrained;
    manual_seed(6);
    nn::add_adapter(net, "task", {.rank = 3});
    nn::train_adapters_only(net);
    std::vector<nn::LowRankAdapter*> adapters = adapters_of(net);
    optim::AdamW adamw(adapter_factors(net).all(), {.lr = 1e-2, .weight_decay = 0});
    AlignGuard guard({{leading_space(eye(12, 12), {.rank = 2}), {}}, {leading_space(eye(4, 4), {.rank = 2}), {}}},
                     options ? *options : AlignGuardOptions{});
    for (int step = 0; step < 5; ++step) {
      adamw.zero_grad();
      Tensor loss = cross_entropy(net(x), label);
      (options ? guard.loss(loss, adapter_changes(adapters)) : loss).backward();
      adamw.step();
    }
    return net.state();
  };
  AlignGuardOptions none{0, 0, 0}, some;
  StateDict lora = after_steps(nullptr), without = after_steps(&none), with = after_steps(&some);
  bool moved = false;
  for (const auto& [name, value] : lora) {
    CHECK_MESSAGE(same_bits(value, without.at(name)), name);
    moved = moved || !same_bits(value, with.at(name));
  }
  CHECK(moved);
}

TEST_CASE("alignguard: a power law is found again") {
  std::array<double, 4> x{50, 100, 200, 400}, y{};
  for (size_t i = 0; i < x.size(); ++i) y[i] = 0.3 * std::pow(x[i], 0.7);
  PowerLaw law = fit_power_law(x, y);
  CHECK(law.coefficient == Approx(0.3).epsilon(1e-12));
  CHECK(law.exponent == Approx(0.7).epsilon(1e-12));
  CHECK(law(1000) == Approx(0.3 * std::pow(1000, 0.7)).epsilon(1e-12));
  std::array<double, 2> same{3, 3}, negative{1, -1}, two{1, 2};
  CHECK_THROWS_WITH_AS(fit_power_law(same, two), "fit_power_law: needs two different places", ValueError);
  CHECK_THROWS_WITH_AS(fit_power_law(two, negative), "fit_power_law: needs positive numbers, got -1 at 2", ValueError);
  CHECK_THROWS_WITH_AS(fit_power_law(x, two), "fit_power_law: 4 places and 2 values", ValueError);
}

TEST_CASE("alignguard: bad input is told by its values") {
  FisherSpace space = worked_space();
  Tensor d = row_change();
  auto guard = [&](AlignGuardOptions o) { return AlignGuard({{space, {}}}, o); };
  CHECK_THROWS_WITH_AS(guard({.alignment = -1}), "alignguard: the multiplier alignment must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(guard({.task = -0.5}), "alignguard: the multiplier task must not be negative, it is -0.5", ValueError);
  CHECK_THROWS_WITH_AS(guard({.collision = -2}), "alignguard: the multiplier collision must not be negative, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(guard({.alpha = 1.5}), "alignguard: alpha must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(guard({.eps = 0}), "alignguard: eps must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(squared_cosine(d, d, -1), "squared_cosine: eps must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(AlignGuard({}), "alignguard: there are no layers", ValueError);
  CHECK_THROWS_WITH_AS(AlignGuard({{space, ones({2}, f64)}}), "alignguard: h is [2] for a layer of 3 rows", ShapeError);
  CHECK_THROWS_WITH_AS(weighted_square(d, ones({2}, f64)), "alignguard: h is [2] for a change [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(guard({}).terms({d, d}), "alignguard: 2 changes for 1 layers", ShapeError);
  CHECK_THROWS_WITH_AS(leading_space(fisher(), {.rank = 4}), "fisher_space: rank 4 does not lie between 1 and 3", ValueError);
  CHECK_THROWS_WITH_AS(leading_space(fisher(), {.rank = -1}), "fisher_space: rank -1 does not lie between 1 and 3", ValueError);
  CHECK_THROWS_WITH_AS(leading_space(fisher(), {.energy = 0}), "fisher_space: energy must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(leading_space(fisher(), {.most = 0}), "fisher_space: at most 0 directions are none", ValueError);
  CHECK_THROWS_WITH_AS(leading_space(d), "fisher_space: takes a square matrix, got [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(leading_space_of(zeros({0, 3}, f64)), "fisher_space: there are no gradients in [0, 3]", ValueError);
  CHECK_THROWS_WITH_AS(space.project(zeros({2, 2}, f64)), "fisher_space: a space of 3 dimensions, and a change [2, 2]", ShapeError);
  nn::Linear layer(3, 4);
  auto logits = [&](const Tensor& x) { return layer(x); };
  CHECK_THROWS_WITH_AS(estimate_row_fisher(logits, {layer.weight}, zeros({0, 3})), "fisher: there are no inputs in [0, 3]", ValueError);
}

TEST_CASE("alignguard: the experiment runs: everything is measured, refusals were learned, and only two adapters collide") {
  Results results =
      run_experiment({"finetuning", "alignguard_lora", &alignguard_lora::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == alignguard_lora::experiment().variants.size());
  for (const char* variant : {"LoRA", "AGL", "AGL, two adapters"}) {
    double before = measured(results, variant, "refusal rate (%)") + measured(results, variant, "drift of refusals (points)");
    CHECK_MESSAGE(before > 80, variant);
    CHECK_MESSAGE(measured(results, variant, "task accuracy (%)") > 40, variant);
  }
  CHECK(measured(results, "AGL", "squared cosine of the parts") < 1e-8);
  CHECK(measured(results, "AGL, two adapters", "squared cosine of the parts") > 1e-8);
}
