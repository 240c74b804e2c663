// PER: the penalty, the tuner and the measure by worked numbers, networks that are and are not equivariant, data, the exact linear problem,
// and the experiment in small.
#include "methods/regularization/soft_equivariance/soft_equivariance.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/regularization/soft_equivariance/linear_problem.h"
#include "methods/regularization/soft_equivariance/mixed_symmetries.h"
#include "methods/regularization/soft_equivariance/soft_emlp.h"
#include "methods/runner.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::soft_equivariance;
using plumb::equivariant::embedded;
using plumb::equivariant::orthogonal;
using plumb::equivariant::scaling;
using plumb::equivariant::special_orthogonal;
using plumb::equivariant::united;

namespace {

const Representation kVector{{{1, 1}}}, kScalar{{{0, 1}}};

Tensor worked() { return tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}, {7.0, 8.0, 10.0}}, f64); }

LayerWeights layer(const Tensor& weight, const Tensor& bias = {}) { return {weight, bias, kVector, kVector}; }

SoftEmlpConfig small_config() { return {.in = {{{0, 2}, {1, 2}}}, .out = {{{2, 1}}}, .channels = 30, .layers = 3}; }

double error_under(const SoftEmlp& network, const MatrixGroup& group, const Representation& out = small_config().out) {
  NoGrad off;
  Generator g(4);
  Tensor x = randn({20, 8}, {.generator = &g});
  return equivariance_error([&](const Tensor& rows) { return network(rows); }, small_config().in, out, group, x, 5, g);
}

}  // namespace

TEST_CASE("per_penalty: worked values, biases, and a gradient of W − P W") {
  std::vector<Projector> axes = axis_groups();
  Projector all(orthogonal(3)), turns(embedded(special_orthogonal(2), {0, 1}, 3));
  CHECK(per_penalty({layer(worked())}, all).item() == doctest::Approx(109.3333).epsilon(1e-6));
  CHECK(per_penalty({layer(worked())}, axes[0]).item() == doctest::Approx(93.0));
  CHECK(per_penalty({layer(worked())}, axes[1]).item() == doctest::Approx(95.25));
  CHECK(per_penalty({layer(worked())}, axes[2]).item() == doctest::Approx(109.25));
  CHECK(per_penalty({layer(worked())}, turns).item() == doctest::Approx(92.0));
  Tensor bias = tensor({3.0, 4.0, 7.0}, f64);
  CHECK(per_penalty({layer(worked(), bias)}, axes[0]).item() == doctest::Approx(93 + 12.5));  // z alone is kept
  CHECK(per_penalty({layer(worked(), bias)}, axes[0], false).item() == doctest::Approx(93));
  CHECK(per_penalty({layer(worked()), layer(worked(), bias)}, axes[0]).item() == doctest::Approx(2 * 93 + 12.5));

  Tensor w = worked().requires_grad_();
  Tensor gradient = grad({per_penalty({layer(w)}, axes[0])}, {w})[0];
  check_close(gradient + 1, {-1, 3, 4, 5, 3, 7, 8, 9, 1}, 1e-9);
  gradcheck([&](const Tensor& x) { return per_penalty({layer(x)}, axes[1]); }, {worked()}).throw_if_failed();
  gradgradcheck([&](const Tensor& x) { return per_penalty({layer(x)}, axes[1]); }, {worked()}).throw_if_failed();
}

TEST_CASE("per_penalty: a union of groups is further away than each of them") {
  Generator g(2);
  std::vector<MatrixGroup> parts;
  for (const Projector& p : axis_groups()) parts.push_back(p.group());
  Projector together(united(parts));
  Representation in{{{0, 1}, {1, 2}}}, out{{{1, 1}, {2, 1}}};
  for (int i = 0; i < 5; ++i) {
    LayerWeights l{randn({12, 7}, {.dtype = f64, .generator = &g}), randn({12}, {.dtype = f64, .generator = &g}), out, in};
    double whole = per_penalty({l}, together).item();
    for (const Projector& p : axis_groups()) CHECK(whole >= per_penalty({l}, p).item() - 1e-12);
    CHECK(whole == doctest::Approx(per_penalty({l}, Projector(orthogonal(3))).item()));  // turns and mirrors of all planes make O(3)
  }
}

TEST_CASE("per_regularizer: the weighted sum, groups of strength 0 left out, and mistakes") {
  std::vector<Projector> axes = axis_groups();
  std::vector<double> values;
  CHECK(per_regularizer({layer(worked())}, axes, {2, 0, 0.5}, &values).item() == doctest::Approx(2 * 93 + 0.5 * 109.25));
  CHECK(values == std::vector<double>{values[0], 0, values[2]});
  CHECK(values[2] == doctest::Approx(109.25));
  CHECK_FALSE(per_regularizer({layer(worked())}, axes, {0, 0, 0}).defined());
  Tensor bias = tensor({3.0, 4.0, 7.0}, f64);
  CHECK(per_regularizer({layer(worked(), bias)}, axes, {2, 0, 0}).item() == doctest::Approx(2 * (93 + 12.5)));
  CHECK(per_regularizer({layer(worked(), bias)}, axes, {2, 0, 0}, nullptr, false).item() == doctest::Approx(2 * 93));
  gradcheck(
      [&](const Tensor& w, const Tensor& b) {
        return per_regularizer({layer(w, b)}, axes, {2, 0.3, 0.5});
      },
      {worked(), bias})
      .throw_if_failed();
  CHECK_THROWS_WITH_AS(per_regularizer({layer(worked())}, {}, {}), "per_regularizer: there are no groups", ValueError);
  CHECK_THROWS_WITH_AS(per_regularizer({layer(worked())}, axes, {1}), "per_regularizer: 1 strengths for 3 groups", ValueError);
  CHECK_THROWS_WITH_AS(per_regularizer({layer(worked())}, axes, {1, -1, 1}), "per_regularizer: a strength of -1", ValueError);
  CHECK_THROWS_WITH_AS(per_penalty({}, axes[0]), "per_penalty: there are no layers", ValueError);
  CHECK_THROWS_WITH_AS(per_penalty({{zeros({3, 4}), {}, kVector, kVector}}, axes[0]),
                       "projector: the representations need a weight [3, 3], it is [3, 4]", ShapeError);
}

TEST_CASE("equivariance_tuner: the worked adjustment, and its limits") {
  auto adjusted = [](std::vector<double> r, std::vector<double> strengths, double kappa, double norm = 0) {
    EquivarianceTuner tuner(r.size(), {.kappa = kappa});
    tuner.track(r);
    return tuner.adjust(strengths, norm);
  };
  std::vector<double> r{30, 0.5, 2, 4}, strengths{0, 100, 100, 100};
  CHECK(adjusted(r, strengths, 2) == std::vector<double>{0, 100, 6.25, 1.5625});
  CHECK(adjusted(r, strengths, 0) == strengths);
  CHECK(adjusted(r, {0, 0, 0, 0}, 2) == std::vector<double>{0, 0, 0, 0});
  // An exactly equivariant start: 0 counts as 1e-12 (1 + ‖W‖²).
  std::vector<double> exact = adjusted({0, 1e-11}, {1, 1}, 1, 4);
  CHECK(exact[0] == 1);
  CHECK(exact[1] == doctest::Approx(0.5));
}

TEST_CASE("equivariance_tuner: the smallest penalties one by one, or the newest vector with a smaller one") {
  std::vector<std::vector<double>> seen{{3, 1, 5}, {2, 4, 6}, {9, 9, 9}};
  EquivarianceTuner each(3), whole(3, {.whole_vector = true});
  for (const auto& r : seen) each.track(r), whole.track(r);
  CHECK(each.smallest() == std::vector<double>{2, 1, 5});
  CHECK(whole.smallest() == std::vector<double>{2, 4, 6});
  EquivarianceTuner late(1, {.adjust_at = 150, .window = 100, .warmup = 50});
  CHECK_FALSE(late.watches(50, 60));
  CHECK(late.watches(51, 50));
  CHECK_FALSE(late.watches(51, 49));
  CHECK(late.watches(150, 149));
  CHECK_FALSE(late.watches(151, 150));
}

TEST_CASE("equivariance_tuner: mistakes") {
  CHECK_THROWS_WITH_AS(EquivarianceTuner(0), "equivariance_tuner: there are no groups", ValueError);
  CHECK_THROWS_WITH_AS(EquivarianceTuner(1, {.kappa = -1}), "equivariance_tuner: kappa must not be negative, it is -1", ValueError);
  EquivarianceTuner tuner(2);
  CHECK_THROWS_WITH_AS(tuner.adjust({1, 1}), "equivariance_tuner: nothing was tracked before the adjustment", ValueError);
  CHECK_THROWS_WITH_AS(tuner.track({1}), "equivariance_tuner: 1 penalties for 2 groups", ValueError);
  CHECK_THROWS_AS(tuner.track({1, NAN}), ValueError);
  CHECK_THROWS_WITH_AS(tuner.adjust({1}), "equivariance_tuner: 1 strengths for 2 groups", ValueError);
}

TEST_CASE("equivariance_error: a worked turn by 90°, and its limits") {
  auto f = [](const Tensor& x) { return matmul(x, transpose(worked(), 0, 1)); };
  Tensor turn = tensor({{0.0, -1.0, 0.0}, {1.0, 0.0, 0.0}, {0.0, 0.0, 1.0}}, f64), x = tensor({{1.0, 0.0, 0.0}}, f64);
  CHECK(equivariance_error(f, kVector, kVector, {turn}, x) == doctest::Approx(0.409739).epsilon(1e-5));
  auto same = [](const Tensor& rows) { return rows * 3.0; };
  Generator g(1);
  CHECK(equivariance_error(same, kVector, kVector, orthogonal(3), x, 8, g) < 1e-12);
  auto none = [](const Tensor& rows) { return rows * 0.0; };
  CHECK(equivariance_error(none, kVector, kVector, {turn}, x) == 0);
  CHECK_THROWS_WITH_AS(equivariance_error(f, kVector, kVector, {}, x), "equivariance_error: needs elements of the group and rows of inputs",
                       ValueError);
  CHECK_THROWS_AS(equivariance_error(f, kScalar, kVector, {turn}, x), ShapeError);
}

TEST_CASE("soft_emlp: bound to a group it is equivariant, with gates and products; broken activations and free weights are not") {
  manual_seed(1);
  SoftEmlpConfig config = small_config();
  for (const MatrixGroup& group : {orthogonal(3), embedded(orthogonal(2), {0, 1}, 3)}) {
    CAPTURE(group.name);
    config.group = std::make_shared<const Projector>(group);
    config.binding = Binding::hard;
    CHECK(error_under(SoftEmlp(config), group) < 1e-5);
    SoftEmlpConfig vectors = config;
    vectors.out = kVector;
    CHECK(error_under(SoftEmlp(vectors), group, kVector) < 1e-5);
    vectors.broken = true;
    SoftEmlp broken(vectors);
    for (const auto& [name, p] : broken.named_parameters())
      if (Tensor w = p; name.ends_with("broken")) copy_data(w.detach() * 1e3, w);  // from its start, 10⁻³, to 1
    CHECK(error_under(broken, group, kVector) > 1e-4);
    config.binding = Binding::residual;
    SoftEmlp residual(config);
    CHECK(error_under(residual, group) < 1e-5);  // what is free starts from 0
    config.binding = Binding::none;
    CHECK(error_under(SoftEmlp(config), group) > 0.05);
    config.start = Start::rpp;
    SoftEmlp started(config);
    CHECK(error_under(started, group) < 0.05);
    config.start = Start::free;
  }
  config.flexible = true;
  CHECK(error_under(SoftEmlp(config), orthogonal(3)) > 0.05);
}

TEST_CASE("soft_emlp: an equivariant network's products can say what gates alone cannot") {
  // From vectors alone, gates give a rank-2 tensor nothing but multiples of the identity under O(3).
  manual_seed(2);
  SoftEmlpConfig config = small_config();
  config.group = std::make_shared<const Projector>(orthogonal(3));
  config.binding = Binding::hard;
  auto off_diagonal = [&](bool products) {
    config.products = products;
    NoGrad off;
    Tensor y = reshape(SoftEmlp(config)(randn({10, 8})), {10, 3, 3});
    return max(plumb::abs(select(select(y, 1, 0), 1, 1))).item();
  };
  CHECK(off_diagonal(true) > 1e-6);
  CHECK(off_diagonal(false) < 1e-6);
}

TEST_CASE("soft_emlp: halfsoft starts are halves of both") {
  SoftEmlpConfig config = small_config();
  config.group = std::make_shared<const Projector>(orthogonal(3));
  auto first = [&](Start start) {
    config.start = start;
    manual_seed(3);
    return SoftEmlp(config).layers()[0];
  };
  LayerWeights free = first(Start::free), half = first(Start::halfsoft), rpp = first(Start::rpp);
  Tensor projected = config.group->weight(free.weight, free.out, free.in);
  check_close(half.weight + 1, to_vector((free.weight + projected) * 0.5 + 1), 1e-5);
  check_close(rpp.weight + 1, to_vector(projected + free.weight * 1e-3 + 1), 1e-5);
}

TEST_CASE("soft_emlp: strengths of 0 train as the plain network does, step for step") {
  auto trained = [](bool regularised) {
    manual_seed(5);
    SoftEmlp network(small_config());
    Tensor x = randn({16, 8}), y = randn({16, 9});
    optim::SGD sgd(network.parameters(), {.lr = 0.05});
    for (int step = 0; step < 5; ++step) {
      sgd.zero_grad();
      Tensor loss = mse_loss(network(x), y);
      if (regularised)
        if (Tensor r = per_regularizer(network.layers(), axis_groups(), {0, 0, 0}); r.defined()) loss = loss + r;
      loss.backward();
      sgd.step();
    }
    return to_vector(network.parameters()[0]);
  };
  CHECK(trained(true) == trained(false));
}

TEST_CASE("soft_emlp: norms, residual priors, and mistakes") {
  SoftEmlpConfig config = small_config();
  config.layers = 1;
  config.group = std::make_shared<const Projector>(orthogonal(3));
  config.binding = Binding::residual;
  SoftEmlp network(config);  // orthogonal rows: 8 columns of length 1, ‖W‖² = 8; W′ = 0
  double bias = 0;
  for (const auto& [name, p] : network.named_parameters())
    if (name == "last.bias") bias = sum(p * p).item();
  CHECK(network.half_squared_norm().item() == doctest::Approx(4 + bias / 2).epsilon(1e-5));
  CHECK(network.residual_prior(3, 7).item() == doctest::Approx(3 * (4 + bias / 2)).epsilon(1e-5));
  CHECK_FALSE(network.broken_squared_norm().defined());
  SoftEmlpConfig broken = small_config();
  broken.broken = true;
  CHECK(SoftEmlp(broken).broken_squared_norm().item() == doctest::Approx(60 * 1e-6).epsilon(1e-4));  // two layers of 30
  CHECK_THROWS_WITH_AS(SoftEmlp(small_config()).residual_prior(1, 1), "residual_prior: the layers have no residual pathway", ValueError);
  config.group = nullptr;
  CHECK_THROWS_WITH_AS(SoftEmlp{config}, "soft_emlp: this binding or start needs a group", ValueError);
  config.group = std::make_shared<const Projector>(orthogonal(2));
  CHECK_THROWS_WITH_AS(SoftEmlp{config}, "soft_emlp: the group acts on R^2, the network on R^3", ValueError);
  CHECK_THROWS_WITH_AS(SoftEmlp({.in = kVector, .out = {}}), "representation: it has no parts", ValueError);
}

TEST_CASE("inertia: the worked tensor, a favoured axis, and the symmetry that is left") {
  Tensor masses = tensor({{1.0, 2.0}}, f64), positions = tensor({{{1.0, 0.0, 0.0}, {0.0, 1.0, 1.0}}}, f64);
  Tensor i = inertia(masses, positions);
  CHECK(to_vector(i) == std::vector<double>{4, 0, 0, 0, 3, -2, 0, -2, 3});
  check_close(favour_axis(i, 0.3, 2), {4, 0, 0, 0, 3, -2.6, 0, -2, 3.9}, 1e-12);
  CHECK(to_vector(favour_axis(i, -1, 2)) == std::vector<double>{4, 0, 0, 0, 3, 0, 0, -2, 0});
  CHECK_THROWS_WITH_AS(favour_axis(i, 1, 3), "favour_axis: axis 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_AS(inertia(masses, masses), ShapeError);

  Generator g(6);
  Examples examples = inertia_examples(50, {.noise = -1}, g);
  CHECK(examples.inputs.shape() == Shape{50, 20});
  CHECK(examples.targets.shape() == Shape{50, 9});
  for (double m : to_vector(narrow(examples.inputs, 1, 0, 5))) CHECK(m > 0);
  auto f = [](const Tensor& x) {
    return reshape(favour_axis(inertia(narrow(x, 1, 0, 5), reshape(narrow(x, 1, 5, 15), {x.size(0), 5, 3})), -1, 2), {x.size(0), 9});
  };
  Representation in{{{0, 5}, {1, 5}}}, out{{{2, 1}}};
  CHECK(to_vector(f(examples.inputs)) == to_vector(examples.targets));
  std::vector<Projector> axes = axis_groups();
  CHECK(equivariance_error(f, in, out, axes[0].group(), examples.inputs, 5, g) < 1e-5);
  CHECK(equivariance_error(f, in, out, axes[1].group(), examples.inputs, 5, g) > 0.05);
  CHECK(equivariance_error(f, in, out, axes[2].group(), examples.inputs, 5, g) > 0.05);
}

TEST_CASE("mixed_similarity: keeps turns or scaling, as asked, and both without noise") {
  Generator g(8);
  Examples some = similarity_examples(40, 0, Broken::scale, g);
  Representation in{{{1, 3}}};
  auto error = [&](double noise, Broken broken, const MatrixGroup& group) {
    auto f = [&](const Tensor& x) { return unsqueeze(mixed_similarity(reshape(x, {x.size(0), 3, 3}), noise, broken), 1); };
    return equivariance_error(f, in, kScalar, group, some.inputs, 5, g);
  };
  for (Broken broken : {Broken::scale, Broken::rotation}) {
    CHECK(error(0, broken, special_orthogonal(3)) < 1e-5);
    CHECK(error(0, broken, scaling(3)) < 1e-5);
  }
  CHECK(error(0.5, Broken::scale, special_orthogonal(3)) < 1e-5);
  CHECK(error(0.5, Broken::scale, scaling(3)) > 0.01);
  CHECK(error(0.5, Broken::rotation, special_orthogonal(3)) > 0.01);
  CHECK(error(0.5, Broken::rotation, scaling(3)) < 1e-5);
  // (1, 0, 0), (0, 2, 0), (0, 1, 1): cosines 0, 1/√2, 0; lengths 1, 2, √2; sums 1, 2, 2.
  Tensor x = tensor({{{1.0, 0.0, 0.0}, {0.0, 2.0, 0.0}, {0.0, 1.0, 1.0}}}, f64);
  CHECK(mixed_similarity(x, 0.3, Broken::scale).item() == doctest::Approx(std::sqrt(0.5) / 3 - 0.1 * (3 + std::sqrt(2.0))));
  CHECK(mixed_similarity(x, 0.3, Broken::rotation).item() == doctest::Approx(std::sqrt(0.5) / 3 - 0.3 / 4));
  CHECK_THROWS_AS(mixed_similarity(some.inputs, 0, Broken::scale), ShapeError);
}

TEST_CASE("linear problem: minimisers have no gradient, and tuned strengths find the axis") {
  Generator g(11);
  std::vector<Projector> axes = axis_groups();
  LinearProblem p = linear_problem(g);
  Tensor w = linear_minimiser(p, axes, {2, 0.5, 1}).requires_grad_();
  Tensor loss = mse_loss(matmul(p.inputs, transpose(w, 0, 1)), p.targets) + sum(w * w) * 0.5e-4;
  loss = loss + per_regularizer({{w, {}, kVector, {{{1, 5}}}}}, axes, {2, 0.5, 1});
  CHECK(max(plumb::abs(grad({loss}, {w})[0])).item() < 1e-10);
  CHECK(p.error(p.truth) == 0);

  // Means over 20 problems, by two independent programs: 4.49 without, 0.78 bound to O(3), 0.59 with equal strengths, 0.214 tuned, 0.065
  // told the answer. Problems differ, so wide bands.
  std::array<double, 5> mean{};
  std::array<double, 3> strength{};
  int picked = 0;
  for (int i = 0; i < 20; ++i) {
    LinearProblem q = linear_problem(g);
    std::vector<double> strengths{2, 2, 2};
    double errors[] = {q.error(linear_minimiser(q, {}, {})), q.error(linear_minimiser(q, {Projector(orthogonal(3))}, {1e6})),
                       q.error(linear_minimiser(q, axes, strengths)), q.error(tuned_minimiser(q, axes, strengths)),
                       q.error(linear_minimiser(q, {axes[0]}, {1e6}))};
    for (size_t k = 0; k < 5; ++k) mean[k] += errors[k] / 20;
    for (size_t k = 0; k < 3; ++k) strength[k] += strengths[k] / 20;
    picked += strengths[0] > strengths[1] && strengths[0] > strengths[2];
  }
  CHECK((mean[0] > 2.5 && mean[0] < 8));
  CHECK((mean[1] > 0.5 && mean[1] < 1.2));
  CHECK((mean[2] > 0.4 && mean[2] < 0.85));
  CHECK((mean[3] > 0.12 && mean[3] < 0.35));
  CHECK((mean[4] > 0.04 && mean[4] < 0.1));
  CHECK((strength[0] > 1.9 && strength[1] < 0.6 && strength[2] < 0.6));
  CHECK(picked >= 18);
  CHECK_THROWS_WITH_AS(linear_minimiser(p, axes, {1}), "linear_minimiser: 1 strengths for 3 groups", ValueError);
}

TEST_CASE("soft_equivariance: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"regularization", "soft_equivariance", &soft_equivariance::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 10);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [metric, value] : cell.measured.metrics) CHECK((std::isfinite(value) && value >= 0));
  }
  CHECK(measured(results, "EMLP, O(3)", "inertia: error under O(3) (%)") < 1e-2);
  CHECK(measured(results, "EMLP, O(2) about z", "inertia: error under O(2) about z (%)") < 1e-2);
  CHECK(measured(results, "EMLP, O(2) about z", "inertia: error under O(3) (%)") > 1);
  CHECK(measured(results, "MLP", "inertia: error under O(3) (%)") > 5);
  CHECK(measured(results, "PER", "linear: test error") < measured(results, "MLP", "linear: test error"));
}
