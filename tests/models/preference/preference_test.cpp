// Preference optimisation: log-probabilities of answers, the forms of the loss, pairs, sampling, training and self-rewarding rounds.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "models/preference/self_rewarding.h"
#include "models/transformer/gpt.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::preference;
using doctest::Approx;
using transformer::Gpt;

namespace {

Gpt small_gpt(int64_t layers = 1) { return Gpt({.vocab = 7, .layers = layers, .heads = 2, .width = 8, .context = 8}); }

// log p of each answer token by hand: the softmax of the logits of a single unpadded sequence.
double log_prob_alone(const Gpt& model, const Answer& a) {
  NoGrad off;
  std::vector<int64_t> all(a.prompt.begin(), a.prompt.end());
  all.insert(all.end(), a.text.begin(), a.text.end());
  Tensor logits = model(from_vector(all, {1, static_cast<int64_t>(all.size())}));
  std::vector<double> z = to_vector(logits);
  double total = 0;
  for (size_t t = a.prompt.size(); t < all.size(); ++t) {
    double norm = 0;
    for (size_t v = 0; v < 7; ++v) norm += std::exp(z[(t - 1) * 7 + v]);
    total += z[(t - 1) * 7 + static_cast<size_t>(all[t])] - std::log(norm);
  }
  return total;
}

PairLogProbs pairs_of(double chosen, double rejected) { return {tensor({chosen}, f64), tensor({rejected}, f64)}; }

}  // namespace

TEST_CASE("answer_batch: targets are one token further on, and the mask is by position") {
  AnswerBatch batch = answer_batch({{{1, 2}, {3, 0}}, {{4}, {5}}}, 0);  // padding is also the end token
  CHECK(to_vector<int64_t>(batch.tokens) == std::vector<int64_t>{1, 2, 3, 4, 0, 0});
  CHECK(to_vector<int64_t>(batch.target) == std::vector<int64_t>{2, 3, 0, 5, 0, 0});
  CHECK(to_vector<int64_t>(batch.mask) == std::vector<int64_t>{0, 1, 1, 1, 0, 0});
}

TEST_CASE("sequence_log_prob: padding changes neither sum nor mean") {
  manual_seed(1);
  Gpt model = small_gpt();
  std::vector<Answer> answers{{{1, 2}, {3, 4, 0}}, {{5}, {6}}, {{1, 1, 1}, {2, 0}}};
  std::vector<double> sums = log_probs(model, answers), means = log_probs(model, answers, true),
                      one_by_one = log_probs(model, answers, false, 1);
  for (size_t i = 0; i < answers.size(); ++i) {
    CHECK(sums[i] == Approx(log_prob_alone(model, answers[i])).epsilon(1e-5));
    CHECK(means[i] == Approx(sums[i] / static_cast<double>(answers[i].text.size())).epsilon(1e-6));
    CHECK(one_by_one[i] == Approx(sums[i]).epsilon(1e-6));
  }
  CHECK(model.training());
  // What stands where nothing counts may be anything, of any size.
  Tensor logits = tensor({{{1.0, 2.0}, {0.0, 0.0}, {NAN, INFINITY}}}, f64), mask = tensor({{true, true, false}});
  double expected = 2 - std::log(std::exp(1.0) + std::exp(2.0)) - std::log(2.0);
  CHECK(sequence_log_prob(logits, tensor({{1, 0, -100}}), mask).item() == Approx(expected).epsilon(1e-12));
  CHECK(sequence_log_prob(logits, tensor({{1, 0, -100}}), mask, true).item() == Approx(expected / 2).epsilon(1e-12));
}

TEST_CASE("sequence_log_prob: bad input is told by its values") {
  Tensor logits = zeros({2, 3, 4}), target = zeros({2, 3}, i64), mask = tensor({{true, true, true}, {false, false, false}});
  CHECK_THROWS_WITH_AS(sequence_log_prob(logits, target, mask), "sequence_log_prob: the answer of row 1 has no tokens", ValueError);
  CHECK_THROWS_WITH_AS(sequence_log_prob(logits, target, target), "sequence_log_prob: the mask must be bool, it is i64", DTypeError);
  CHECK_THROWS_WITH_AS(sequence_log_prob(target, target, mask), "sequence_log_prob: takes logits [B, T, V], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(sequence_log_prob(logits, zeros({2, 2}, i64), mask),
                       "sequence_log_prob: logits [2, 3, 4] go with a target and a mask [2, 3], got [2, 2] and [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(answer_batch({}), "answer_batch: there are no answers", ValueError);
  CHECK_THROWS_WITH_AS(answer_batch({{{1}, {2}}, {{1}, {}}}), "answer_batch: answer 1 has no tokens", ValueError);
  CHECK_THROWS_WITH_AS(answer_batch({{{}, {2}}}), "answer_batch: the prompt of answer 0 has no tokens", ValueError);
}

TEST_CASE("preference_loss: the forms have their values on a worked pair") {
  PairLogProbs policy = pairs_of(-12.5, -15), reference = pairs_of(-13.2, -14.1);  // h = 0.7 + 0.9 = 1.6
  policy.chosen_length = tensor({5}), policy.rejected_length = tensor({4});
  double h = 1.6, normalised = 0.7 / 5 + 0.9 / 4, bare = -12.5 / 5 + 15.0 / 4;
  auto log_sigmoid = [](double z) { return -std::log1p(std::exp(-z)); };
  CHECK(log_ratio_difference(policy, reference).item() == Approx(h).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, dpo(0.1)).item() == Approx(-log_sigmoid(0.16)).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, {.beta = 0.1, .margin = 0.5}).item() == Approx(-log_sigmoid(0.16 - 0.5)).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, length_normalised_dpo(2)).item() == Approx(-log_sigmoid(2 * normalised)).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, ipo(0.1)).item() == Approx((h - 5) * (h - 5)).epsilon(1e-12));
  CHECK(preference_loss(policy, {}, simpo(2, 1)).item() == Approx(-log_sigmoid(2 * bare - 1)).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, slic(0.1, 1)).item() == Approx(1 - 0.16).epsilon(1e-12));
  CHECK(preference_loss(policy, reference, slic(1, 1)).item() == 0);
}

TEST_CASE("preference_loss: a pair turned round with confidence 1 − C is the same pair, in every form") {
  manual_seed(2);
  PairLogProbs policy{randn({6}, {.dtype = f64}) * 4, randn({6}, {.dtype = f64}) * 4},
      reference{randn({6}, {.dtype = f64}), randn({6}, {.dtype = f64})};
  policy.chosen_length = randint(1, 9, {6}), policy.rejected_length = randint(1, 9, {6});
  PairLogProbs turned{policy.rejected, policy.chosen, policy.rejected_length, policy.chosen_length},
      behind{reference.rejected, reference.chosen};
  Tensor c = tensor({0.0, 0.2, 0.5, 0.7, 0.9, 1.0}, f64);
  for (const LossOptions& o : {dpo(), dpo(2), length_normalised_dpo(), ipo(), simpo(), slic()}) {
    double straight = preference_loss(policy, reference, o, c).item();
    CHECK(preference_loss(turned, behind, o, 1.0 - c).item() == Approx(straight).epsilon(1e-12));
    CHECK(preference_loss(policy, reference, o).item() == preference_loss(policy, reference, o, ones({6}, f64)).item());
    CHECK(preference_loss(policy, reference, o, zeros({6}, f64)).item() != Approx(straight).epsilon(1e-6));
  }
}

TEST_CASE("preference_loss: no gradient reaches the reference or the confidence") {
  PairLogProbs policy = pairs_of(-12.5, -15), reference = pairs_of(-13.2, -14.1);
  Tensor c = tensor({0.8}, f64);
  for (const Tensor& x : {policy.chosen, policy.rejected, reference.chosen, reference.rejected, c}) x.requires_grad_();
  preference_loss(policy, reference, dpo(), c).backward();
  CHECK(policy.chosen.grad().item() == Approx(-policy.rejected.grad().item()));
  CHECK(policy.chosen.grad().item() != 0);
  for (const Tensor& x : {reference.chosen, reference.rejected, c}) CHECK_FALSE(x.grad().defined());
}

TEST_CASE("preference_loss: bad input is told by its values") {
  PairLogProbs one = pairs_of(1, 2), two{zeros({2}), zeros({2})};
  CHECK_THROWS_WITH_AS(preference_loss(one, one, dpo(0)), "preference: beta must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(dpo_margin(one, one, -0.1), "preference: beta must be positive, it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, one, {.margin = -1}), "preference: the margin must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, one, {.objective = Objective::squared, .margin = 1}),
                       "preference: the squared form has its margin in beta; the margin must be 0, it is 1", ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, one, {.objective = Objective::hinge}), "preference: the hinge needs a margin above 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, {}, dpo()), "preference: this loss needs the reference's log-probabilities", ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, one, simpo()), "preference: a length-normalised loss needs the lengths of the answers",
                       ValueError);
  CHECK_THROWS_WITH_AS(preference_loss(one, two, dpo()), "preference: takes log-probabilities [B] of one B ≥ 1, got [1] and [2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(soft_dpo_loss(zeros({2}), 1.5), "preference: a confidence must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(soft_dpo_loss(zeros({2}), NAN), "preference: a confidence must lie in [0, 1], it is nan", ValueError);
  CHECK_THROWS_WITH_AS(soft_dpo_loss(zeros({2}), ones({3})), "preference: [3] confidences go with [2] pairs", ShapeError);
}

TEST_CASE("make_pairs: the best against the worst, the first of equal ones; prompts without a difference or of wrong length are left out") {
  CHECK(*best_and_worst(std::vector<double>{1, 3, 0, 3, 0}) == std::pair<size_t, size_t>{1, 2});
  CHECK_FALSE(best_and_worst(std::vector<double>{2, 2}).has_value());
  Tokens question{1, 2, 3};
  std::vector<Judged> judged{{7, question, {{4, 4}, {5, 5}, {6, 6}}, {0.1, 0.9, 0.5}, {}},
                             {3, question, {{4, 4}, {5, 5}}, {1, 1}, {}},        // no difference
                             {5, question, {{4}, {5, 5}}, {1, 2}, {}},           // the rejected one is too short
                             {9, question, {{4, 4, 4, 4}, {5, 5}}, {1, 2}, {}},  // and here too long
                             {2, question, {{4, 4}, {5, 5}}, {-1, -2}, {}}};
  auto by_number = [](const std::vector<Judged>& all) {
    std::map<int64_t, double> out;
    for (const Judged& j : all) out[j.prompt] = 0.1 * static_cast<double>(j.prompt);
    return out;
  };
  std::vector<Pair> pairs = make_pairs(judged, by_number, {.shortest = 5, .longest = 6});
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].prompt == 7);
  CHECK(pairs[0].chosen == Tokens{5, 5});
  CHECK(pairs[0].rejected == Tokens{4, 4});
  CHECK(pairs[0].confidence == Approx(0.7));
  CHECK(pairs[1].prompt == 2);  // prompts that were skipped shift nobody's confidence
  CHECK(pairs[1].confidence == Approx(0.2));
}

TEST_CASE("make_pairs: bad input is told by its values") {
  Tokens q{1};
  auto none = [](const std::vector<Judged>&) { return std::map<int64_t, double>{}; };
  auto two = [](const std::vector<Judged>&) { return std::map<int64_t, double>{{4, 2.0}}; };
  auto pairs = [&](std::vector<double> scores, const LabelConfidence& c) {
    return make_pairs({{4, q, {{1}, {2}}, std::move(scores), {}}}, c, {.shortest = 1});
  };
  CHECK_THROWS_WITH_AS(pairs({1, 2}, none), "preference: prompt 4 makes a pair and has no confidence", ValueError);
  CHECK_THROWS_WITH_AS(pairs({1, 2}, two), "preference: a confidence must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(pairs({1}, constant_confidence(1)), "preference: prompt 4 has 2 answers and 1 scores", ValueError);
  CHECK_THROWS_WITH_AS(pairs({1, NAN}, constant_confidence(1)), "preference: score 1 of an answer is not finite: nan", ValueError);
  CHECK_THROWS_WITH_AS(make_pairs({{4, q, {{1}}, {1}, {}}}, constant_confidence(1)),
                       "preference: a pair is chosen among at least 2 answers, got 1", ValueError);
  CHECK_THROWS_WITH_AS(make_pairs({{4, q, {}, {}, {}}, {4, q, {}, {}, {}}}, constant_confidence(1)), "preference: prompt 4 occurs twice",
                       ValueError);
  CHECK_THROWS_WITH_AS(constant_confidence(-0.5), "preference: a confidence must lie in [0, 1], it is -0.5", ValueError);
}

TEST_CASE("sample_answers: greedy answers are the likeliest tokens, one after the other, and end with the end token") {
  manual_seed(3);
  Gpt model = small_gpt();
  Generator g(0);
  std::vector<Tokens> prompts{{1, 2, 3}, {4}, {5, 6, 1}};
  AnswerOptions greedy{.sampling = {.temperature = 0}, .longest = 4};
  std::vector<Tokens> answers = sample_answers(model, prompts, greedy, g);
  for (size_t i = 0; i < prompts.size(); ++i) {
    Tokens expected;
    transformer::generate(model, prompts[i], 4, greedy.sampling, g, [&](int32_t t) { expected.push_back(t); });
    CHECK(answers[i] == expected);
    AnswerOptions ends = greedy;
    ends.sampling.end_token = expected[1];
    Tokens cut = expected[0] == expected[1] ? Tokens{expected[0]} : Tokens{expected[0], expected[1]};
    CHECK(sample_answers(model, {prompts[i]}, ends, g)[0] == cut);
  }
}

TEST_CASE("sample_answers: draws follow the model's probabilities, also when only the likeliest tokens may be drawn") {
  manual_seed(4);
  Gpt model = small_gpt();
  for (const Tensor& p : model.parameters()) p.requires_grad_(false);
  Tensor p = softmax(select(select(model(tensor({{2, 5}})), 0, 0), 0, 1), -1);
  std::vector<double> expected = to_vector(p);
  Generator g(5);
  constexpr size_t kDraws = 4000;
  auto share = [&](const AnswerOptions& o) {
    std::vector<double> out(7);
    for (const Tokens& y : sample_answers(model, std::vector<Tokens>(kDraws, Tokens{2, 5}), o, g))
      out[static_cast<size_t>(y.at(0))] += 1.0 / kDraws;
    return out;
  };
  std::vector<double> drawn = share({.longest = 1});
  for (size_t v = 0; v < 7; ++v) CHECK(std::abs(drawn[v] - expected[v]) < 4 * std::sqrt(expected[v] / kDraws));  // four standard errors
  auto likeliest = static_cast<size_t>(std::max_element(expected.begin(), expected.end()) - expected.begin());
  CHECK(share({.sampling = {.top_p = 0.01}, .longest = 1})[likeliest] == Approx(1));
}

TEST_CASE("sample_answers: bad input is told by its values") {
  Gpt model = small_gpt();
  Generator g(0);
  CHECK_THROWS_WITH_AS(sample_answers(model, {{1}, {}}, {.longest = 2}, g), "sample_answers: prompt 1 has no tokens", ValueError);
  CHECK_THROWS_WITH_AS(sample_answers(model, {{1, 2, 3}}, {.longest = 7}, g),
                       "sample_answers: prompt 0 has 3 tokens; with an answer of 7 it does not fit a context of 8", ValueError);
  CHECK_THROWS_WITH_AS(several_answers(model, {{1}}, 1, {.longest = 2}, g), "preference: a pair is chosen among at least 2 answers, got 1",
                       ValueError);
}

TEST_CASE("train_on_pairs: the margin grows and stops where the confidence says") {
  manual_seed(6);
  Gpt start = small_gpt();
  std::vector<Pair> pairs{{0, {1, 2}, {3, 4}, {5, 6}, 1.0}};
  auto margin = [&](double confidence, int64_t epochs) {
    Gpt model = start;
    pairs[0].confidence = confidence;
    Generator g(0);
    StoredLogProbs before = stored_log_probs(model, pairs);
    train_on_pairs(model, pairs, {.loss = dpo(0.5), .epochs = epochs, .batch = 1, .adam = {.lr = 0.02, .weight_decay = 0}}, g);
    StoredLogProbs after = stored_log_probs(model, pairs);
    return 0.5 * ((after.chosen[0] - before.chosen[0]) - (after.rejected[0] - before.rejected[0]));
  };
  double certain = margin(1, 150), soft = margin(0.8, 150), even = margin(0.5, 150), reversed = margin(0.2, 150);
  CHECK(soft == Approx(std::log(4.0)).epsilon(0.02));
  CHECK(reversed == Approx(-std::log(4.0)).epsilon(0.02));
  CHECK(std::abs(even) < 0.05);
  CHECK(certain > soft + 1);
}

TEST_CASE("train_on_pairs: at the first step policy and reference agree, so the loss is ln 2 for every confidence") {
  manual_seed(7);
  Gpt model = small_gpt(2);
  std::vector<Pair> pairs{{0, {1, 2}, {3, 4, 0}, {5}, 0.9}, {1, {2}, {3}, {5, 1, 1}, 0.3}, {2, {6, 6, 6}, {1, 2}, {2, 1}, 1}};
  PairBatch batch = pair_batch(pairs, stored_log_probs(model, pairs), {2, 0, 1});
  CHECK(to_vector<float>(batch.confidence) == std::vector<float>{1, 0.9f, 0.3f});
  PairLogProbs policy = policy_log_probs(model, batch.answers);
  CHECK(to_vector<int64_t>(policy.chosen_length) == std::vector<int64_t>{2, 3, 1});
  CHECK(to_vector<int64_t>(policy.rejected_length) == std::vector<int64_t>{2, 1, 3});
  CHECK(preference_loss(policy, batch.reference, dpo(), batch.confidence).item() == Approx(std::log(2.0)).epsilon(1e-6));
}

TEST_CASE("train_on_pairs: no pairs and broken losses are errors of one line") {
  Gpt model = small_gpt();
  Generator g(0);
  CHECK_THROWS_WITH_AS(train_on_pairs(model, {}, {}, g), "preference: there are no preference pairs to train on", ValueError);
  CHECK_THROWS_WITH_AS(train_on_pairs(model, {}, {.epochs = 0}, g), "preference: epochs and batch must be at least 1, they are 0 and 32",
                       ValueError);
  CHECK_THROWS_WITH_AS(train_on_pairs(model, {}, {.warmup = 1}, g), "preference: the warm-up must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(train_on_pairs(model, {}, {.clip = 0}, g), "preference: the norm to clip at must be positive, it is 0", ValueError);
}

TEST_CASE("SelfRewarding: a round scores as it says, trains, and moves on; the same seed gives the same model") {
  manual_seed(8);
  Gpt m0 = small_gpt(), m1 = small_gpt();
  std::vector<Tokens> prompts{{1, 2}, {3, 4}, {5, 6}, {2, 2}};
  RoundOptions o{
      .answers = 4, .sampling = {.longest = 3}, .limits = {.shortest = 1}, .training = {.epochs = 2, .batch = 2, .adam = {.lr = 1e-2}}};
  auto two_rounds = [&](Gpt& second) {
    SelfRewarding<Gpt> loop(m0, m1);
    Generator g(9);
    RoundReport first = loop.round(prompts, constant_confidence(0.9), o, g);
    second = loop.current();
    RoundReport next = loop.round(prompts, constant_confidence(0.9), o, g);
    return std::tuple{first, next, loop.current()};
  };
  Gpt m2 = m0, other = m0;
  auto [first, next, m3] = two_rounds(m2);
  REQUIRE(first.judged.size() == 4);
  CHECK(first.mean_confidence == Approx(0.9));
  for (size_t k = 0; k < 4; ++k) {
    Answer a{prompts[1], first.judged[1].answers[k]}, b{prompts[2], next.judged[2].answers[k]};
    CHECK(first.judged[1].current[k] == Approx(log_prob_alone(m1, a) - log_prob_alone(m0, a)).epsilon(1e-4));
    CHECK(first.judged[1].previous[k] == Approx(log_prob_alone(m0, a) / static_cast<double>(a.text.size())).epsilon(1e-4));
    CHECK(std::abs(next.judged[2].current[k] - (log_prob_alone(m2, b) - log_prob_alone(m1, b))) < 1e-4);
    CHECK(std::abs(next.judged[2].previous[k] - (log_prob_alone(m1, b) - log_prob_alone(m0, b))) < 1e-4);
  }
  auto again = two_rounds(other);
  for (const auto& [name, value] : m3.state()) {
    CHECK_MESSAGE(to_vector(value) == to_vector(std::get<2>(again).state().at(name)), name);
    CHECK_MESSAGE(to_vector(value) != to_vector(m1.state().at(name)), name);
  }
}

TEST_CASE("SelfRewarding: against the pretrained model, rewards are ratios to M0 in every round") {
  manual_seed(8);
  Gpt m0 = small_gpt(), m1 = small_gpt();
  std::vector<Tokens> prompts{{1, 2}, {3, 4}, {5, 6}, {2, 2}};
  RoundOptions o{.answers = 4,
                 .reference = RewardReference::pretrained,
                 .sampling = {.longest = 3},
                 .limits = {.shortest = 1},
                 .training = {.epochs = 2, .batch = 2, .adam = {.lr = 1e-2}}};
  SelfRewarding<Gpt> loop(m0, m1);
  Generator g(9);
  loop.round(prompts, constant_confidence(1), o, g);
  Gpt m2 = loop.current();
  loop.round(prompts, constant_confidence(1), o, g);
  Gpt m3 = loop.current();
  std::vector<Judged> third = loop.judge(prompts, o, g);
  for (size_t k = 0; k < 4; ++k) {
    Answer a{prompts[1], third[1].answers[k]};
    CHECK(std::abs(third[1].current[k] - (log_prob_alone(m3, a) - log_prob_alone(m0, a))) < 1e-4);
    CHECK(std::abs(third[1].previous[k] - (log_prob_alone(m2, a) - log_prob_alone(m0, a))) < 1e-4);
  }
}

TEST_CASE("SelfRewarding: a reward from outside takes the place of the model's own") {
  manual_seed(10);
  Gpt m0 = small_gpt(), m1 = small_gpt();
  SelfRewarding<Gpt> loop(m0, m1);
  Generator g(11);
  auto fives = [](const Tokens&, const std::vector<Tokens>& answers) {
    std::vector<double> out;
    for (const Tokens& y : answers) out.push_back(static_cast<double>(std::count(y.begin(), y.end(), 5)));
    return out;
  };
  std::vector<Tokens> prompts;
  for (int32_t i = 0; i < 20; ++i) prompts.push_back({i % 7, i / 7});
  RoundOptions o{.sampling = {.longest = 3}, .limits = {.shortest = 1}, .training = {.epochs = 4, .batch = 8, .adam = {.lr = 1e-2}}};
  auto count = [&](const std::vector<Judged>& judged) {
    double total = 0;
    for (const Judged& j : judged)
      for (double r : j.current) total += r;
    return total;
  };
  double before = count(loop.round(prompts, constant_confidence(1), o, g, fives).judged);
  for (int i = 0; i < 2; ++i) loop.round(prompts, constant_confidence(1), o, g, fives);
  CHECK(count(loop.judge(prompts, o, g, fives)) > 1.5 * before);
}
