// BA-LoRA: the penalties on worked numbers, their derivatives, the principal start, and the experiment.
#include "methods/finetuning/ba_lora/ba_lora.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/common/decorrelation.h"
#include "methods/common/singular_values.h"
#include "methods/common/token_losses.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "models/nn/low_rank.h"
#include "models/optim/adam.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

namespace plumb::methods::ba_lora {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;

namespace {

Tensor pretrained_logits() { return tensor({{1.0, 2.0, -1.0}, {0.5, -0.5, 1.0}, {2.0, 0.0, 1.0}, {-1.0, 1.5, 0.5}}, f64); }
Tensor tuned_logits() { return tensor({{1.5, 1.0, -0.5}, {0.0, -1.0, 2.0}, {1.0, 0.5, 1.0}, {-0.5, 2.0, 1.0}}, f64); }

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  auto x = to_vector(a), y = to_vector(b);
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

bool same_bits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && to_vector(a) == to_vector(b); }

Tensor svd_ratio_gradient(const Tensor& logits, int64_t k) {
  Tensor f = logits.detach();
  f.requires_grad_();
  return grad({-svd_ratio(f, k)}, {f})[0];
}

}  // namespace

TEST_CASE("ba_lora: consistency, diversity and spectrum of a classifier's logits have their worked values") {
  Tensor f = tuned_logits(), p = pretrained_logits();
  CHECK(ba_lora::consistency_mse_normalized(f, p).item() == Approx(0.0644486).epsilon(1e-6));
  Tensor c = tensor({{0.833333, -0.0833333, -0.666667}, {-0.0833333, 1.5625, -0.729167}, {-0.666667, -0.729167, 1.0625}}, f64);
  CHECK(largest_difference(batch_covariance(f), c) < 5e-7);
  CHECK(off_diagonal_covariance(f).item() == Approx(0.655382).epsilon(1e-6));
  CHECK(-svd_ratio(f, 1).item() == Approx(-0.375162).epsilon(2e-6));
  CHECK(-svd_ratio(f, 2).item() == Approx(-0.740422).epsilon(2e-6));
}

TEST_CASE("ba_lora: the spectrum's gradient has its worked values and is the slope of the values") {
  Tensor f = tuned_logits();
  CHECK(largest_difference(select(svd_ratio_gradient(f, 1), 0, 0), tensor({0.0145873, -0.0608885, 0.00974086}, f64)) < 1e-7);
  CHECK(largest_difference(select(svd_ratio_gradient(f, 2), 0, 0), tensor({0.0552267, -0.0397606, 0.0137327}, f64)) < 1e-7);
  for (int64_t k : {1, 2}) {
    auto ratio = [k](const std::vector<Tensor>& x) { return std::vector<Tensor>{svd_ratio(x[0], k)}; };
    GradcheckResult tall = gradcheck(ratio, {tuned_logits().requires_grad_()}, {.eps = 2e-6, .atol = 1e-9, .rtol = 0});
    GradcheckResult wide = gradcheck(ratio, {clone(mT(tuned_logits())).requires_grad_()}, {.eps = 2e-6, .atol = 1e-9, .rtol = 0});
    CHECK_MESSAGE(tall.passed, tall.message);
    CHECK_MESSAGE(wide.passed, wide.message);
  }
}

TEST_CASE("ba_lora: the whole losses are the sums of their terms, and their gradients are the slope of their values") {
  Tensor f = tuned_logits(), p = pretrained_logits(), label = tensor({0, 2, 1, 1});
  ba_lora::Penalties penalties{0.5, 0.25, 2, 2};
  double terms = cross_entropy(f, label).item() + 0.5 * 0.0644486 + 0.25 * 0.655382 - 2 * 0.740422;
  CHECK(ba_lora::classification_loss(f, p, label, penalties).item() == Approx(terms).epsilon(3e-6));
  GradcheckResult result =
      gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{ba_lora::classification_loss(x[0], p, label, penalties)}; },
                {tuned_logits().requires_grad_()});
  CHECK_MESSAGE(result.passed, result.message);

  terms = cross_entropy(f, label).item() + 0.5 * 0.170138 - 0.25 * 0.812468 - 2 * 0.740422;
  auto as_tokens = [](const Tensor& x) { return reshape(x, {2, 2, 3}); };
  CHECK(ba_lora::language_loss(as_tokens(f), as_tokens(p), reshape(label, {2, 2}), {}, penalties).item() == Approx(terms).epsilon(3e-6));
}

TEST_CASE("ba_lora: of a language model's logits only response tokens count") {
  Tensor f = tuned_logits(), p = pretrained_logits(), label = tensor({0, 2, 1, 1});
  CHECK(consistency_kl(f, p).item() == Approx(0.170138).epsilon(3e-6));
  CHECK(negative_entropy(f).item() == Approx(-0.812468).epsilon(2e-6));
  // The four tokens, and two of a prompt whose logits are far away.
  Tensor far = full({2, 3}, 50.0, f64);
  Tensor logits = reshape(cat({f, far}), {2, 3, 3}), teacher = reshape(cat({p, far * -1}), {2, 3, 3});
  Tensor target = reshape(cat({label, tensor({0, 0})}), {2, 3}), mask = tensor({{true, true, true}, {true, false, false}});
  ba_lora::Penalties penalties{1, 1, 1, 1};
  double alone = ba_lora::language_loss(unsqueeze(f, 0), unsqueeze(p, 0), unsqueeze(label, 0), {}, penalties).item();
  CHECK(ba_lora::language_loss(logits, teacher, target, mask, penalties).item() == Approx(alone).epsilon(1e-12));
  CHECK(ba_lora::language_loss(logits, teacher, target, {}, penalties).item() != Approx(alone).epsilon(1e-3));
}

TEST_CASE("ba_lora: many tokens are thinned evenly before their singular values are taken") {
  manual_seed(3);
  Tensor logits = randn({2, 300, 5}, {.dtype = f64}), target = zeros({2, 300}, i64);
  Tensor rows = flatten(logits, 0, 1);
  std::vector<Tensor> kept;
  for (int64_t i = 0; i < ba_lora::kSpectrumRows; ++i) kept.push_back(select(rows, 0, i * 600 / ba_lora::kSpectrumRows));
  double loss = ba_lora::language_loss(logits, logits, target, {}, {0, 0, 1, 2}).item();
  CHECK(loss == Approx(cross_entropy(rows, flatten(target)).item() - svd_ratio(stack(kept), 2).item()).epsilon(1e-12));
}

TEST_CASE("ba_lora: a model that has not moved pays no consistency; scale leaves consistency and spectrum alone and is felt by diversity") {
  Tensor f = tuned_logits(), p = pretrained_logits();
  CHECK(ba_lora::consistency_mse_normalized(f, f).item() == 0);
  CHECK(std::abs(consistency_kl(f, f).item()) < 1e-15);
  CHECK(ba_lora::consistency_mse_normalized(f * 7, p).item() == Approx(ba_lora::consistency_mse_normalized(f, p).item()).epsilon(1e-12));
  CHECK(svd_ratio(f * 7, 1).item() == Approx(svd_ratio(f, 1).item()).epsilon(1e-9));
  CHECK(off_diagonal_covariance(f * 7).item() == Approx(std::pow(7, 4) * off_diagonal_covariance(f).item()).epsilon(1e-12));
}

TEST_CASE("svd_ratio: all singular values make 1 without a gradient, one of one too, none of a zero matrix") {
  Tensor f = tuned_logits();
  for (int64_t k : {3, 7}) {
    CHECK(std::abs(svd_ratio(f, k).item() - 1) < 1e-9);
    CHECK(largest_difference(svd_ratio_gradient(f, k), zeros({4, 3}, f64)) < 1e-9);
  }
  Tensor rank1 = matmul(tensor({{1.0}, {-2.0}, {0.5}}, f64), tensor({{3.0, 1.0, -1.0, 2.0}}, f64));
  CHECK(std::abs(svd_ratio(rank1, 1).item() - 1) < 1e-9);
  CHECK(svd_ratio(zeros({3, 2}, f64), 1).item() == 0);
  CHECK(largest_difference(svd_ratio_gradient(zeros({3, 2}, f64), 1), zeros({3, 2}, f64)) == 0);
}

TEST_CASE("ba_lora: a principal start takes the largest singular values out of the weight and changes nothing else") {
  Tensor weight = tensor({{2.0, 0.0, 1.0}, {0.0, 1.0, 1.0}}, f64), before = clone(weight);
  nn::LowRankAdapter adapter("task", weight, {.rank = 1, .start = nn::LowRankStart::principal});
  Tensor taken = tensor({{1.832050, 0.277350, 1.193375}, {0.554700, 0.0839749, 0.361325}}, f64);
  CHECK(largest_difference(adapter.taken(), taken) < 5e-7);
  CHECK(largest_difference(weight, before - taken) < 5e-7);
  CHECK(std::sqrt(sum(adapter.taken() * adapter.taken()).item()) == Approx(2.302776).epsilon(1e-6));  // its only singular value
  CHECK(std::sqrt(sum(weight * weight).item()) == Approx(1.302776).epsilon(1e-6));                    // that of what stays
  CHECK(largest_difference(matmul(mT(adapter.up.detach()), weight), zeros({1, 3}, f64)) <
        1e-12);  // the residual is orthogonal to A's columns
  CHECK(largest_difference(adapter(weight).detach(), before) < 1e-12);
}

namespace {

struct Tuning {
  mlp::Mlp pretrained{mlp::MlpConfig{.inputs = 6, .hidden = {12, 12}, .outputs = 4}};
  Tensor x = randn({16, 6}), label = randint(0, 4, {16});
};

mlp::Mlp with_adapters(const mlp::Mlp& pretrained) {
  mlp::Mlp net = pretrained;
  nn::add_adapter(net, "task", {.rank = 3, .start = nn::LowRankStart::principal}, {"layers.0", "layers.1"});
  nn::train_adapters_only(net);
  return net;
}

template <typename Loss>
mlp::Mlp after_steps(const Tuning& t, Loss&& loss) {
  mlp::Mlp net = with_adapters(t.pretrained);
  std::vector<Tensor> trained;
  for (const Tensor& p : net.parameters())
    if (p.requires_grad()) trained.push_back(p);
  optim::AdamW adamw(trained, {.lr = 1e-2, .weight_decay = 0});
  for (int step = 0; step < 5; ++step) {
    adamw.zero_grad();
    loss(net(t.x)).backward();
    adamw.step();
  }
  return net;
}

}  // namespace

TEST_CASE("ba_lora: without penalties the training is PiSSA's to the last bit; with them it is not") {
  manual_seed(5);
  Tuning t;
  Tensor inherited = t.pretrained(t.x);
  mlp::Mlp pissa = after_steps(t, [&](const Tensor& logits) { return cross_entropy(logits, t.label); });
  mlp::Mlp none = after_steps(t, [&](const Tensor& logits) { return ba_lora::classification_loss(logits, inherited, t.label, {0, 0, 0}); });
  mlp::Mlp some = after_steps(t, [&](const Tensor& logits) { return ba_lora::classification_loss(logits, inherited, t.label); });
  StateDict a = pissa.state(), b = none.state(), c = some.state();
  bool moved = false;
  for (const auto& [name, value] : a) {
    CHECK_MESSAGE(same_bits(value, b.at(name)), name);
    moved = moved || !same_bits(value, c.at(name));
  }
  CHECK(moved);
}

TEST_CASE("ba_lora: the gradient reaches the adapters alone, neither the pretrained network nor what is left of the weights") {
  manual_seed(6);
  Tuning t;
  mlp::Mlp net = with_adapters(t.pretrained);
  CHECK(largest_difference(net(t.x), t.pretrained(t.x)) < 1e-6);
  ba_lora::classification_loss(net(t.x), t.pretrained(t.x), t.label, {1, 1, 1}).backward();
  for (const auto& [name, p] : t.pretrained.named_parameters()) CHECK_MESSAGE(!p.grad().defined(), name);
  for (const auto& [name, p] : net.named_parameters())
    CHECK_MESSAGE(p.grad().defined() == (name.find(".adapters.") != std::string::npos), name);
}

TEST_CASE("ba_lora: merged adapters compute the same") {
  manual_seed(7);
  Tuning t;
  mlp::Mlp net = after_steps(t, [&](const Tensor& logits) { return cross_entropy(logits, t.label); });
  Tensor beside = net(t.x).detach();
  nn::merge_adapters(net);
  CHECK(largest_difference(net(t.x), beside) < 1e-5);
  CHECK(largest_difference(net(t.x), t.pretrained(t.x)) > 1e-3);
}

TEST_CASE("ba_lora: bad input is told by its values") {
  Tensor f = tuned_logits(), label = tensor({0, 2, 1, 1});
  Tensor one = slice(f, 0, 0, 1), three = slice(f, 0, 0, 3), tokens = unsqueeze(f, 0);
  CHECK_THROWS_WITH_AS(ba_lora::classification_loss(one, one, tensor({0})),
                       "batch_covariance: a batch of 1 has no covariance; it takes 2 rows", ValueError);
  CHECK_THROWS_WITH_AS(ba_lora::classification_loss(f, f, label, {.top = 0}), "ba_lora: top must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(svd_ratio(f, 0), "svd_ratio: k must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(svd_ratio(tokens, 1), "svd_ratio: takes a matrix, got [1, 4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ba_lora::classification_loss(tokens, tokens, label), "ba_lora: takes logits [B, D], got [1, 4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ba_lora::language_loss(f, f, label), "ba_lora: takes logits [B, T, V], got [4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ba_lora::classification_loss(f, three, label),
                       "ba_lora: the logits are [4, 3], those of the pretrained model [3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(batch_covariance(tokens), "batch_covariance: takes outputs [B, D], got [1, 4, 3]", ShapeError);
  Tensor broken = f * tensor({{1.0, NAN, 1.0}}, f64);
  CHECK_THROWS_AS(svd_ratio(broken, 1), ValueError);  // what cannot be factored is told, not taken as 0
}

TEST_CASE("ba_lora: the experiment runs: everything is measured, and each penalty does what it is for") {
  Results results = run_experiment({"finetuning", "ba_lora", &ba_lora::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == ba_lora::experiment().variants.size());
  CHECK(measured(results, "pretrained", "agreement with the pretrained (%)") == Approx(100));
  CHECK(measured(results, "pretrained", "test accuracy, noise 0 % (%)") > 80);
  CHECK(measured(results, "PiSSA + consistency", "agreement with the pretrained (%)") >
        measured(results, "PiSSA", "agreement with the pretrained (%)"));
  CHECK(measured(results, "PiSSA + diversity", "off-diagonal covariance") < measured(results, "PiSSA", "off-diagonal covariance"));
}
