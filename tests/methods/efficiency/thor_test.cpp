// THOR: losses on worked numbers, draws of experts, what is trained by a draw, inference, and the experiment.
#include "methods/efficiency/thor/thor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/common/token_losses.h"
#include "methods/runner.h"
#include "models/moe/expert_parameters.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

namespace plumb::methods::thor {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;

namespace {

Tensor first_logits() { return tensor({{2.0, 0.0, -1.0}, {0.0, 1.0, 0.0}, {1.0, 1.0, 1.0}}, f64); }
Tensor second_logits() { return tensor({{1.0, 0.5, -0.5}, {0.5, 0.5, 0.0}, {0.0, 2.0, 0.0}}, f64); }
Tensor targets() { return tensor({0, 1, 2}); }
Tensor last_is_padding() { return tensor({true, true, false}); }

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  auto x = to_vector(a), y = to_vector(b);
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

transformer::GptConfig small(double dropout = 0) {
  return {.vocab = 7, .layers = 4, .heads = 2, .width = 8, .context = 6, .dropout = dropout, .bias = true, .inner = 12};
}

moe::MoeGpt made(int64_t experts, double dropout = 0, uint64_t seed = 1) {
  manual_seed(seed);
  return moe::MoeGpt(thor::configuration(small(dropout), experts));
}

Tensor text() { return tensor({{1, 5, 2, 6, 0, 3}, {3, 3, 0, 1, 4, 2}, {6, 0, 0, 2, 1, 5}}); }
Tensor following() { return tensor({{5, 2, 6, 0, 3, 1}, {3, 0, 1, 4, 2, 0}, {0, 0, 2, 1, 5, 5}}); }

// Gives every expert the weights of its layer's first.
void make_experts_identical(moe::MoeGpt& model) {
  NoGrad off;
  for (moe::MoeBlock& block : model.blocks())
    if (block.moe)
      for (Tensor weight : block.moe->experts.parameters())
        copy_data(expand(clone(slice(weight.detach(), 0, 0, 1)), weight.shape()), weight);
}

}  // namespace

TEST_CASE("thor: consistency and losses of two draws have their worked values; a padded token counts nothing") {
  Tensor z1 = first_logits(), z2 = second_logits();
  CHECK(largest_difference(symmetric_kl(z1, z2, {}, Reduction::none), tensor({0.222934, 0.0910438, 0.453653}, f64)) < 1e-6);
  thor::Loss plain = thor::consistency_loss(z1, z2, targets(), last_is_padding(), {.alpha = 5, .smoothing = 0});
  CHECK(plain.consistency.item() == Approx(0.313978).epsilon(2e-6));
  CHECK(plain.first.item() == Approx(0.721291).epsilon(2e-6));
  CHECK(plain.second.item() == Approx(1.56215).epsilon(4e-6));
  CHECK(plain.total.item() == Approx(3.85333).epsilon(2e-6));
  CHECK(plain.tokens == 2);
  CHECK(plain.mean().item() == Approx(3.85333 / 2).epsilon(2e-6));
  thor::Loss smoothed = thor::consistency_loss(z1, z2, targets(), last_is_padding(), {.alpha = 5, .smoothing = 0.1});
  CHECK(smoothed.first.item() == Approx(1.07129).epsilon(5e-6));
  CHECK(smoothed.second.item() == Approx(1.68715).epsilon(4e-6));
  CHECK(smoothed.total.item() == Approx(4.32833).epsilon(2e-6));
}

TEST_CASE("thor: the consistency's gradient has its worked values and reaches both passes") {
  Tensor z1 = first_logits().requires_grad_(), z2 = second_logits().requires_grad_();
  auto gradients = grad({symmetric_kl(z1, z2, last_is_padding())}, {z1, z2});
  CHECK(largest_difference(gradients[0],
                           tensor({{0.247477, -0.180920, -0.0665567}, {-0.158136, 0.187810, -0.0296735}, {0.0, 0.0, 0.0}}, f64)) < 1e-6);
  CHECK(largest_difference(gradients[1], zeros({3, 3}, f64)) > 0.1);
  auto loss = [](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{thor::consistency_loss(x[0], x[1], targets(), last_is_padding(), {.alpha = 2}).total};
  };
  GradcheckResult once = gradcheck(loss, {first_logits().requires_grad_(), second_logits().requires_grad_()});
  GradcheckResult twice = gradgradcheck(loss, {first_logits().requires_grad_(), second_logits().requires_grad_()});
  CHECK_MESSAGE(once.passed, once.message);
  CHECK_MESSAGE(twice.passed, twice.message);
}

TEST_CASE("thor: an expert computes its own network, and the residual is added to it") {
  moe::MoeFeedForward layer(2, {.experts = 2, .top_k = 1, .router = "random_batch", .inner = 3, .activation = "relu", .bias = false});
  NoGrad off;
  copy_data(tensor({{{1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}}, {{0.5, 0.5}, {-1.0, 1.0}, {0.0, 2.0}}}), layer.experts.up.weight);
  copy_data(tensor({{{1.0, 0.0, 1.0}, {0.0, 1.0, 0.0}}, {{1.0, 1.0, 0.0}, {0.0, 1.0, 1.0}}}), layer.experts.down.weight);
  Tensor x = tensor({{1.0, -2.0}});
  CHECK(to_vector(thor::expert_output(layer, x, 0)) == std::vector<double>{1, 0});
  CHECK(to_vector(x + thor::expert_output(layer, x, 0)) == std::vector<double>{2, -2});
  CHECK(to_vector(thor::expert_output(layer, x, 1)) == std::vector<double>{0, 0});
  CHECK(to_vector(x + thor::expert_output(layer, x, 1)) == std::vector<double>{1, -2});
}

TEST_CASE("thor: what Switch is trained with has its worked values: the balance of its gates, and the schedule of the inverse root") {
  moe::Routing routing = moe::route_tokens(tensor({{0}, {0}, {1}, {0}}), ones({4, 1}), 2);
  routing.probability = tensor({{0.7, 0.3}, {0.6, 0.4}, {0.2, 0.8}, {0.9, 0.1}});
  CHECK(moe::load_balance_loss(routing).item() == Approx(1.1).epsilon(1e-6));
  optim::Schedule schedule = optim::inverse_sqrt(4000);
  for (auto [step, rate] : {std::pair{1000, 2.5e-4}, {4000, 1e-3}, {16'000, 5e-4}})
    CHECK(1e-3 * schedule(step - 1) == Approx(rate).epsilon(1e-12));
}

TEST_CASE("thor: one expert without dropout, or experts that are alike, agree exactly") {
  for (int64_t experts : {1, 4}) {
    moe::MoeGpt model = made(experts);
    make_experts_identical(model);
    thor::Loss loss = thor::training_loss(model, text(), following());
    CHECK(loss.consistency.item() == 0);
    CHECK(loss.total.item() == Approx(2 * loss.first.item()).epsilon(1e-7));
    CHECK(loss.first.item() == loss.second.item());
    thor::DrawnLoss drawn = thor::evaluate(model, data::ConsecutiveWindows(data::TokenStream({1, 5, 2, 6, 0, 3, 3, 0, 1}), 4, 2));
    CHECK(drawn.disagreement < 1e-9);  // sequences of different experts are products of different shapes: roundings remain
    CHECK(drawn.deviation < 1e-6);
  }
}

TEST_CASE("thor: passes differ by their experts, and by dropout alone where there is one expert") {
  CHECK(thor::training_loss(made(4), text(), following()).consistency.item() > 0);
  moe::MoeGpt dense = made(1, 0.3);
  CHECK(thor::training_loss(dense, text(), following()).consistency.item() > 0);
  dense.eval();
  CHECK(thor::training_loss(dense, text(), following()).consistency.item() == 0);
}

TEST_CASE("thor: without alpha the loss is that of two passes on their own, value and gradient") {
  moe::MoeGpt model = made(3, 0.2);
  manual_seed(4);
  thor::Loss loss = thor::training_loss(model, text(), following(), {}, {.alpha = 0, .smoothing = 0.1});
  loss.total.backward();
  std::vector<Tensor> together;
  for (const Tensor& p : model.parameters()) together.push_back(p.grad());
  model.zero_grad();
  manual_seed(4);
  double sum = 0;
  for (int pass = 0; pass < 2; ++pass) {
    Tensor alone = label_smoothed_cross_entropy(model(text()), following());
    sum += alone.item();
    alone.backward();
  }
  CHECK(loss.total.item() == Approx(sum).epsilon(1e-6));
  auto parameters = model.parameters();
  for (size_t i = 0; i < parameters.size(); ++i)
    CHECK(largest_difference(together[i], parameters[i].grad()) < 1e-4);  // sums of 18 tokens in f32
}

TEST_CASE("thor: experts are drawn evenly, each layer by itself, and a seed gives the same draws again") {
  moe::MoeGpt model = made(4);
  NoGrad off;
  auto drawn = [&](int passes) {
    std::vector<std::pair<int64_t, int64_t>> pairs;
    for (int i = 0; i < passes; ++i) {
      auto routings = model.forward(slice(text(), 0, 0, 1)).routings;
      REQUIRE(routings.size() == 2);  // blocks 0 and 2 of 4
      for (const moe::Routing& r : routings) CHECK(r.chosen.numel() == 4);
      auto only = [](const moe::Routing& r) {
        std::vector<int64_t> e = to_vector<int64_t>(r.expert);
        CHECK(e.front() == e.back());  // one for the whole batch
        return e.front();
      };
      pairs.push_back({only(routings[0]), only(routings[1])});
    }
    return pairs;
  };
  manual_seed(11);
  auto pairs = drawn(1600);
  std::array<double, 16> counts{};
  for (auto [a, b] : pairs) counts[static_cast<size_t>(4 * a + b)] += 1;
  double chi_square = 0;
  for (double c : counts) chi_square += (c - 100) * (c - 100) / 100;
  CHECK(chi_square < 37.7);  // 15 degrees of freedom, p = 0.001
  manual_seed(11);
  auto again = drawn(20);
  CHECK(std::equal(again.begin(), again.end(), pairs.begin()));
}

TEST_CASE("thor: only drawn experts have a gradient, and an optimiser leaves the others where they are, momentum and decay included") {
  moe::MoeGpt model = made(4);
  moe::ExpertParameters parameters(model);
  optim::AdamW adamw(parameters.all(), {.lr = 1e-2, .weight_decay = 0.1});
  auto weights = [&](size_t block) { return clone(model.blocks()[block].moe->experts.up.weight.detach()); };
  manual_seed(5);
  for (int step = 0; step < 8; ++step) {
    std::vector<Tensor> before{weights(0), weights(2)};
    adamw.zero_grad();
    thor::Loss loss = thor::training_loss(model, text(), following());
    loss.mean().backward();
    std::array<std::vector<double>, 2> chosen{to_vector(loss.routings[0].chosen + loss.routings[2].chosen),
                                              to_vector(loss.routings[1].chosen + loss.routings[3].chosen)};
    for (size_t layer = 0; layer < 2; ++layer) {
      Tensor gradient = model.blocks()[2 * layer].moe->experts.up.weight.grad();
      for (int64_t e = 0; e < 4; ++e)
        CHECK((largest_difference(select(gradient, 0, e), zeros({12, 8})) > 0) == (chosen[layer][static_cast<size_t>(e)] > 0));
    }
    parameters.hand_out(loss.routings);
    adamw.step();
    for (size_t layer = 0; layer < 2; ++layer) {
      Tensor after = weights(2 * layer);
      for (int64_t e = 0; e < 4; ++e)
        CHECK((largest_difference(select(after, 0, e), select(before[layer], 0, e)) > 0) == (chosen[layer][static_cast<size_t>(e)] > 0));
    }
  }
}

TEST_CASE("thor: where every expert is drawn, the slices are trained as the whole weights are") {
  auto trained = [](bool slices) {
    moe::MoeGptConfig config = thor::configuration(small(), 2);
    config.moe.top_k = 2;
    manual_seed(6);
    moe::MoeGpt model(config);
    moe::ExpertParameters parameters(model);
    optim::Adam adam(slices ? parameters.all() : model.parameters(), {.lr = 1e-2});
    for (int step = 0; step < 3; ++step) {
      adam.zero_grad();
      thor::Loss loss = thor::training_loss(model, text(), following());
      loss.mean().backward();
      if (slices) parameters.hand_out(loss.routings);
      adam.step();
    }
    return model.state();
  };
  StateDict whole = trained(false), parts = trained(true);
  for (const auto& [name, value] : whole) CHECK_MESSAGE(to_vector(value) == to_vector(parts.at(name)), name);
}

TEST_CASE("thor: at inference each token, or each sequence, draws; grouping by expert computes what masking all of them does") {
  moe::MoeGpt model = made(4, 0.3);
  model.eval();
  NoGrad off;
  const moe::MoeFeedForward& layer = *model.blocks()[0].moe;
  manual_seed(7);
  Tensor x = randn({5, 6, 8});
  for (thor::Draw draw : {thor::Draw::token, thor::Draw::sequence, thor::Draw::batch, thor::Draw::average}) {
    thor::DrawnExperts drawn(model, draw);
    moe::Routing routing = layer.router(x);
    std::vector<int64_t> token = to_vector<int64_t>(routing.token), expert = to_vector<int64_t>(routing.expert);
    std::vector<double> mask(4 * 30, 0);
    for (size_t a = 0; a < token.size(); ++a)
      mask[static_cast<size_t>(expert[a] * 30 + token[a])] += draw == thor::Draw::average ? 0.25 : 1;
    Tensor masked = zeros({5, 6, 8});
    std::array<double, 4> used{};
    for (int64_t e = 0; e < 4; ++e) {
      std::vector<float> row(mask.begin() + e * 30, mask.begin() + (e + 1) * 30);
      for (float m : row) used[static_cast<size_t>(e)] += m;
      masked = masked + thor::expert_output(layer, x, e) * reshape(from_vector(row), {5, 6, 1});
    }
    CHECK(largest_difference(layer.forward(x, routing), masked) < 1e-6);
    CHECK(used[0] + used[1] + used[2] + used[3] == Approx(30));
    int64_t together = draw == thor::Draw::token || draw == thor::Draw::average ? 1 : draw == thor::Draw::sequence ? 6 : 30;
    for (int64_t t = 0; t < 30; ++t)
      for (int64_t e = 0; e < 4; ++e)
        CHECK(mask[static_cast<size_t>(e * 30 + t)] == mask[static_cast<size_t>(e * 30 + t / together * together)]);
  }
  CHECK(layer.router.kind == moe::RouterKind::random_batch);  // as it was
  CHECK(layer.router.top_k == 1);
}

TEST_CASE("thor: with experts that are alike every inference is the dense model's, whatever is drawn") {
  moe::MoeGpt dense = made(1), model = made(4);
  StateDict state = dense.state(), wide;
  for (const auto& [name, value] : model.state()) wide[name] = expand(state.at(name).detach(), value.shape());
  model.load_state(wide);
  NoGrad off;
  Tensor expected = dense(text());
  for (thor::Draw draw : {thor::Draw::token, thor::Draw::sequence, thor::Draw::batch, thor::Draw::average}) {
    thor::DrawnExperts drawn(model, draw);
    CHECK(largest_difference(model(text()), expected) < 1e-5);
  }
}

TEST_CASE("thor: the evaluation averages draws, gives the generator back, and is the same again") {
  moe::MoeGpt model = made(4, 0.5);
  data::ConsecutiveWindows windows(data::TokenStream({1, 5, 2, 6, 0, 3, 3, 0, 1, 4, 4, 2}), 4, 2);
  manual_seed(8);
  double next = Generator(default_generator()).next_double();
  thor::DrawnLoss a = thor::evaluate(model, windows, {.draws = 4, .seed = 9}), b = thor::evaluate(model, windows, {.draws = 4, .seed = 9});
  CHECK(default_generator().next_double() == next);
  CHECK(model.training());
  CHECK(a.mean == b.mean);
  CHECK(a.deviation > 0);
  CHECK(a.disagreement > 0);
  CHECK(std::abs(a.mean - std::log(7)) < 0.5);  // an untrained model knows nothing of seven tokens
  thor::DrawnLoss average = thor::evaluate(model, windows, {.draw = thor::Draw::average, .draws = 2});
  CHECK(average.deviation < 1e-6);
}

TEST_CASE("thor: bad input is told by its values") {
  Tensor z = first_logits(), none = tensor({false, false, false}), short_mask = tensor({true, true});
  CHECK_THROWS_WITH_AS(thor::configuration(small(), 0), "--experts must be at least 1, it is 0", ConfigError);
  moe::MoeFeedForward layer(2, {.experts = 2, .top_k = 1, .router = "random_batch", .inner = 3});
  CHECK_THROWS_WITH_AS(thor::expert_output(layer, ones({1, 2}), 2), "thor: expert 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(thor::expert_output(layer, ones({1, 2}), -1), "thor: expert -1 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, z, targets(), short_mask), "symmetric_kl: the mask is [2], the tokens are [3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, z, targets(), none), "symmetric_kl: no token counts: all are padding", ValueError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, z, targets(), targets()), "symmetric_kl: the mask must be bool, it is i64", DTypeError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, slice(z, 0, 0, 2), targets()),
                       "symmetric_kl: logits of two models differ in shape: [3, 3] and [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, z, tensor({0, 1})), "label_smoothed_cross_entropy: targets [2] do not fit logits [3, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(thor::consistency_loss(z, z, targets(), {}, {.alpha = -1}), "thor: alpha must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(label_smoothed_cross_entropy(z, targets(), {}, 0.7),
                       "label_smoothed_cross_entropy: epsilon must lie in [0, 1 - 1/V] = [0, 0.666667], it is 0.7", ValueError);
  moe::MoeGpt model = made(2);
  moe::ExpertParameters parameters(model);
  CHECK_THROWS_WITH_AS(parameters.hand_out({}), "expert_parameters: 0 routings are not those of passes through 2 layers with experts",
                       ValueError);
  data::ConsecutiveWindows windows(data::TokenStream({1, 2, 3}), 2, 1);
  CHECK_THROWS_WITH_AS(thor::evaluate(model, windows, {.draws = 0}), "thor: draws must be at least 1, it is 0", ValueError);
}

TEST_CASE("thor: the experiment runs: draws agree more when they are held together, and everything is measured") {
  Results results = run_experiment({"efficiency", "thor", &thor::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == thor::experiment().variants.size());
  for (const Variant& v : thor::experiment().variants)
    CHECK_MESSAGE(measured(results, v.name, "validation loss (nats/char)") < std::log(65), v.name);
  CHECK(measured(results, "dense", "disagreement of draws (nats)") == 0);
  CHECK(measured(results, "THOR, alpha 5", "disagreement of draws (nats)") <
        measured(results, "random routing", "disagreement of draws (nats)"));
  CHECK(measured(results, "THOR, alpha 5", "passes") == measured(results, "random routing, 2x steps", "passes"));
}
