// CREAM: consistency of rankings and the soft loss on worked numbers, confidences by prompt, the sorting task, and the experiment.
#include "methods/finetuning/cream/cream.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/finetuning/cream/sorting.h"
#include "methods/runner.h"
#include "models/preference/losses.h"
#include "models/transformer/gpt.h"
#include "ops/activation.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/models/module_gradients.h"

namespace plumb::methods::cream {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using cream::Agreement;
using cream::Level;
using doctest::Approx;
using preference::Judged;

namespace {

const std::vector<double> kCurrent{0.31, -0.12, 0.05, 0.44, -0.30}, kPrevious{-1.10, -1.32, -1.05, -0.98, -1.29};

preference::PairLogProbs policy() { return {tensor({-12.5}, f64), tensor({-15.0}, f64)}; }
preference::PairLogProbs reference() { return {tensor({-13.2}, f64), tensor({-14.1}, f64)}; }

double slope(double z, double c) {
  Tensor x = tensor({z}, f64).requires_grad_();
  return grad({preference::soft_dpo_loss(x, c)}, {x})[0].item();
}

double loss(double z, double c) { return preference::soft_dpo_loss(tensor({z}, f64), c).item(); }

// A prompt with two answers, best first, whose previous ranking agrees (C = 1), disagrees (0), or is missing.
Judged judged(int64_t prompt, std::vector<double> previous) { return {prompt, {1}, {{1}, {2}}, {1, 0}, std::move(previous)}; }

}  // namespace

TEST_CASE("cream: consistency has its worked values") {
  CHECK(cream::consistency(kCurrent, kPrevious) == Approx(0.8).epsilon(1e-12));
  CHECK(cream::consistency(kCurrent, kPrevious, Agreement::spearman) == Approx(0.9).epsilon(1e-12));
  CHECK(cream::consistency(kPrevious, kCurrent) == Approx(0.8).epsilon(1e-12));
}

TEST_CASE("cream: the same order agrees fully, the reversed one not at all, and ties go by place in both rankings") {
  std::vector<double> up{1, 2, 3, 4, 5}, down{5, 4, 3, 2, 1}, other{0.1, 0.2, 5, 70, 700};
  for (Agreement a : {Agreement::kendall, Agreement::spearman}) {
    CHECK(cream::consistency(up, other, a) == 1);
    CHECK(cream::consistency(up, down, a) == 0);
  }
  CHECK(cream::consistency(up, other, Agreement::top_order) == 1);
  CHECK(cream::consistency(up, std::vector<double>{1, 4, 3, 2, 5}, Agreement::top_order) == 1);  // the middle does not matter
  CHECK(cream::consistency(up, std::vector<double>{2, 1, 3, 4, 5}, Agreement::top_order) == 0);  // another worst
  CHECK(cream::consistency(up, std::vector<double>{1, 2, 3, 5, 4}, Agreement::top_order) == 0);  // another best
  // Equal scores rank as 1 2 3: as `up` does, and against `down`.
  CHECK(cream::consistency(std::vector<double>{1, 2, 3}, std::vector<double>{7, 7, 7}) == 1);
  CHECK(cream::consistency(std::vector<double>{3, 2, 1}, std::vector<double>{7, 7, 7}) == 0);
  // 1 1 0 → ranks 2 3 1; 0 1 2 → 1 2 3: one of three pairs agrees.
  CHECK(cream::consistency(std::vector<double>{1, 1, 0}, std::vector<double>{0, 1, 2}) == Approx(1.0 / 3).epsilon(1e-12));
}

TEST_CASE("cream: the soft loss has its worked values, slopes and resting point") {
  Tensor z = preference::dpo_margin(policy(), reference(), 0.1);
  CHECK(z.item() == Approx(0.16).epsilon(1e-12));
  struct Row {
    double c, loss, slope;
  };
  for (Row r : {Row{1, 0.616344, -0.460085}, {0.8, 0.648344, -0.260085}, {0.5, 0.696344, 0.0399149}, {0, 0.776344, 0.539915}}) {
    CAPTURE(r.c);
    CHECK(preference::soft_dpo_loss(z, r.c).item() == Approx(r.loss).epsilon(1e-6));
    CHECK(slope(0.16, r.c) == Approx(r.slope).epsilon(2e-6));
    CHECK(preference::preference_loss(policy(), reference(), preference::dpo(0.1), tensor({r.c}, f64)).item() ==
          Approx(r.loss).epsilon(1e-6));
  }
  CHECK(std::abs(slope(std::log(4.0), 0.8)) < 1e-15);
  CHECK(std::log(4.0) == Approx(1.386294).epsilon(1e-6));
}

TEST_CASE("cream: with confidence 1 the loss is DPO's to the last bit") {
  manual_seed(1);
  for (DType type : {f32, f64}) {
    Tensor z = randn({257}, {.dtype = type}) * 30;
    Tensor dpo = mean(-logsigmoid(z));
    CHECK(preference::soft_dpo_loss(z, 1).item() == dpo.item());
  }
}

TEST_CASE("cream: where the policy is the reference the loss is ln 2 and its slope β (½ − C)") {
  for (double c : {0.0, 0.3, 0.5, 0.8, 1.0}) {
    preference::PairLogProbs now = policy();
    now.chosen.requires_grad_();
    Tensor z = preference::dpo_margin(now, policy(), 0.1), l = preference::soft_dpo_loss(z, c);
    CHECK(z.item() == 0);
    CHECK(l.item() == Approx(0.693147).epsilon(1e-6));
    CHECK(grad({l}, {now.chosen})[0].item() == Approx(0.1 * (0.5 - c)).epsilon(1e-12));
  }
}

TEST_CASE("cream: the loss is symmetric in labels and affine in the confidence") {
  for (double z : {-3.0, -0.1, 0.16, 2.0})
    for (double c : {0.0, 0.25, 0.8, 1.0}) {
      CHECK(loss(z, c) == Approx(loss(-z, 1 - c)).epsilon(1e-13));
      CHECK(loss(z, c) == Approx(c * loss(z, 1) + (1 - c) * loss(z, 0)).epsilon(1e-13));
    }
}

TEST_CASE("cream: margins of any size give finite losses and slopes") {
  for (double c : {0.0, 0.3, 1.0}) {
    CHECK(loss(1000, c) == Approx(1000 * (1 - c)).epsilon(1e-12));
    CHECK(loss(-1000, c) == Approx(1000 * c).epsilon(1e-12));
    CHECK(slope(1000, c) == Approx(1 - c).epsilon(1e-12));
    CHECK(slope(-1000, c) == Approx(-c).epsilon(1e-12));
    Tensor single = preference::soft_dpo_loss(tensor({1000.0, -1000.0}), c);
    CHECK(single.item() == Approx(500).epsilon(1e-6));
  }
}

TEST_CASE("cream: the gradient of the loss through a language model of two layers is the slope of its values; the reference gets none") {
  manual_seed(2);
  transformer::Gpt model({.vocab = 10, .layers = 2, .heads = 2, .width = 8, .context = 8}), frozen = model;
  model.to(f64);
  frozen.to(f64);
  for (const Tensor& p : model.parameters()) {
    NoGrad off;
    Tensor moved = p.detach() + randn(p.shape(), {.dtype = f64}) * 0.05, place = p.detach();
    copy_data(moved, place);
  }
  preference::AnswerBatch batch =
      preference::answer_batch({{{1, 2, 3, 8}, {1, 2, 3, 9}}, {{4, 0, 8}, {0, 4, 9}}, {{1, 2, 3, 8}, {3, 9}}, {{4, 0, 8}, {4, 0, 9}}}, 9);
  auto halves = [&](const transformer::Gpt& m) {
    Tensor lp = preference::sequence_log_prob(m(batch.tokens), batch.target, batch.mask);
    return preference::PairLogProbs{narrow(lp, 0, 0, 2), narrow(lp, 0, 2, 2)};
  };
  Tensor c = tensor({0.8, 0.6}, f64);
  auto loss_of = [&] { return preference::preference_loss(halves(model), halves(frozen), preference::dpo(0.3), c); };
  plumb_test::check_module_gradients(model, {}, loss_of);
  bool moved = false;
  for (const auto& [name, p] : model.named_parameters()) moved = moved || (p.grad().defined() && max(abs(p.grad())).item() > 1e-4);
  CHECK(moved);
  for (const auto& [name, p] : frozen.named_parameters()) CHECK_MESSAGE(!p.grad().defined(), name);
}

TEST_CASE("cream: one confidence for the set, or each prompt's own; a prompt without one takes the mean and shifts nobody's") {
  std::vector<Judged> all{judged(10, {5, 1}), judged(30, {}), judged(20, {1, 5}), judged(50, {9, 2})};
  all.push_back({40, {1}, {{1}, {2}}, {3, 3}, {1, 2}});  // equal scores: no pair, no part in the mean
  auto set = cream::label_confidences(all), each = cream::label_confidences(all, Level::prompt);
  for (int64_t prompt : {10, 20, 30, 50}) CHECK(set.at(prompt) == Approx(2.0 / 3));
  CHECK(each.at(10) == 1);
  CHECK(each.at(20) == 0);
  CHECK(each.at(30) == Approx(2.0 / 3));
  CHECK(each.at(50) == 1);
  CHECK(each.count(40) == 0);
  CHECK(cream::mean_consistency(all) == Approx(2.0 / 3));
  auto pairs = preference::make_pairs(all, cream::ranking_consistency(Level::prompt), {.shortest = 1});
  REQUIRE(pairs.size() == 4);
  CHECK(pairs[2].prompt == 20);
  CHECK(pairs[2].confidence == 0);
}

TEST_CASE("cream: without its consistency the confidence is a random number from the generator alone") {
  std::vector<Judged> all{judged(1, {5, 1}), judged(2, {1, 5}), judged(3, {})};
  Generator a(4), b(4);
  auto one = cream::random_confidence(a)(all), two = cream::random_confidence(b)(all);
  CHECK(one == two);
  CHECK(one.at(1) != one.at(2));
  for (auto [prompt, c] : one) CHECK((c >= 0 && c < 1));
}

TEST_CASE("cream: the strength of the KL regulariser and the confidence are one thing") {
  CHECK(cream::confidence_of_strength(0) == 1);
  CHECK(cream::confidence_of_strength(INFINITY) == 0.5);
  for (double lambda : {0.3, 1.0, 4.0})
    for (double z : {-2.0, 0.16, 3.0}) {
      double p = 1 / (1 + std::exp(-z)), kl = 0.5 * std::log(0.5 / p) + 0.5 * std::log(0.5 / (1 - p));
      double regularised = -std::log(p) + lambda * kl;
      CHECK((1 + lambda) * loss(z, cream::confidence_of_strength(lambda)) - lambda * std::log(2.0) == Approx(regularised).epsilon(1e-10));
    }
}

TEST_CASE("cream: bad input is told by its values") {
  std::vector<double> one{1}, two{1, 2}, broken{1, NAN};
  CHECK_THROWS_WITH_AS(cream::consistency(one, one), "cream: a ranking needs at least 2 answers, got 1", ValueError);
  CHECK_THROWS_WITH_AS(cream::consistency(two, one), "cream: 2 scores by the current model, 1 by the previous one", ValueError);
  CHECK_THROWS_WITH_AS(cream::consistency(two, broken), "cream: a score must be finite, it is nan", ValueError);
  CHECK_THROWS_WITH_AS(cream::label_confidences({judged(1, {}), judged(2, {})}),
                       "cream: none of 2 prompts that make a pair has a ranking by the previous model", ValueError);
  CHECK_THROWS_WITH_AS(cream::confidence_of_strength(-1), "cream: the strength of the regulariser must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(cream::sorting_prompt(512), "sorting_prompt: there are 512 prompts, got number 512", ValueError);
  Generator g(0);
  CHECK_THROWS_WITH_AS(cream::deal_prompts(300, 212, g), "deal_prompts: 512 prompts leave none of 512 to test on", ValueError);
}

TEST_CASE("cream: the sorting task knows its truth") {
  preference::Tokens prompt = cream::sorting_prompt(7 * 64 + 2 * 8 + 5);
  CHECK(prompt == preference::Tokens{7, 2, 5, cream::kEquals});
  CHECK(cream::sorted_answer(prompt) == preference::Tokens{2, 5, 7, cream::kEnd});
  CHECK(cream::token_accuracy(prompt, {2, 5, 7, cream::kEnd}) == 1);
  CHECK(cream::token_accuracy(prompt, {2, 7, cream::kEnd}) == 0.25);
  CHECK(cream::token_accuracy(prompt, {2, 5, 7, 7, cream::kEnd}) == 0);
  Generator g(3);
  auto parts = cream::deal_prompts(100, 256, g);
  CHECK(parts.seed.size() == 100);
  CHECK(parts.unlabelled.size() == 256);
  CHECK(parts.test.size() == 156);
  CHECK(cream::corrupted({2, 5, 7, cream::kEnd}, 0, g) == preference::Tokens{2, 5, 7, cream::kEnd});
  int changed = 0;
  for (int i = 0; i < 1000; ++i) changed += cream::corrupted({2, 5, 7, cream::kEnd}, 0.6, g)[1] != 5;
  CHECK(std::abs(changed - 525) < 4 * std::sqrt(1000 * 0.525 * 0.475));  // 0.6 · 7/8, four standard errors
}

TEST_CASE("cream: the experiment runs, and rewards from the truth label rightly") {
  Results results = run_experiment({"finetuning", "cream", &cream::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == cream::experiment().variants.size());
  CHECK(measured(results, "SFT", "gain over SFT (points)") == 0);
  CHECK(measured(results, "oracle reward", "pairs labelled rightly (%)") == 100);
  CHECK(measured(results, "SRLM", "consistency, first round") == measured(results, "CREAM", "consistency, first round"));
  for (const char* v : {"SRLM", "CREAM", "CREAM, each prompt"}) {
    double c = measured(results, v, "consistency, last round");
    CHECK((c > 0 && c <= 1));
  }
}
