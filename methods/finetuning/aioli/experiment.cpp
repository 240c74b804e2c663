// Three groups of text for one small language model: verse, film reviews, and sums, soon learned. Who chooses their proportions best?
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "methods/finetuning/aioli/aioli.h"
#include "methods/finetuning/aioli/texts.h"
#include "models/data_mixing/language_learner.h"
#include "models/data_mixing/policies.h"

namespace plumb::methods::aioli {
namespace {

using namespace data_mixing;
using transformer::Gpt;

constexpr double kRho = 0.5, kEta = 0.1, kSkillItEta = 0.05;
constexpr const char* kShort[] = {"verse", "reviews", "sums"};

struct Work {
  int64_t steps, round, batch, width, context, windows, law_rounds, law_steps, proxy, graph, runs, static_runs;
  size_t bytes;
  double rate = 2e-3;
};
Work work_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {24, 12, 8, 16, 16, 4, 1, 2, 6, 4, 4, 2, 6000, 1e-2};
  if (cell.budget() == Budget::full) return {5000, 250, 32, 256, 128, 64, 4, 6, 2500, 500, 12, 5, 1'000'000};
  return {600, 100, 16, 48, 32, 32, 2, 4, 300, 100, 8, 5, 400'000};
}

struct Problem {
  std::shared_ptr<const GroupTexts> texts;
  std::shared_ptr<const Gpt> start;
};

Problem make_problem(const Work& w, bool carried) {
  Texts texts = make_texts(w.bytes, carried, default_generator());
  Gpt start({.vocab = texts.vocab, .layers = w.width >= 256 ? 4 : 1, .heads = 4, .width = w.width, .context = w.context});
  return {std::make_shared<const GroupTexts>(texts.groups), std::make_shared<const Gpt>(start)};
}

LanguageLearner learner_of(const Cell& cell, const Problem& problem, const Work& w, uint64_t stream = 0) {
  LanguageLearnerOptions o{
      .batch = w.batch, .steps = w.steps, .validation_windows = w.windows, .adam = {.lr = w.rate, .weight_decay = 0.01}};
  o.seed = cell.seed() * 1000 + stream;
  return LanguageLearner(problem.texts, problem.start, o);
}

AioliOptions aioli_options(const Cell& cell, const Work& w) {
  AioliOptions o{.eta = kEta, .rho = kRho, .law_rounds = w.law_rounds, .law_steps = w.law_steps, .seed = cell.seed()};
  if (cell.is("Aioli, ema")) o.ema = 0.5;
  if (cell.is("Aioli, diagonal")) o.diagonal = true;
  return o;
}

std::unique_ptr<MixingPolicy> policy_of(const Cell& cell, const Work& w) {
  if (cell.is("mixing law"))
    return std::make_unique<LawMixture>(MixingLawOptions{.runs = w.runs, .run_steps = w.graph, .seed = cell.seed()});
  if (cell.is("Skill-It")) return std::make_unique<SkillIt>(SkillItOptions{.eta = kSkillItEta, .graph_steps = w.graph});
  if (cell.is("DoReMi")) return std::make_unique<DoReMi>(DoReMiOptions{.proxy_steps = w.proxy});
  if (cell.is("DoGE")) return std::make_unique<Doge>(DogeOptions{.proxy_steps = w.proxy});
  if (cell.variant().starts_with("Aioli")) return std::make_unique<Aioli>(aioli_options(cell, w));
  return std::make_unique<StaticMixture>();
}

// The best of some static mixtures by the mean perplexity on validation text: each a whole run, of which the best one is returned.
struct BestStatic {
  MixingRun run;
  Gpt model;
};
BestStatic best_static(Cell& cell, const Problem& problem, const Work& w) {
  Generator generator(cell.seed() ^ 0x57a7);
  std::optional<BestStatic> best;
  double least = INFINITY;
  for (int64_t n = 0; n < w.static_runs; ++n) {
    StaticMixture policy(dirichlet_mixture(static_cast<int64_t>(problem.texts->size()), 1, generator));
    LanguageLearner learner = learner_of(cell, problem, w);
    MixingRun run = train_mixed(learner, policy, {.steps = w.steps, .round = w.round});
    double perplexity = average_perplexity(run.rounds.back().after);
    if (perplexity < least || !best) best.emplace(BestStatic{run, learner.model()}), least = perplexity;
    cell.progress(static_cast<double>(n + 1) / static_cast<double>(w.static_runs));
  }
  best->run.outside = (w.static_runs - 1) * w.steps;
  return *best;
}

void draw_round(Cell& cell, const RoundRecord& r) {
  for (size_t i = 0; i < r.proportions.size(); ++i)
    cell.point("proportions", "training step", static_cast<double>(r.mixed_from), r.proportions[i], kShort[i]);
  cell.point("average validation perplexity", "training step", static_cast<double>(r.to), average_perplexity(r.after));
}

void draw_law(Cell& cell, const Aioli& policy, const MixingRun& run) {
  for (size_t t = 2; t <= run.rounds.size(); ++t) {
    std::vector<Tensor> laws(policy.laws().begin(), policy.laws().begin() + static_cast<int64_t>(t));
    MixingRun part{{run.rounds.begin(), run.rounds.begin() + static_cast<int64_t>(t)}, 0};
    cell.point("correlation of predicted and observed drops so far", "rounds", static_cast<double>(t), law_fidelity(laws, part));
  }
}

void report(Cell& cell, const Problem& problem, const Work& w, const Gpt& model, const MixingRun& run) {
  Shares test = per_group_loss(model, *problem.texts, 2 * w.windows, true);
  cell.metric("average test perplexity", average_perplexity(test));
  for (size_t i = 0; i < test.size(); ++i) {
    cell.metric(std::string("perplexity of ") + kShort[i], std::exp(test[i]));
    cell.point("test loss by text (nats a character)", "group", static_cast<double>(i), test[i], (*problem.texts)[i].name);
  }
  cell.metric("steps of all runs", static_cast<double>(w.steps + run.outside));
}

void run(Cell& cell) {
  Work w = work_of(cell);
  auto problem = cell.shared("texts and model", [&] { return make_problem(w, cell.budget() == Budget::smoke); });
  if (cell.is("best of 5 static")) {
    BestStatic best = best_static(cell, *problem, w);
    for (const RoundRecord& r : best.run.rounds) draw_round(cell, r);
    report(cell, *problem, w, best.model, best.run);
    return;
  }
  LanguageLearner learner = learner_of(cell, *problem, w);
  auto policy = policy_of(cell, w);
  MixingRun result = train_mixed(learner, *policy, {.steps = w.steps, .round = w.round}, [&](const RoundRecord& r) {
    draw_round(cell, r);
    cell.progress(static_cast<double>(r.to) / static_cast<double>(w.steps));
  });
  if (auto* aioli = dynamic_cast<const Aioli*>(policy.get())) draw_law(cell, *aioli, result);
  report(cell, *problem, w, learner.model(), result);
}

}  // namespace

Experiment experiment() {
  return {.title = "Aioli",
          .paper = "Chen, Hu et al.: Aioli: A Unified Optimization Framework for Language Model Data Mixing, ICLR 2025",
          .claim = "proportions chosen by a law that is estimated from the run itself give a lower average test perplexity than equal ones",
          .metrics = {{"average test perplexity", Better::lower},
                      {"perplexity of verse", Better::lower},
                      {"perplexity of reviews", Better::lower},
                      {"perplexity of sums", Better::lower},
                      {"steps of all runs", Better::neither}},
          .variants = {{"stratified", "a third each"},
                       {"best of 5 static",
                        "of five mixtures drawn from a Dirichlet distribution the best on validation text, each a whole run"},
                       {"mixing law", "an exponential law of static mixtures, fitted to eight short runs"},
                       {"Skill-It", "a graph of how much each group helps each, from a short run on each alone"},
                       {"DoReMi", "a proxy's excess loss over a reference, μ = 1"},
                       {"DoGE", "a proxy's gradients against that of a mixed batch"},
                       {"Aioli, ema", "the law's matrix smoothed by 0.5; choices begin anew each round"},
                       {"Aioli, diagonal", "each group's effect on itself alone"},
                       {"Aioli", "weights are multiplied round by round"}},
          .baseline = "stratified",
          .method = "Aioli",
          .run = run};
}

}  // namespace plumb::methods::aioli
