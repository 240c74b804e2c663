// ALLoRA: factors and scaled steps on worked numbers, what stays LoRA's, bad input, and the experiment.
#include "methods/finetuning/allora/allora.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/sgd.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

namespace plumb::methods::allora {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;

namespace {

Tensor worked_up() { return tensor({{0.0, 0.0}, {0.03, 0.04}, {0.6, -0.8}}, f64); }

double furthest(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  auto x = to_vector(a), y = to_vector(b);
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

bool same_bits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && to_vector(a) == to_vector(b); }

// A parameter with a gradient.
Tensor parameter(const Tensor& value, const Tensor& gradient) {
  Tensor p = clone(value).requires_grad_();
  p.set_grad(gradient);
  return p;
}

}  // namespace

TEST_CASE("allora: the factors of rows have their worked values under both rules") {
  Tensor up = worked_up();
  CHECK(furthest(allora::row_factor(up, 4), tensor({4.0, 2.981424, 0.970143}, f64)) < 5e-7);
  CHECK(furthest(allora::row_factor(up, 4, allora::Rule::square), tensor({4.0, 3.922323, 0.970143}, f64)) < 5e-7);
  // One factor for the matrix, whose norm is √(0.05² + 1²) = 1.0012492.
  double whole = 1 / std::sqrt(std::sqrt(1.0025) + 0.0625);
  CHECK(furthest(allora::matrix_factor(up, 4), full({3}, whole, f64)) < 1e-12);
}

TEST_CASE("allora: scaled gradients have their worked values, and keep the direction of every row") {
  Tensor gradient = tensor({{1.0, -2.0}, {0.5, 0.25}, {-1.0, 1.0}}, f64);
  Tensor up = parameter(worked_up(), gradient);
  std::vector<Tensor> gradients{clone(gradient)};
  allora::scale_gradients({up}, {.eta = 4})({up}, gradients);
  CHECK(furthest(gradients[0], tensor({{4.0, -8.0}, {1.490712, 0.745356}, {-0.970143, 0.970143}}, f64)) < 5e-7);
  auto g = to_vector(gradient), scaled = to_vector(gradients[0]);
  for (size_t row = 0; row < 3; ++row) {
    double cross = g[2 * row] * scaled[2 * row + 1] - g[2 * row + 1] * scaled[2 * row];
    CHECK(std::abs(cross) < 1e-15);
    CHECK(g[2 * row] * scaled[2 * row] > 0);
  }
  // Parameters that are not named are left alone.
  Tensor other = parameter(worked_up(), gradient);
  std::vector<Tensor> untouched{clone(gradient)};
  allora::scale_gradients({up}, {.eta = 4})({other}, untouched);
  CHECK(same_bits(untouched[0], gradient));
}

TEST_CASE("allora: over all masks, dropout of the input is the plain loss and a ridge with the data's weights") {
  const std::array<std::array<double, 2>, 3> x{{{1, 2}, {-1, 0.5}, {0, 1}}};
  const std::array<double, 3> y{1, 0, 2};
  const std::array<double, 2> w{0.4, -0.3};
  const double p = 0.25;
  double expectation = 0, plain = 0;
  for (int mask = 0; mask < 64; ++mask) {
    double probability = 1, loss = 0;
    for (size_t n = 0; n < 3; ++n) {
      double said = 0;
      for (size_t j = 0; j < 2; ++j) {
        bool kept = (mask >> (2 * n + j)) & 1;
        probability *= kept ? 1 - p : p;
        said += kept ? w[j] * x[n][j] / (1 - p) : 0;
      }
      loss += (y[n] - said) * (y[n] - said);
    }
    expectation += probability * loss;
  }
  for (size_t n = 0; n < 3; ++n) plain += std::pow(y[n] - w[0] * x[n][0] - w[1] * x[n][1], 2);
  double ridge = allora::dropout_penalty(tensor({{1.0, 2.0}, {-1.0, 0.5}, {0.0, 1.0}}, f64), tensor({0.4, -0.3}, f64), p).item();
  CHECK(plain == Approx(7.0325).epsilon(1e-7));
  CHECK(ridge == Approx(0.264167).epsilon(2e-6));
  CHECK(expectation == Approx(7.296667).epsilon(1e-7));
  CHECK(expectation == Approx(plain + ridge).epsilon(1e-12));
  CHECK(allora::dropout_penalty(ones({3, 2}, f64), ones({2}, f64), 0).item() == 0);
}

TEST_CASE("allora: a factor falls with the norm, rises with eta, freezes as eta goes to 0 and is 1 at a norm of 1 - 1/eta^2") {
  auto one = [](double norm, double eta, allora::Rule rule = allora::Rule::norm) {
    return allora::row_factor(tensor({{norm, 0.0}}, f64), eta, rule).item();
  };
  for (allora::Rule rule : {allora::Rule::norm, allora::Rule::square}) {
    for (double eta : {0.5, 2.0, 4.0}) {
      CHECK(one(0, eta, rule) == Approx(eta).epsilon(1e-14));
      for (double norm : {0.0, 0.1, 1.0, 10.0}) {
        CHECK(one(norm, eta, rule) > one(norm + 0.1, eta, rule));
        CHECK(one(norm, eta, rule) < one(norm, 1.1 * eta, rule));
      }
    }
    CHECK(one(0.7, 1e-6, rule) == Approx(1e-6).epsilon(1e-9));
  }
  for (double eta : {1.0, 2.0, 4.0, 8.0}) CHECK(one(1 - 1 / (eta * eta), eta) == Approx(1).epsilon(1e-14));
  CHECK(one(1e8, 4) == Approx(1e-4).epsilon(1e-8));  // ‖·‖^(−1/2)
}

TEST_CASE("allora: with SGD a step at 0 is LoRA's with a rate eta times as large, whichever is multiplied") {
  manual_seed(1);
  Tensor zero = zeros({3, 2}, f64), gradient = randn({3, 2}, {.dtype = f64});
  Tensor plain = parameter(zero, gradient);
  optim::SGD larger({plain}, {.lr = 0.4});
  larger.step();
  for (allora::Placement placement : {allora::Placement::step, allora::Placement::gradient}) {
    Tensor up = parameter(zero, gradient), down = parameter(ones({2, 5}, f64), ones({2, 5}, f64));
    optim::SGD sgd({up, down}, {.lr = 0.1});
    allora::adapt_steps(sgd, {.down = {down}, .up = {up}}, {.eta = 4, .placement = placement});
    sgd.step();
    CHECK(furthest(up.detach(), plain.detach()) < 1e-15);
    CHECK(furthest(down.detach(), full({2, 5}, 0.9, f64)) < 1e-15);
  }
}

TEST_CASE("allora: a step uses the factor of the values before it, and both matrices where both are asked for") {
  Tensor gradient = tensor({{1.0, -2.0}, {0.5, 0.25}, {-1.0, 1.0}}, f64), down_value = tensor({{3.0, 4.0, 0.0}, {0.0, 0.0, 1.0}}, f64);
  Tensor up = parameter(worked_up(), gradient), down = parameter(down_value, ones({2, 3}, f64));
  optim::SGD sgd({up, down}, {.lr = 0.1});
  allora::adapt_steps(sgd, {.down = {down}, .up = {up}}, {.eta = 4, .both = true});
  sgd.step();
  Tensor scaled = tensor({{4.0, -8.0}, {1.490712, 0.745356}, {-0.970143, 0.970143}}, f64);
  CHECK(furthest(up.detach(), worked_up() - scaled * 0.1) < 1e-7);
  double f0 = 1 / std::sqrt(5.0625), f1 = 1 / std::sqrt(1.0625);
  Tensor expected = down_value - tensor({{f0, f0, f0}, {f1, f1, f1}}, f64) * 0.1;
  CHECK(furthest(down.detach(), expected) < 1e-14);
}

TEST_CASE("allora: Adam forgets a factor of the gradient, and a factor of the step is kept exactly") {
  manual_seed(2);
  Tensor start = worked_up();
  std::vector<Tensor> gradients;
  for (int k = 0; k < 6; ++k) gradients.push_back(randn({3, 2}, {.dtype = f64}));
  optim::AdamOptions adam{.lr = 0.01, .eps = 0};
  auto steps = [&](auto&& prepare) {
    Tensor p = clone(start).requires_grad_();
    optim::Adam optimizer({p}, adam);
    prepare(optimizer, p);
    for (const Tensor& g : gradients) {
      p.set_grad(clone(g));
      optimizer.step();
    }
    return clone(p.detach());
  };
  Tensor plain = steps([](optim::Adam&, const Tensor&) {});
  // A power of two, the same at every step, rescales both moments without rounding.
  Tensor constant = steps(
      [](optim::Adam& o, const Tensor&) { o.add_transform([](const std::vector<Tensor>&, std::vector<Tensor>& g) { g[0] = g[0] * 4; }); });
  CHECK(same_bits(plain, constant));
  // At 0 the factor of every row is 4.
  Tensor first = parameter(zeros({3, 2}, f64), gradients[0]), scaled = parameter(zeros({3, 2}, f64), gradients[0]);
  optim::Adam a({first}, adam), b({scaled}, adam);
  allora::adapt_steps(b, {.up = {scaled}}, {.eta = 4, .placement = allora::Placement::gradient});
  a.step();
  b.step();
  CHECK(same_bits(first, scaled));
  // Of the step: f_i times plain Adam's.
  Tensor moved = parameter(start, gradients[0]), adapted = parameter(start, gradients[0]);
  optim::Adam c({moved}, adam), d({adapted}, adam);
  allora::adapt_steps(d, {.up = {adapted}}, {.eta = 4});
  c.step();
  d.step();
  Tensor expected = unsqueeze(tensor({4.0, 2.981424, 0.970143}, f64), 1) * (moved.detach() - start);
  CHECK(furthest(adapted.detach() - start, expected) < 1e-8);
}

TEST_CASE("allora: weight decay is not multiplied by the factor, and a gradient is clipped before it is scaled") {
  Tensor gradient = tensor({{1.0, -2.0}, {0.5, 0.25}, {-1.0, 1.0}}, f64);
  optim::AdamWOptions options{.lr = 0.01, .weight_decay = 0.5};
  Tensor plain = parameter(worked_up(), gradient), adapted = parameter(worked_up(), gradient);
  optim::AdamW a({plain}, options), b({adapted}, options);
  allora::adapt_steps(b, {.up = {adapted}}, {.eta = 4, .weight_decay = 0.5});
  a.step();
  b.step();
  Tensor decayed = worked_up() * (1 - 0.01 * 0.5);
  Tensor expected = decayed + unsqueeze(allora::row_factor(worked_up(), 4), 1) * (plain.detach() - decayed);
  CHECK(furthest(adapted.detach(), expected) < 1e-15);

  Tensor up = parameter(zeros({3, 2}, f64), gradient);
  optim::SGD sgd({up}, {.lr = 1});
  allora::adapt_steps(sgd, {.up = {up}}, {.eta = 4, .placement = allora::Placement::gradient});
  optim::clip_grad_norm({up}, 0.5);
  sgd.step();
  CHECK(std::sqrt(sum(square(up.detach())).item()) == Approx(4 * 0.5).epsilon(1e-6));
}

TEST_CASE("allora: factors by sample scale what each sample adds to up's gradient and leave down's and the input's") {
  manual_seed(3);
  Tensor x = randn({4, 5}, {.dtype = f64}).requires_grad_(), weight = randn({4, 3}, {.dtype = f64});
  Tensor down = randn({2, 5}, {.dtype = f64}).requires_grad_(), up = randn({3, 2}, {.dtype = f64}).requires_grad_();
  Tensor plain = linear(linear(x, down), up), adapted = allora::per_sample_product(x, down, up, 4);
  CHECK(same_bits(plain.detach(), adapted.detach()));
  std::vector<Tensor> g = grad({sum(plain * weight)}, {x, down, up}), h = grad({sum(adapted * weight)}, {x, down, up});
  CHECK(furthest(g[0], h[0]) < 1e-13);
  CHECK(furthest(g[1], h[1]) < 1e-13);
  Tensor expected = zeros({3, 2}, f64);
  for (int64_t n = 0; n < 4; ++n) {
    Tensor row = slice(x.detach(), 0, n, n + 1), hidden = linear(row, down.detach()), out = linear(hidden, up.detach());
    double norm = std::sqrt(sum(square(out)).item());
    expected = expected + matmul(mT(slice(weight, 0, n, n + 1)), hidden) * (1 / std::sqrt(norm + 0.0625));
  }
  CHECK(furthest(h[2], expected) < 1e-13);
}

namespace {

struct Tuning {
  mlp::Mlp pretrained{mlp::MlpConfig{.inputs = 6, .hidden = {12, 12}, .outputs = 4}};
  Tensor x = randn({16, 6}), label = randint(0, 4, {16});
};

mlp::Mlp with_adapters(const mlp::Mlp& pretrained) {
  mlp::Mlp net = pretrained;
  manual_seed(9);
  nn::add_adapter(net, "task", {.rank = 3});
  nn::train_adapters_only(net);
  return net;
}

}  // namespace

TEST_CASE("allora: the gradients of down are LoRA's, exactly 0 at the start, and training differs from LoRA's in the steps of up alone") {
  manual_seed(4);
  Tuning t;
  mlp::Mlp lora = with_adapters(t.pretrained), adaptive = with_adapters(t.pretrained);
  CHECK(same_bits(lora(t.x).detach(), t.pretrained(t.x).detach()));  // up = 0: the model as it was
  AdapterFactors l = adapter_factors(lora, "task"), a = adapter_factors(adaptive, "task");
  REQUIRE(l.up.size() == 3);
  CHECK(l.other.empty());
  optim::SGD plain(l.all(), {.lr = 0.05}), scaled(a.all(), {.lr = 0.05});
  allora::adapt_steps(scaled, a, {.eta = 4});
  cross_entropy(lora(t.x), t.label).backward();
  cross_entropy(adaptive(t.x), t.label).backward();
  for (size_t i = 0; i < l.down.size(); ++i) {
    CHECK(same_bits(l.down[i].grad(), a.down[i].grad()));
    CHECK(same_bits(a.down[i].grad(), zeros_like(a.down[i].detach())));
  }
  plain.step();
  scaled.step();
  for (size_t i = 0; i < l.up.size(); ++i) {
    CHECK(same_bits(l.down[i].detach(), a.down[i].detach()));
    CHECK(furthest(a.up[i].detach(), l.up[i].detach() * 4) < 1e-6);
  }
}

TEST_CASE("allora: merged adapters compute the same") {
  manual_seed(5);
  Tuning t;
  mlp::Mlp net = with_adapters(t.pretrained);
  AdapterFactors adapters = adapter_factors(net);
  optim::AdamW adamw(adapters.all(), {.lr = 1e-2, .weight_decay = 0});
  allora::adapt_steps(adamw, adapters);
  for (int step = 0; step < 5; ++step) {
    adamw.zero_grad();
    cross_entropy(net(t.x), t.label).backward();
    adamw.step();
  }
  Tensor beside = net(t.x).detach();
  nn::merge_adapters(net);
  CHECK(furthest(net(t.x).detach(), beside) < 1e-6 * std::max(1.0, max(abs(beside)).item()));
  CHECK(furthest(net(t.x).detach(), t.pretrained(t.x).detach()) > 1e-2);
}

TEST_CASE("allora: bad input is told by its values") {
  Tensor up = worked_up();
  CHECK_THROWS_WITH_AS(allora::row_factor(up, 0), "allora: eta must be positive and finite, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(allora::row_factor(up, -2), "allora: eta must be positive and finite, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(allora::matrix_factor(up, INFINITY), "allora: eta must be positive and finite, it is inf", ValueError);
  CHECK_THROWS_WITH_AS(allora::row_factor(flatten(up), 4), "allora: takes a matrix [outputs, rank], got [6]", ShapeError);
  CHECK_THROWS_WITH_AS(allora::scale_steps({flatten(up)}, {}), "allora: takes a matrix [outputs, rank], got [6]", ShapeError);
  CHECK_THROWS_WITH_AS(allora::scale_gradients({up}, {.eta = NAN}), "allora: eta must be positive and finite, it is nan", ValueError);
  CHECK_THROWS_WITH_AS(allora::scale_steps({up}, {.weight_decay = -1}), "allora: weight_decay must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(allora::dropout_penalty(up, ones({2}, f64), 1), "dropout_penalty: p must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(allora::dropout_penalty(up, ones({3}, f64), 0.5), "dropout_penalty: takes x [N, D] and w [D], got [3, 2] and [3]",
                       ShapeError);
  mlp::Mlp net(mlp::MlpConfig{.inputs = 6, .hidden = {12}, .outputs = 4});
  CHECK_THROWS_WITH_AS(nn::add_adapter(net, "task", {.rank = 5}),
                       "add_adapter: \"layers.1\" [4, 12] has no rank of 5; choose 4 or less, or other layers", ValueError);
  CHECK_THROWS_AS(nn::add_adapter(net, "task", {.rank = 2, .dropout = 1.0}), ValueError);
  mlp::Mlp bare(mlp::MlpConfig{.inputs = 6, .hidden = {12}, .outputs = 4});
  CHECK_THROWS_WITH_AS(adapter_factors(bare), "adapters: the model has none", ValueError);
  CHECK_THROWS_WITH_AS(adapter_factors(bare, "task"), "adapters: no layer has an adapter \"task\"", ValueError);
}

TEST_CASE("allora: the experiment runs: everything is measured, and fine-tuning learns the new classes") {
  Results results = run_experiment({"finetuning", "allora", &allora::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == allora::experiment().variants.size());
  for (const char* variant : {"LoRA", "LoRA+", "DoRA", "ALLoRA"}) {
    CHECK_MESSAGE(measured(results, variant, "accuracy, 50 steps (%)") > 40, variant);  // 20 by chance
    CHECK_MESSAGE(measured(results, variant, "steps to half of B's size") >= 1, variant);
  }
}
