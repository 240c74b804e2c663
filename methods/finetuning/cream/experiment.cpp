// Self-rewarding rounds on a task whose truth is known: sorting three symbols. A small causal transformer answers, ranks its own answers
// and is trained on them, with labels trusted fully, to a constant degree, at random, or as far as two rounds' rankings agree.
#include "methods/experiment.h"

#include <array>
#include <cmath>

#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/finetuning/cream/cream.h"
#include "methods/finetuning/cream/sorting.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/preference/self_rewarding.h"
#include "models/transformer/gpt.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::cream {
namespace {

using preference::Tokens;
using transformer::Gpt;

constexpr double kCorruption = 0.6;                              // of the symbols of the answers that M0 sees
constexpr double kPretrainedAccuracy = 20, kTunedAccuracy = 60;  // where M0 and M1 stop (%)
constexpr int64_t kLook = 5;                                     // steps between two looks at it
constexpr double kSftRate = 3e-3;
// Chosen on the oracle alone, on a seed that is not reported: see the README.
constexpr double kBeta = 0.5, kRate = 1e-4;
constexpr int64_t kEpochs = 4, kRounds = 3;

struct Work {
  int64_t pretraining, tuning;  // steps at the most
  size_t unlabelled;
  int64_t rounds;
};
Work work_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {60, 20, 64, 2};
  return {cell.pick<int64_t>(0, 400, 400), cell.pick<int64_t>(0, 300, 300), 256, kRounds};
}

// -- the models that all variants of a seed begin with ------------------------------------------------

struct Problem {
  SortingPrompts prompts;
  Gpt pretrained, tuned;
};

struct Accuracy {
  double exact, token;  // %
};
Accuracy accuracy(Gpt& model, const std::vector<Tokens>& prompts) {
  preference::Evaluating<Gpt> evaluating(model);
  Generator unused(0);
  auto answers =
      preference::sample_answers(model, prompts, {.sampling = {.temperature = 0, .end_token = kEnd}, .longest = kLength + 1}, unused);
  Accuracy out{0, 0};
  for (size_t i = 0; i < prompts.size(); ++i) {
    double right = token_accuracy(prompts[i], answers[i]);
    out.exact += 100 * (right == 1) / static_cast<double>(prompts.size());
    out.token += 100 * right / static_cast<double>(prompts.size());
  }
  return out;
}

// The mean cross-entropy of answer tokens.
Tensor answer_loss(Gpt& model, const std::vector<preference::Answer>& answers) {
  preference::AnswerBatch batch = preference::answer_batch(answers, kEnd);
  Tensor log_prob = preference::sequence_log_prob(model(batch.tokens), batch.target, batch.mask);
  return -sum(log_prob) / sum(to(batch.mask, f32));
}

void step(optim::Adam& adam, const Tensor& loss) {
  adam.zero_grad();
  loss.backward();
  optim::clip_grad_norm(adam.parameters(), 1);
  adam.step();
}

std::vector<preference::Answer> draw(const std::vector<Tokens>& prompts, size_t count, double corruption, Generator& g) {
  std::vector<preference::Answer> out;
  for (size_t i = 0; i < count; ++i) {
    const Tokens& prompt = prompts[g.next_below(prompts.size())];
    out.push_back({prompt, corrupted(sorted_answer(prompt), corruption, g)});
  }
  return out;
}

// Trains until the model sorts so many of the prompts, but for kLook steps at least and `most` at the most.
template <typename Loss>
void train_until(Gpt& model, double wanted, const std::vector<Tokens>& prompts, int64_t most, Loss&& loss) {
  optim::Adam adam(model.parameters(), {.lr = kSftRate});
  for (int64_t k = 0; k < most; ++k) {
    if (k > 0 && k % kLook == 0 && accuracy(model, prompts).exact >= wanted) return;
    step(adam, loss());
  }
}

// M0 has seen answers to all prompts but the test's, most of their symbols wrong, until it sorts a fifth of the unlabelled prompts (the
// wrong symbols are everywhere else, so with time it would sort them all); M1 right answers to the seed prompts, until it sorts 60 %.
Problem make_problem(const Work& work) {
  Generator& g = default_generator();
  SortingPrompts prompts = deal_prompts(100, work.unlabelled, g);
  Gpt model({.vocab = kVocab, .layers = 1, .heads = 4, .width = 32, .context = 8, .bias = true});
  std::vector<Tokens> known = prompts.seed;
  known.insert(known.end(), prompts.unlabelled.begin(), prompts.unlabelled.end());
  train_until(model, kPretrainedAccuracy, prompts.unlabelled, work.pretraining,
              [&] { return answer_loss(model, draw(known, 64, kCorruption, g)); });
  Gpt tuned = model;
  train_until(tuned, kTunedAccuracy, prompts.unlabelled, work.tuning, [&] { return answer_loss(tuned, draw(prompts.seed, 16, 0, g)); });
  return {prompts, model, tuned};
}

// -- rounds -------------------------------------------------------------------------------------------

// Rewards are against M0, except in the variants "against M(t-1)".
preference::RoundOptions round_options(const Cell& cell) {
  bool previous = cell.is("SRLM, against M(t-1)") || cell.is("CREAM, against M(t-1)");
  preference::RoundOptions o;
  o.answers = 5;
  o.reference = previous ? preference::RewardReference::previous : preference::RewardReference::pretrained;
  o.sampling = {.sampling = {.temperature = 0.8, .top_p = 0.95, .end_token = kEnd}, .longest = kLength + 1};
  o.training = {.loss = preference::dpo(kBeta), .epochs = kEpochs, .batch = 16, .adam = {.lr = kRate, .weight_decay = 0.01}};
  return o;
}

// How many of the pairs whose answers differ in truth are labelled rightly (%): half if there are none.
double right_labels(const std::vector<preference::Pair>& pairs) {
  double right = 0, wrong = 0;
  for (const auto& p : pairs) {
    double chosen = token_accuracy(p.question, p.chosen), rejected = token_accuracy(p.question, p.rejected);
    right += chosen > rejected, wrong += chosen < rejected;
  }
  return right + wrong > 0 ? 100 * right / (right + wrong) : 50;
}

struct Round {
  Accuracy test;
  double right_labels, mean_consistency, mean_confidence;
};

std::vector<double> true_reward(const Tokens& prompt, const std::vector<Tokens>& answers) {
  std::vector<double> out;
  for (const Tokens& y : answers) out.push_back(token_accuracy(prompt, y));
  return out;
}

// The rounds of one variant. `confidence` is asked for once a round.
std::vector<Round> run_rounds(Cell& cell, const Problem& problem, const preference::LabelConfidence& confidence, bool oracle,
                              int64_t rounds) {
  Generator g(cell.seed() ^ 0xc2ea);
  preference::SelfRewarding<Gpt> loop(problem.pretrained, problem.tuned);
  std::vector<Round> out;
  for (int64_t t = 0; t < rounds; ++t) {
    preference::RoundReport report = loop.round(problem.prompts.unlabelled, confidence, round_options(cell), g,
                                                oracle ? preference::Reward(true_reward) : preference::Reward{});
    out.push_back({accuracy(loop.current(), problem.prompts.test), right_labels(report.pairs), mean_consistency(report.judged),
                   report.mean_confidence});
    cell.progress(static_cast<double>(t + 1) / static_cast<double>(rounds));
  }
  return out;
}

// The model after SFT, which trains no more: what the first round finds.
std::vector<Round> without_rounds(Cell& cell, const Problem& problem, Accuracy start, int64_t rounds) {
  Generator g(cell.seed() ^ 0xc2ea);
  preference::SelfRewarding<Gpt> loop(problem.pretrained, problem.tuned);
  auto judged = loop.judge(problem.prompts.unlabelled, round_options(cell), g);
  auto pairs = preference::make_pairs(judged, preference::constant_confidence(1));
  return std::vector<Round>(static_cast<size_t>(rounds), {start, right_labels(pairs), mean_consistency(judged), 1});
}

std::vector<Round> cream_rounds(Cell& cell, const Problem& problem, int64_t rounds) {
  return *cell.shared("rounds of CREAM", [&] { return run_rounds(cell, problem, ranking_consistency(), false, rounds); });
}

double mean_confidence(const std::vector<Round>& rounds) {
  double total = 0;
  for (const Round& r : rounds) total += r.mean_confidence / static_cast<double>(rounds.size());
  return total;
}

std::vector<Round> rounds_of(Cell& cell, const Problem& problem, Accuracy start, int64_t rounds) {
  Generator random(cell.seed() ^ 0x5eed);
  auto with = [&](const preference::LabelConfidence& confidence) {
    return run_rounds(cell, problem, confidence, cell.is("oracle reward"), rounds);
  };
  if (cell.is("SFT")) return without_rounds(cell, problem, start, rounds);
  if (cell.is("C = 0.9")) return with(preference::constant_confidence(0.9));
  if (cell.is("C = 0.8")) return with(preference::constant_confidence(0.8));
  if (cell.is("C of CREAM, constant")) return with(preference::constant_confidence(mean_confidence(cream_rounds(cell, problem, rounds))));
  if (cell.is("random C")) return with(random_confidence(random));
  if (cell.is("CREAM")) return cream_rounds(cell, problem, rounds);
  if (cell.is("CREAM, against M(t-1)")) return with(ranking_consistency());
  if (cell.is("CREAM, each prompt")) return with(ranking_consistency(Level::prompt));
  if (cell.is("CREAM, Spearman")) return with(ranking_consistency(Level::set, Agreement::spearman));
  if (cell.is("CREAM, top order")) return with(ranking_consistency(Level::set, Agreement::top_order));
  return with(preference::constant_confidence(1));  // SRLM, against either model, and the oracle
}

void run(Cell& cell) {
  Work work = work_of(cell);
  auto problem = cell.shared("models", [&] { return make_problem(work); });
  Gpt tuned = problem->tuned;
  Accuracy start = accuracy(tuned, problem->prompts.test);
  std::vector<Round> rounds = rounds_of(cell, *problem, start, work.rounds);
  const Round& last = rounds.back();
  cell.metric("exact accuracy (%)", last.test.exact);
  cell.metric("gain over SFT (points)", last.test.exact - start.exact);
  cell.metric("token accuracy (%)", last.test.token);
  cell.metric("pairs labelled rightly (%)", last.right_labels);
  cell.metric("consistency, first round", rounds.front().mean_consistency);
  cell.metric("consistency, last round", last.mean_consistency);
  cell.point("exact accuracy on test prompts (%)", "rounds", 0, start.exact);
  cell.point("token accuracy on test prompts (%)", "rounds", 0, start.token);
  for (size_t t = 0; t < rounds.size(); ++t) {
    auto at = static_cast<double>(t + 1);
    cell.point("exact accuracy on test prompts (%)", "rounds", at, rounds[t].test.exact);
    cell.point("token accuracy on test prompts (%)", "rounds", at, rounds[t].test.token);
    cell.point("pairs labelled rightly (%)", "rounds", at, rounds[t].right_labels);
    cell.point("consistency of two rounds' rankings", "rounds", at, rounds[t].mean_consistency);
    cell.point("mean label confidence", "rounds", at, rounds[t].mean_confidence);
  }
}

}  // namespace

Experiment experiment() {
  return {.title = "CREAM",
          .paper = "Wang et al.: CREAM: Consistency Regularized Self-Rewarding Language Models, ICLR 2025",
          .claim = "over self-rewarding rounds accuracy keeps rising, where labels trusted fully let it stagnate or fall",
          .metrics = {{"exact accuracy (%)"},
                      {"gain over SFT (points)"},
                      {"token accuracy (%)"},
                      {"pairs labelled rightly (%)"},
                      {"consistency, first round", Better::neither},
                      {"consistency, last round", Better::neither}},
          .variants = {{"SFT", "M1, which all others begin with"},
                       {"oracle reward", "answers ranked by the truth, C = 1"},
                       {"SRLM", "answers ranked by the model itself, C = 1"},
                       {"C = 0.9", "SRLM with constant label smoothing"},
                       {"C = 0.8", "SRLM with constant label smoothing"},
                       {"C of CREAM, constant", "SRLM with the mean C that CREAM had on the same seed"},
                       {"random C", "CREAM without RC: C from U[0, 1) for each prompt"},
                       {"CREAM, Spearman", "ρ in place of τ"},
                       {"CREAM, top order", "C_j = 1 if best and worst answer agree, else 0; the mean of all"},
                       {"SRLM, against M(t-1)", "an answer's reward is its gain in likelihood over the last round, not over M0"},
                       {"CREAM, against M(t-1)", "the same with the mean C"},
                       {"CREAM, each prompt", "C_j for each prompt (\"dyn\")"},
                       {"CREAM", "the mean C of the round"}},
          .baseline = "SRLM",
          .method = "CREAM",
          .run = run};
}

}  // namespace plumb::methods::cream
