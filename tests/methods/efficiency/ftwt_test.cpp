// FTWT: losses on worked numbers, what reaches what, the cooldown, the estimate, and the experiment.
#include "methods/efficiency/ftwt/ftwt.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/efficiency/ftwt/masked_cnn.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using plumb::sparsity::Masking;
using plumb::sparsity::MaskPredictor;
using plumb::sparsity::PooledInput;

namespace plumb::methods::ftwt {
Experiment experiment();
}

namespace {

struct Case {
  Generator generator{3};
  ftwt::MaskedCnn network;
  Tensor x, y;

  explicit Case(bool joint = false) : network((manual_seed(1), ftwt::MaskedCnnConfig{.width = 4, .joint = joint})) {
    x = randn({12, 1, 8, 8}, {.generator = &generator});
    y = randint(0, 10, {12}, {.dtype = i64, .generator = &generator});
  }
  ftwt::Network call() {
    return [this](const Tensor& images, const sparsity::MaskedConv::Call& c) { return network(images, c); };
  }
};

bool no_gradient(const Tensor& t) { return !t.grad().defined() || sum(abs(t.grad())).item() == 0; }

}  // namespace

TEST_CASE("ftwt: the mask loss and the masks have their worked values") {
  Tensor a = tensor({{2.0, -1.0, 0.5, -3.0, 0.2}, {-1.0, 1.0, 0.0, 0.5, -0.5}}, f64);
  Tensor g = tensor({{1.0, 0.0, 1.0, 0.0, 0.0}, {0.0, 1.0, 1.0, 1.0, 0.0}}, f64);
  CHECK(ftwt::mask_loss(a, g).item() == doctest::Approx(2.01441).epsilon(3e-6));
  Tensor first = narrow(a, 0, 0, 1);
  CHECK(ftwt::mask_loss(first, narrow(g, 0, 0, 1)).item() == doctest::Approx(1.76099).epsilon(3e-6));
  check_close(binary_cross_entropy_with_logits(first, narrow(g, 0, 0, 1), {.reduction = Reduction::none}),
              {.126928, .313262, .474077, .0485874, .798139}, 3e-6);
  Tensor mask = to(a > 0, f64);  // σ(0) = ½ is not active
  CHECK(to_vector(mask) == std::vector<double>{1, 0, 1, 0, 1, 0, 1, 0, 1, 0});
  CHECK(sparsity::mask_agreement(mask, g) == doctest::Approx(0.8));
  std::vector<sparsity::MaskTrace> traces{{.logits = a, .target = g}, {}, {.logits = first, .target = narrow(g, 0, 0, 1)}};
  CHECK(ftwt::mask_loss(traces).item() == doctest::Approx((2.01441 + 1.76099) / 2).epsilon(3e-6));
  CHECK_THROWS_WITH_AS(ftwt::mask_loss(a, first), "mask_loss: logits [2, 5] and targets [1, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(ftwt::mask_loss(std::vector<sparsity::MaskTrace>(2)), "ftwt: no layer has both a prediction and a target",
                       ValueError);
}

TEST_CASE("ftwt: the published predictor has its worked values") {
  MaskPredictor predictor(3, 2, {.pooled = PooledInput::softmax});
  {
    NoGrad off;
    Tensor w = predictor.linear.weight, b = predictor.linear.bias;
    copy_data(tensor({{1.0, -1.0, 0.5}, {0.0, 2.0, -1.0}}), w);
    copy_data(tensor({0.1, -0.3}), b);
  }
  Tensor x = tensor({{{{0.5, 1.5}}, {{2.0, 2.0}}, {{-1.0, 1.0}}}});  // means 1, 2, 0
  check_close(predictor(x), {-0.275497, 0.940451}, 3e-6);
  CHECK_THROWS_WITH_AS(predictor(ones({1, 4, 2, 2})), "mask predictor: takes [N, 3, H, W], got [1, 4, 2, 2]", ShapeError);
  CHECK_THROWS_AS(MaskPredictor(3, 2, {.embedding = -1}), ValueError);
  CHECK(MaskPredictor(3, 2, {.embedding = 12}).linear.weight.shape() == Shape{2, 12});  // 2 × 2 parts
}

TEST_CASE("ftwt: with one input channel the published predictor cannot see the sample") {
  MaskPredictor predictor(1, 4, {.pooled = PooledInput::softmax});
  Generator g(1);
  auto a = to_vector(predictor(randn({1, 1, 4, 4}, {.generator = &g}))), b = to_vector(predictor(randn({1, 1, 4, 4}, {.generator = &g})));
  CHECK(a == b);
}

TEST_CASE("ftwt: decoupled, the mask loss reaches predictors alone; joint, the backbone too; the task never reaches predictors") {
  for (bool joint : {false, true}) {
    CAPTURE(joint);
    Case c(joint);
    Tensor x = clone(c.x).requires_grad_();
    ftwt::Output out = c.network(x, {.r = 0.8, .targets = true});
    ftwt::mask_loss(out.traces).backward();
    CHECK_FALSE(no_gradient(c.network.conv3.predictor->linear.weight));
    CHECK(no_gradient(x) == !joint);
    CHECK(no_gradient(c.network.conv1.conv.weight) == !joint);
    CHECK(no_gradient(c.network.conv3.conv.weight));  // its own output's mask is a target, without gradient
    c.network.zero_grad();
    cross_entropy(c.network(x, {.r = 0.8}).logits, c.y).backward();
    for (const Tensor& p : ftwt::split_parameters(c.network).predictors) CHECK(no_gradient(p));
    CHECK_FALSE(no_gradient(c.network.conv1.conv.weight));
  }
}

TEST_CASE("ftwt: parameters are split into those of predictors and the others") {
  Case c;
  auto split = ftwt::split_parameters(c.network);
  CHECK(split.predictors.size() == 4);  // weight and bias of two
  CHECK(split.predictors.size() + split.backbone.size() == c.network.parameters().size());
}

TEST_CASE("ftwt: predictors learn until the cooldown and are left alone after it, momentum and all") {
  Case c;
  ftwt::Trainer trainer(ftwt::split_parameters(c.network), {.r = 0.8, .steps = 8, .lr = 0.05});
  auto predictor = [&] { return to_vector(c.network.conv2.predictor->linear.weight); };
  auto backbone = [&] { return to_vector(c.network.conv2.conv.weight); };
  for (int step = 0; step < 8; ++step) {
    CAPTURE(step);
    auto p = predictor(), b = backbone();
    ftwt::Trainer::Losses losses = trainer.step(c.call(), c.x, c.y);
    CHECK((predictor() != p) == (step < 4));
    CHECK((losses.mask > 0) == (step < 4));
    CHECK(backbone() != b);
  }
  CHECK(trainer.cooled());
  CHECK_THROWS_WITH_AS(trainer.step(c.call(), c.x, c.y), "ftwt: all 8 steps are done", ValueError);
}

TEST_CASE("ftwt: a mask weight of 0 never trains predictors") {
  Case c;
  ftwt::Trainer trainer(ftwt::split_parameters(c.network), {.steps = 4, .mask_weight = 0});
  auto before = to_vector(c.network.conv2.predictor->linear.weight);
  trainer.step(c.call(), c.x, c.y);
  CHECK(to_vector(c.network.conv2.predictor->linear.weight) == before);
}

TEST_CASE("ftwt: the mask loss falls, and opening predictors makes them keep all") {
  Case c;
  auto masks = [&] {
    ftwt::Output out = c.network(c.x, {.r = 0.8, .targets = true});
    return ftwt::mask_loss(out.traces).item();
  };
  double before = masks();
  ftwt::Trainer trainer(ftwt::split_parameters(c.network), {.r = 0.8, .steps = 60, .cooldown = 1, .lr = 1e-4});
  for (int step = 0; step < 60; ++step) trainer.step(c.call(), c.x, c.y);
  CHECK(masks() < 0.7 * before);
  optim::SGD sgd(ftwt::split_parameters(c.network).predictors, {.lr = 1});
  for (int step = 0; step < 60; ++step) {
    sgd.zero_grad();
    ftwt::open_loss(c.network(c.x, {}).traces).backward();
    sgd.step();
  }
  c.network.eval();
  for (const Tensor& mask : ftwt::masks_of(c.network(c.x, {}).traces))
    if (mask.defined()) CHECK(mean(mask).item() > 0.95);
}

TEST_CASE("ftwt: the estimate counts the target masks of the dense network, and grows as r falls") {
  Case c;
  c.network.eval();
  sparsity::DynamicFlops flops = c.network.flops();
  CHECK(flops.dense() == 4 * 64 * 9 + 8 * 16 * 4 * 9 + 16 * 16 * 8 * 9 + 160);
  double last = 1;
  for (double r : {0.3, 0.6, 0.9}) {
    double saved = ftwt::estimate_reduction(c.call(), c.x, r, flops);
    CHECK(saved < last);
    last = saved;
  }
  CHECK(ftwt::estimate_reduction(c.call(), c.x, -1, flops) == doctest::Approx(-(4 * 8 + 8 * 16) / flops.dense()));  // predictors alone
}

TEST_CASE("ftwt: static pruning at a given cost keeps the filters of largest weights") {
  Case c;
  double share = ftwt::share_for_reduction(c.network, 0.4);
  Tensor two = ftwt::l1_filter_mask(c.network.conv2.conv.weight, share), three = ftwt::l1_filter_mask(c.network.conv3.conv.weight, share);
  double saved = c.network.flops(/*predictors=*/false).reduction({Tensor(), reshape(two, {1, -1}), reshape(three, {1, -1})});
  CHECK(saved == doctest::Approx(0.4).epsilon(0.25));
  CHECK(saved <= 0.4);
  Tensor w = tensor({{1.0, -1.0}, {0.5, 0.1}, {-3.0, 0.0}});
  CHECK(to_vector(ftwt::l1_filter_mask(w, 0.6)) == std::vector<double>{1, 0, 1});
  CHECK(to_vector(ftwt::l1_filter_mask(w, 0)) == std::vector<double>{0, 0, 1});
}

TEST_CASE("ftwt: the skipping network is the masked one, image by image") {
  Case c;
  c.network.eval();
  c.network.conv2.set_fixed(ftwt::l1_filter_mask(c.network.conv2.conv.weight, 0.5));
  NoGrad off;
  ftwt::SkippingCnn skipping(c.network);
  for (Masking masking : {Masking::none, Masking::predicted, Masking::fixed, Masking::saliency}) {
    Tensor wanted = c.network(c.x, {.masking = masking, .density = 0.5}).logits;
    for (int64_t i = 0; i < 12; ++i) {
      auto got = to_vector(skipping(slice(c.x, 0, i, i + 1), masking, 0.5)), row = to_vector(select(wanted, 0, i));
      for (size_t k = 0; k < 10; ++k) CHECK(std::abs(got[k] - row[k]) < 1e-5);
    }
  }
}

TEST_CASE("ftwt: options out of range are named") {
  Case c;
  auto make = [&](const ftwt::TrainerOptions& o) { ftwt::Trainer(ftwt::split_parameters(c.network), o); };
  CHECK_THROWS_WITH_AS(make({.r = 1.5}), "ftwt: r must not exceed 1, it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(make({.steps = 0}), "ftwt: steps must be positive, they are 0", ValueError);
  CHECK_THROWS_WITH_AS(make({.cooldown = 2}), "ftwt: the cooldown must lie in [0, 1], it is 2", ValueError);
}

TEST_CASE("ftwt: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"efficiency", "ftwt", &ftwt::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 12);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "multiplications saved (%)") <= 100);
  }
  CHECK(measured(results, "dense", "test accuracy (%)") > 40);  // chance is 10
  CHECK(measured(results, "dense", "multiplications saved (%)") == 0);
  CHECK(measured(results, "oracle", "masks right, layer 3 (%)") == 100);
  CHECK(measured(results, "static L1", "channels that vary, layer 3 (%)") == 0);
  CHECK(measured(results, "FTWT, r 0.7", "estimated before training (%)") >
        measured(results, "FTWT, r 0.9", "estimated before training (%)"));
}
