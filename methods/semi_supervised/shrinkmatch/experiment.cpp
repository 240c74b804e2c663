// ShrinkMatch on 8×8 digits with two labels and with one label a class: is it the smaller class space that helps, or just using more
// examples?
#include <fmt/format.h>

#include <cmath>

#include "engine/data/digits/digits.h"
#include "methods/common/small_cnn.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/shrinkmatch/shrinkmatch.h"

namespace plumb::methods::shrinkmatch {
namespace {

constexpr int64_t kClasses = 10;

// The backbone with its two heads. Variants that have no use for the auxiliary head leave it as it is.
struct TwoHeads : nn::Module {
  SmallCnn backbone{};
  AuxHead auxiliary{64, kClasses};
  TwoHeads() {
    register_module("backbone", backbone);
    register_module("auxiliary", auxiliary);
  }
  Tensor features(const Tensor& images) const { return backbone.features(images); }
  Tensor head(const Tensor& features) const { return backbone.head(features); }
  Tensor operator()(const Tensor& images) const { return backbone(images); }
};

struct Problem {
  SemiData data;
  TwoHeads initial;
  uint64_t seed;
};

Problem make_problem(int64_t per_class) {
  Generator& g = default_generator();
  auto digits = data::digits();
  SemiData data = semi_split(digits.train(), digits.test(), per_class, g);
  return {std::move(data), TwoHeads(), g.next_u64()};
}

ShrinkMatchOptions options_of(const Cell& cell) {
  ShrinkMatchOptions o{.progress_decay = 0.99};
  o.shrink = !cell.is("no shrinking");
  o.auxiliary = !cell.is("ShrinkMatch, main head");
  o.sample_weight = !cell.is("ShrinkMatch, w = 1");
  o.progress_weight = !cell.is("ShrinkMatch, ρ = 1");
  if (cell.is("ShrinkMatch, aligned")) o.alignment = Alignment::queue, o.hard = false;
  return o;
}

FixMatchOptions fixmatch_of(const Cell& cell) {
  FixMatchOptions o;
  if (cell.is("FixMatch, θ = 0.7")) o.threshold = 0.7;
  if (cell.is("FlexMatch")) o.flexible = true;
  if (cell.is("FixMatch, aligned")) o.alignment = Alignment::queue, o.hard = false;
  return o;
}

// What training measured beside accuracy; means over the second half of training, when the network has settled.
struct Usage {
  double accuracy = 0, certain = 0, used = 0;
  double kept = 0;
  int64_t count = 0;
  void add(const SemiProgress& p, int64_t steps) {
    accuracy = p.accuracy;
    if (2 * p.step <= steps) return;
    ++count;
    certain += p.certain;
    used += p.used;
  }
};

// Kept classes of the used uncertain rows and how often their labels are right, between two evaluations.
struct Uncertain {
  UtilisationMeter meter;
  double removed_late = 0;
  int64_t late = 0;
};

class Run {
 public:
  Run(Cell& cell, const char* level, double from, int64_t steps) : cell_(cell), level_(level), from_(from), steps_(steps) {}

  void operator()(const SemiProgress& p) {
    usage.add(p, steps_);
    auto at = static_cast<double>(p.step);
    auto draw = [&](const char* what, double value) {
      if (std::isfinite(value)) cell_.point(fmt::format("{}, {} (%)", what, level_), "steps", at, value);
    };
    draw("test accuracy", p.accuracy);
    if (!cell_.is("supervised")) {
      draw("unlabelled examples used", p.used);
      draw("certain examples", p.certain);
      draw("labels of used examples right", p.label_accuracy);
      draw("labels of used uncertain examples right", 100 * uncertain.meter.accuracy());
    }
    uncertain.meter.reset();
    cell_.progress(from_ + 0.5 * static_cast<double>(p.step) / static_cast<double>(steps_));
  }

  void note(const ShrinkMatch& method, const SemiStep& step, const SemiBatch& batch, int64_t at) {
    uncertain.meter.add(method.terms().uncertain_weight, step.label, batch.truth);
    if (2 * at < steps_) return;
    uncertain.removed_late += method.terms().mean_removed;
    ++uncertain.late;
  }

  Usage usage;
  Uncertain uncertain;

 private:
  Cell& cell_;
  std::string level_;
  double from_;
  int64_t steps_;
};

bool is_shrinking(const Cell& cell) { return cell.variant().starts_with("ShrinkMatch") || cell.is("no shrinking"); }

void train_variant(Cell& cell, const Problem& problem, const SemiBatchOptions& batches, const SemiTrainOptions& options, Run& run) {
  TwoHeads model = problem.initial;
  SemiBatcher batcher(problem.data, batches);
  if (cell.is("supervised")) {
    train_semi_supervised(model, problem.data, batcher, options, Supervised(), run);
  } else if (!is_shrinking(cell)) {
    train_semi_supervised(model, problem.data, batcher, options, FixMatch(fixmatch_of(cell), problem.data), run);
  } else {
    ShrinkMatch method(options_of(cell), kClasses);
    auto loss = [&](TwoHeads& net, const SemiBatch& batch, int64_t at) {
      SemiStep step = method(net, batch, at);
      run.note(method, step, batch, at);
      return step;
    };
    train_semi_supervised(model, problem.data, batcher, options, loss, run);
  }
}

void run_level(Cell& cell, int64_t per_class, const char* level, double from) {
  auto problem = cell.shared(std::string("digits with ") + level, [&] { return make_problem(per_class); });
  SemiTrainOptions options{.steps = cell.pick<int64_t>(24, 800, 5000), .evaluate_every = cell.pick<int64_t>(12, 50, 250)};
  SemiBatchOptions batches{.ratio = cell.pick<int64_t>(2, 7, 7), .seed = problem->seed};
  if (cell.is("supervised")) batches.ratio = 0;
  Run run(cell, level, from, options.steps);
  train_variant(cell, *problem, batches, options, run);
  const Usage& u = run.usage;
  auto mean = [](double sum, int64_t n) { return n > 0 ? sum / static_cast<double>(n) : 0; };
  cell.metric(fmt::format("test accuracy, {} (%)", level), u.accuracy);
  cell.metric(fmt::format("certain, {} (%)", level), mean(u.certain, u.count));
  cell.metric(fmt::format("used, {} (%)", level), mean(u.used, u.count));
  cell.metric(fmt::format("classes kept, {}", level), static_cast<double>(kClasses) - mean(run.uncertain.removed_late, run.uncertain.late));
}

void run(Cell& cell) {
  run_level(cell, 2, "2 labels a class", 0);
  run_level(cell, 1, "1 label a class", 0.5);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* level : {"2 labels a class", "1 label a class"}) {
    metrics.push_back({fmt::format("test accuracy, {} (%)", level)});
    metrics.push_back({fmt::format("certain, {} (%)", level), Better::neither});
    metrics.push_back({fmt::format("used, {} (%)", level), Better::neither});
    metrics.push_back({fmt::format("classes kept, {}", level), Better::neither});
  }
  return {.title = "ShrinkMatch",
          .paper = "Yang, Zhao, Qi, Qiao, Shi, Zhao: Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning, ICCV 2023",
          .claim =
              "with few labels, training uncertain examples in a class space without their confusion classes is more accurate than "
              "FixMatch, and than using them in the full class space",
          .metrics = metrics,
          .variants = {{"supervised", "the labelled examples alone, weak views"},
                       {"FixMatch", "θ = 0.95, hard labels"},
                       {"FixMatch, θ = 0.7", "uses more examples, without shrinking"},
                       {"FlexMatch", "θ = 0.95 times each class's progress"},
                       {"no shrinking", "uncertain examples in the full class space, same weights, ρ and auxiliary head"},
                       {"ShrinkMatch", "θ = 0.95, hard labels"},
                       {"ShrinkMatch, main head", "without the auxiliary head"},
                       {"ShrinkMatch, w = 1", "without principle 1, the weight of each example"},
                       {"ShrinkMatch, ρ = 1", "without principle 2, the weight by progress"},
                       {"FixMatch, aligned", "distribution alignment over 32 batches, soft labels"},
                       {"ShrinkMatch, aligned", "the same"}},
          .baseline = "FixMatch",
          .method = "ShrinkMatch",
          .run = run};
}

}  // namespace plumb::methods::shrinkmatch
