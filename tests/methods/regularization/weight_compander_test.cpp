// Weight Compander: worked numbers, limits, companding and baking whole models, learned constants, mistakes, the experiment.
#include "methods/regularization/weight_compander/weight_compander.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "methods/common/small_cnn.h"
#include "methods/regularization/weight_compander/weight_statistics.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
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
using namespace plumb::methods::weight_compander;

namespace plumb::methods::weight_compander {
Experiment experiment();
}

namespace {

constexpr double kPi = std::numbers::pi;

mlp::Mlp small_mlp() {
  manual_seed(5);
  return mlp::Mlp({.inputs = 6, .hidden = {8}, .outputs = 3});
}

}  // namespace

TEST_CASE("compand: worked values and derivatives") {
  Tensor v = tensor({-2.0, -0.1, 0.0, 0.05, 0.3, 5.0}, f64);
  auto derivatives = [&](auto of) {  // with respect to the i-th of v, a, b, one element of v at a time
    std::vector<double> out;
    for (int64_t i = 0; i < 6; ++i) {
      std::vector<Tensor> x{clone(narrow(v, 0, i, 1)).requires_grad_(), tensor({0.5}, f64).requires_grad_(),
                            tensor({0.25}, f64).requires_grad_()};
      compand(x[0], x[1], x[2]).backward();
      out.push_back(x[of].grad().item());
    }
    return from_vector(out);
  };
  check_close(compand(v, 0.5, 0.25) + 2, to_vector(tensor({-.723221, -.190253, 0.0, .0986978, .438029, .760419}, f64) + 2), 3e-7);
  check_close(derivatives(size_t{0}), {.0307692, 1.72414, 2, 1.92308, .819672, .00498753}, 3e-6);
  check_close(derivatives(size_t{1}) + 3, to_vector(tensor({-1.44644, -.380506, 0.0, .197396, .876058, 1.52083}, f64) + 3), 2e-6);
  check_close(derivatives(size_t{2}) + 3, to_vector(tensor({.246154, .689655, 0.0, -.384615, -.983607, -.0997506}, f64) + 3), 2e-6);
  CHECK(0.5 * kPi / 2 == doctest::Approx(.785398).epsilon(1e-6));
  CHECK(fixed_point(0.5, 0.25) == doctest::Approx(.582781).epsilon(1e-6));
  CHECK(fixed_point(0.5, 0.5) == 0);
  CHECK(compand_inverse(tensor({0.3}, f64), 0.5, 0.25).item() == doctest::Approx(.171034).epsilon(1e-5));
  double star = fixed_point(0.5, 0.25);
  CHECK(compand(tensor({star / 2}, f64), 0.5, 0.25).item() > star / 2);
  CHECK(compand(tensor({star * 2}, f64), 0.5, 0.25).item() < star * 2);
}

TEST_CASE("compand: a worked layer") {
  Tensor x = tensor({{1.0, -2.0}}, f64), v = tensor({{0.1, -0.3}, {0.5, 0.2}}, f64).requires_grad_();
  Tensor a = full({}, 0.5, f64).requires_grad_(), b = full({}, 0.25, f64).requires_grad_();
  Tensor w = compand(v, a, b), y = matmul(x, transpose(w, 0, 1));
  check_close(w + 1, {1.190253, 1 - .438029, 1.553574, 1.337370}, 1e-6);
  check_close(y + 2, {3.06631, 2 - .121167}, 2e-6);
  sum(y).backward();
  check_close(v.grad() + 4, {5.72414, 4 - 1.63934, 4.4, 4 - 2.43902}, 2e-6);
  CHECK(a.grad().item() == doctest::Approx(1.89029).epsilon(3e-6));
  CHECK(b.grad().item() == doctest::Approx(-1.50565).epsilon(3e-6));
}

TEST_CASE("compand: odd, monotone, bounded, and the inverse of its inverse") {
  Generator g(2);
  Tensor v = uniform({200}, -2, 2, {.dtype = f64, .generator = &g});
  for (Bounded f : {Bounded::arctan, Bounded::tanh}) {
    CHECK(to_vector(compand(-v, 0.5, 0.25, f)) == to_vector(-compand(v, 0.5, 0.25, f)));
    double before = -10;
    for (double w : to_vector(compand(tensor({-1e30, -5.0, -1.0, -0.1, 0.0, 0.2, 3.0, 1e30}, f64), 0.5, 0.25, f))) {
      CHECK((f == Bounded::arctan ? w > before : w >= before));  // tanh(-20) is -1 in floating point
      CHECK(std::abs(w) <= (f == Bounded::arctan ? 0.5 * kPi / 2 : 0.5));
      before = w;
    }
  }
  Tensor near = uniform({200}, -7.9 * 0.25, 7.9 * 0.25, {.dtype = f64, .generator = &g});
  Tensor back = compand_inverse(compand(near, 0.5, 0.25), 0.5, 0.25, 1.5);
  auto wanted = to_vector(near), got = to_vector(back);
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= 1e-9 * std::abs(wanted[i]));
  Tensor mild = uniform({50}, -0.3, 0.3, {.dtype = f64, .generator = &g});
  check_close(compand_inverse(compand(mild, 0.5, 0.25, Bounded::tanh), 0.5, 0.25, 1.5, Bounded::tanh), to_vector(mild), 1e-9);
  // With b so large that nothing bends it is the identity.
  Tensor one = uniform({100}, -1, 1, {.dtype = f64, .generator = &g});
  CHECK(max(abs(compand(one, 1e6, 1e6) - one)).item() < 1e-9);
  // Clipped at the pole: finite, and at the bound asked for.
  CHECK(compand(compand_inverse(tensor({9.0}, f64), 1, 1), 1, 1).item() == doctest::Approx(1.45).epsilon(1e-12));
}

TEST_CASE("compand: gradients of v, a and b are those of central differences") {
  Generator g(3);
  Tensor v = randn({3, 4}, {.dtype = f64, .generator = &g}), a = full({}, 0.7, f64), b = full({}, 0.4, f64);
  for (Bounded f : {Bounded::arctan, Bounded::tanh}) {
    auto of = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {compand(x[0], x[1], x[2], f)}; };
    GradcheckResult r = gradcheck(of, {v, a, b}, {.atol = 1e-6});
    CHECK_MESSAGE(r.passed, r.message);
    CHECK(gradgradcheck(of, {v, a, b}).passed);
  }
}

TEST_CASE("weight compander: a matched start keeps the model, up to weights beyond the clip; a direct one scales it") {
  mlp::Mlp net = small_mlp();
  Generator g(4);
  Tensor x = randn({5, 6}, {.generator = &g});
  Companded<mlp::Mlp> wide(net, {.a = 8, .b = 4});  // no weight reaches 8 · 1.45 standard deviations
  check_close(wide(x), to_vector(net(x)), 1e-4);
  CHECK(wide.num_parameters() == net.num_parameters());  // v in the place of w, and fixed constants are no parameters
  CHECK(wide.companding.size() == 2);
  CHECK(wide.companding[0].a() == doctest::Approx(8 * std::sqrt(2.0 / 6)).epsilon(1e-6));
  CHECK(wide.companding[1].b() == doctest::Approx(4 * std::sqrt(2.0 / 8)).epsilon(1e-6));
  Companded<mlp::Mlp> direct(net, {.a = 2, .b = 1, .start = Start::direct});
  CHECK(to_vector(direct.companding[0].v) == to_vector(net.named_parameters()[0].tensor));
  Companded<mlp::Mlp> exact(net, {.a = 1e4, .b = 1e4});  // b large: the plain layer
  check_close(exact(x), to_vector(net(x)), 1e-3);
}

TEST_CASE("weight compander: weights stay within the bound, and decay moves v but no bias") {
  mlp::Mlp net = small_mlp();
  Companded<mlp::Mlp> model(net, {.a = 1, .b = 0.7});
  std::vector<Tensor> decayed, rest;
  for (const Tensor& p : model.parameters()) (p.rank() >= 2 ? decayed : rest).push_back(p);
  CHECK(decayed.size() == 2);  // v of both layers
  optim::SGD sgd({{decayed, {.lr = 1, .weight_decay = 0.5}}, {rest, {.lr = 1}}});
  auto v = to_vector(model.companding[0].v), bias = to_vector(rest[0]);
  for (const Tensor& p : model.parameters()) p.set_grad(zeros(p.shape()));
  sgd.step();
  check_close(model.companding[0].v, to_vector(from_vector(v) * 0.5), 1e-6);
  CHECK(to_vector(rest[0]) == bias);
  {
    NoGrad off;
    Tensor far = model.companding[0].v;
    copy_data(far * 1e6, far);
  }
  WeightStats stats = weight_statistics(model.baked());
  CHECK(stats.largest <= kPi / 2 + 1e-5);
  CHECK(stats.largest > 1.5);
}

TEST_CASE("weight compander: trained through every layer, and baked without a bit's difference") {
  mlp::Mlp net = small_mlp();
  Companded<mlp::Mlp> model(net, {.a = 1, .b = 1, .learn = true});
  Generator g(6);
  Tensor x = randn({16, 6}, {.generator = &g}), y = randint(0, 3, {16}, {.dtype = i64, .generator = &g});
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    sgd.zero_grad();
    Tensor loss = cross_entropy(model(x), y);
    loss.backward();
    for (const Tensor& p : model.parameters()) CHECK(p.grad().defined());
    sgd.step();
    (step == 0 ? first : last) = loss.item();
  }
  CHECK(last < 0.5 * first);
  model.eval();
  NoGrad off;
  auto wanted = to_vector(model(x));
  mlp::Mlp plain = model.baked();
  CHECK(to_vector(plain(x)) == wanted);
  CHECK(plain.num_parameters() == net.num_parameters());
  CHECK(plain.state().contains("layers.0.weight"));
  CHECK(plain.named_parameters().size() == net.named_parameters().size());
  for (const auto& p : plain.named_parameters()) CHECK((p.tensor.requires_grad() && p.tensor.is_leaf()));
  CHECK(to_vector(model(x)) == wanted);  // the companded one is as it was
  mlp::Mlp loaded = small_mlp();
  loaded.load_state(plain.state());
  CHECK(to_vector(loaded(x)) == wanted);
}

TEST_CASE("weight compander: copies are independent, states load, convolutions count their fan-in") {
  manual_seed(7);
  SmallCnn cnn;
  Companded<SmallCnn> model(cnn, {.a = 2, .b = 1, .except = {"head"}});
  CHECK(model.companding.size() == 3);  // two convolutions and fc
  CHECK(he_scale({16, 4, 3, 3}) == doctest::Approx(std::sqrt(2.0 / 36)));
  CHECK(model.companding[1].a() == doctest::Approx(2 * std::sqrt(2.0 / (9 * 16))).epsilon(1e-6));
  CHECK(model.state().contains("model.head.weight"));
  CHECK(model.state().contains("companding.conv1.v"));
  CHECK_FALSE(model.state().contains("model.conv1.weight"));
  Generator g(8);
  Tensor x = rand({4, 1, 8, 8}, {.generator = &g});
  model.eval();
  NoGrad off;
  auto before = to_vector(model(x));
  Companded<SmallCnn> copy = model;
  Tensor v = copy.companding[0].v;
  copy_data(2 * v, v);
  CHECK(to_vector(copy(x)) != before);
  CHECK(to_vector(model(x)) == before);
  copy.load_state(model.state());
  CHECK(to_vector(copy(x)) == before);
}

TEST_CASE("weight compander: learned constants stay within their range, or not") {
  mlp::Mlp net = small_mlp();
  Generator g(9);
  Tensor x = randn({4, 6}, {.generator = &g});
  Companded<mlp::Mlp> held(net, {.a = 1, .b = 1, .learn = true}), loose(net, {.a = 1, .b = 1, .learn = true, .range = INFINITY});
  CHECK(held.companding.learned().size() == 4);
  CHECK(Companded<mlp::Mlp>(net, {}).companding.learned().empty());
  double start = held.companding[0].a();
  for (auto* model : {&held, &loose}) {
    NoGrad off;
    for (Tensor constant : model->companding.learned()) copy_data(constant + 5.0, constant);
    (*model)(x);
  }
  CHECK(held.companding[0].a() == doctest::Approx(4 * start).epsilon(1e-5));
  CHECK(held.companding[0].b() == doctest::Approx(4 * start).epsilon(1e-5));
  CHECK(loose.companding[0].a() == doctest::Approx(std::exp(5.0) * start).epsilon(1e-5));
  // The gradient of log a is a Σ dL/dw · arctan(v/b), that of log b is −Σ dL/dw a v b / (b² + v²).
  nn::Linear linear(2, 2, {.bias = false, .dtype = f64});
  Companded<nn::Linear> layer(linear, {.a = 0.5, .b = 0.25, .relative = false, .learn = true});
  copy_data(tensor({{0.1, -0.3}, {0.5, 0.2}}, f64), layer.companding[0].v);
  sum(layer(tensor({{1.0, -2.0}}, f64))).backward();
  CHECK(layer.companding[0].log_a.grad().item() == doctest::Approx(0.5 * 1.89029).epsilon(3e-6));
  CHECK(layer.companding[0].log_b.grad().item() == doctest::Approx(0.25 * -1.50565).epsilon(3e-6));
}

TEST_CASE("weight compander: mistakes are named") {
  mlp::Mlp net = small_mlp();
  CHECK_THROWS_WITH_AS(compand(zeros({2}), 0, 1), "compand: a must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(compand(zeros({2}), 1, -1), "compand: b must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(compand_inverse(zeros({2}), 1, 1, 1.6), "compand_inverse: clip must lie in (0, π/2), it is 1.6", ValueError);
  using Model = Companded<mlp::Mlp>;
  CHECK_THROWS_WITH_AS(Model(net, {.a = 0}), "weight_compander: a must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(Model(net, {.b = -2}), "weight_compander: b must be positive, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(Model(net, {.range = 0.5}), "weight_compander: range must be at least 1, it is 0.5", ValueError);
  CHECK_THROWS_WITH_AS(Model(net, {.except = {"tail"}}), "weight_compander: no linear or convolution layer is called \"tail\"", ValueError);
  CHECK_THROWS_WITH_AS(Model(net, {.except = {"0", "1"}}), "weight_compander: the model has no linear or convolution layer to compand",
                       ValueError);
  Model once(net, {.a = 1, .b = 1});
  CHECK_THROWS_WITH_AS(Companded<Model>(once, {}),
                       "weight_compander: the weight of \"model.layers.0\" is computed from others already: companded twice?", ValueError);
  CHECK_THROWS_AS(once.load_state(once.baked().state()), ValueError);  // v is not w
  CHECK_THROWS_AS(clip_weights(once, 1), ValueError);
  CHECK_THROWS_WITH_AS(weight_statistics(once.companding), "weight_statistics: the model has no linear or convolution layer", ValueError);
  // Converted it is the same model again; a weight that the function cannot reach has no v.
  Generator g(10);
  Tensor x = randn({3, 6}, {.generator = &g});
  mlp::Mlp baked = once.baked();
  Model other(small_mlp(), {.a = 1, .b = 1});
  other.load_plain(baked.state());
  NoGrad off;
  check_close(other(x) + 10, to_vector(baked(x) + 10), 1e-5);
  Model tight(net, {.a = 0.1, .b = 1});
  std::string message;
  try {
    tight.load_plain(net.state());
  } catch (const ValueError& e) { message = e.what(); }
  CHECK(message.starts_with("weight_compander: \"layers.0.weight\" has a weight of "));
  CHECK(message.find("beyond the bound 0.09069") != std::string::npos);  // 0.1 √(2/6) π/2
  StateDict less = baked.state();
  less.erase("layers.1.weight");
  CHECK_THROWS_WITH_AS(other.load_plain(less), "weight_compander: the state lacks \"layers.1.weight\"", ValueError);
}

TEST_CASE("weight statistics: shares, evenness, limits and pruning, worked out by hand") {
  nn::Linear layer(4, 2, {.bias = false, .dtype = f64});
  NoGrad off;
  copy_data(tensor({{1.0, -1.0, 1.0, 1.0}, {3.0, 0.0, 0.01, 0.0}}, f64), layer.weight);
  WeightStats s = weight_statistics(layer);
  double scale = std::sqrt(0.5);
  CHECK(s.largest == doctest::Approx(3 / scale));
  CHECK(s.near_zero == doctest::Approx(3.0 / 8));  // below a tenth of 1.12: 0, 0.01, 0
  double p = 3 / 3.01, q = 0.01 / 3.01, second = -(p * std::log(p) + q * std::log(q)) / std::log(4.0);
  CHECK(s.democracy == doctest::Approx((1 + second) / 2));
  double total = 0;
  for (double share : s.histogram) total += share;
  CHECK(total == doctest::Approx(1));
  CHECK(s.histogram[kWeightBins - 1] == doctest::Approx(1.0 / 8));  // 3 / s = 4.2
  nn::Linear pruned = layer;
  zero_largest(pruned, 0.25);  // two of eight: 3, and the first of the ones
  check_close(pruned.weight + 1, {1, 0, 2, 2, 1, 1, 1.01, 1}, 1e-12);
  clip_weights(layer, 1);
  check_close(layer.weight + 1, {1 + scale, 1 - scale, 1 + scale, 1 + scale, 1 + scale, 1, 1.01, 1}, 1e-12);
  CHECK_THROWS_WITH_AS(clip_weights(layer, 0), "clip_weights: the limit must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(zero_largest(layer, 1.5), "zero_largest: the share must lie in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("weight compander: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"regularization", "weight_compander", &weight_compander::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 14);
  const char* largest = "largest |w|/s, 20 % noise";
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "error, clean (%)") < 85);  // 15 epochs of 60 digits: better than chance
    double democracy = measured(results, cell.variant, "democracy, 20 % noise");
    CHECK((democracy > 0.5 && democracy < 1));
    if (cell.variant.starts_with("WC (1") && cell.variant.find("learned") == std::string::npos)
      CHECK(measured(results, cell.variant, largest) <= kPi / 2 + 1e-4);
  }
  CHECK(measured(results, "hard limit 1", largest) <= 1 + 1e-5);
  CHECK(measured(results, "tanh", largest) <= kPi / 2 + 1e-4);
  CHECK(measured(results, "plain", largest) > 2);
}
