// Modular addition with redrawn labels: accuracy against steps and against corruption, phases, and what pruning periodic or memorising
// neurons takes away, for each way of regularising.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/generator.h"
#include "methods/regularization/corrupted_grokking/corrupted_grokking.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::corrupted_grokking {
namespace {

// What a variant adds to AdamW without decay on the full batch.
struct Recipe {
  Variant variant;
  double decay = 0, dropout = 0;
  bool batch_norm = false;
  int64_t batch = 0;    // 0: the whole training part in every step
  bool larger = false;  // on a larger table with more wrong labels
};

constexpr const char* kPlain = "no regularisation";
constexpr const char* kMethod = "weight decay 15";

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all{
      {{kPlain, "AdamW without decay, full batches"}},
      {{"weight decay 5", "decoupled"}, 5},
      {{kMethod, "decoupled"}, 15},
      {{"weight decay 20", "decoupled"}, 20},
      {{"dropout 0.3", "before the square"}, 0, 0.3},
      {{"dropout 0.5", "before the square"}, 0, 0.5},
      {{"dropout 0.6", "before the square"}, 0, 0.6},
      {{"batch norm", "after the square"}, 0, 0, true},
      {{"batches of 64", "the noise of small batches, rate ½ that of full ones"}, 0, 0, false, 64},
      {{"no regularisation, p = 97", "half of a larger table, 35 % of its labels redrawn"}, 0, 0, false, 0, true}};
  return all;
}

const Recipe& recipe_of(const Cell& cell) {
  return *std::ranges::find_if(recipes(), [&](const Recipe& r) { return cell.is(r.variant.name); });
}

// A task and how long all variants train on it.
struct Setting {
  int64_t modulus, width;
  double train, corruption;
  int64_t steps;  // of full batches; 256/B times as many of B examples
};

// Calls look(step of `steps`) before the first step, and after every step.
template <typename Look>
QuadraticMlp train(const Recipe& r, const Setting& s, const CorruptedTable& table, Look&& look) {
  QuadraticMlp network({.modulus = s.modulus, .width = s.width, .dropout = r.dropout, .batch_norm = r.batch_norm});
  bool whole = r.batch == 0 || r.batch >= table.train.size();
  int64_t n = table.train.size(), steps = whole ? s.steps : s.steps * 256 / r.batch;
  double lr = whole ? 1e-2 : 1e-2 * std::sqrt(std::min(1.0, static_cast<double>(r.batch) / 256));
  optim::AdamW adamw(network.parameters(), {.lr = lr, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = r.decay});
  Tensor order;
  int64_t place = n;
  for (int64_t step = 0; step < steps; ++step) {
    look(network, step, steps);
    Tensor pairs = table.train.pairs, labels = table.train.labels;
    if (!whole) {
      if (place + r.batch > n) order = randperm(n), place = 0;  // the ragged last batch is left out
      Tensor batch = narrow(order, 0, place, r.batch);
      place += r.batch;
      pairs = index_select(pairs, 0, batch);
      labels = index_select(labels, 0, batch);
    }
    adamw.zero_grad();
    one_hot_error(network(pairs), labels).backward();
    adamw.step();
  }
  look(network, steps, steps);
  return network;
}

// -- the phases in detail -----------------------------------------------------------------------------------------

constexpr double kPruned = 0.3;  // of the neurons, for the table

void draw_steps(Cell& cell, double step, const GrokReport& r) {
  cell.point("test accuracy (%)", "steps (of full batches)", step, 100 * r.test);
  cell.point("training accuracy, labels as given (%)", "steps (of full batches)", step, 100 * r.train);
  cell.point("wrong labels memorised (%)", "steps (of full batches)", step, 100 * r.corrupted);
  cell.point("truth on corrupted examples (%)", "steps (of full batches)", step, 100 * r.corrupted_true);
}

void draw_pruning(Cell& cell, const std::string& order, const PruneCurve& curve) {
  for (size_t i = 0; i < curve.share.size(); ++i) {
    cell.point("test accuracy, pruned " + order + " (%)", "neurons pruned (%)", 100 * curve.share[i], 100 * curve.reports[i].test);
    cell.point("wrong labels memorised, pruned " + order + " (%)", "neurons pruned (%)", 100 * curve.share[i],
               100 * curve.reports[i].corrupted);
  }
}

// Shares of the neurons by their ratio, in tenths; and, of a network with batch norm, how much it amplifies them.
void draw_neurons(Cell& cell, const QuadraticMlp& network, const std::vector<double>& ipr) {
  std::array<double, 10> count{}, amplified{};
  std::vector<double> gamma;
  if (network.norm) gamma = to_vector(network.norm->weight);
  for (size_t k = 0; k < ipr.size(); ++k) {
    if (std::isnan(ipr[k])) continue;
    auto bin = std::min<size_t>(static_cast<size_t>(10 * ipr[k]), 9);
    ++count[bin];
    if (!gamma.empty()) amplified[bin] += std::abs(gamma[k]);
  }
  for (size_t b = 0; b < count.size(); ++b) {
    double middle = 0.05 + 0.1 * static_cast<double>(b);
    cell.point("neurons (%)", "inverse participation ratio", middle, 100 * count[b] / static_cast<double>(ipr.size()));
    if (!gamma.empty() && count[b] > 0)
      cell.point("mean |γ| of batch norm", "inverse participation ratio", middle, amplified[b] / count[b]);
  }
}

// NaN for a network whose neurons are all 0 becomes 0: none is periodic.
double periodic_share(const std::vector<double>& ipr) {
  return static_cast<double>(std::ranges::count_if(ipr, [](double v) { return v > 0.5; })) / static_cast<double>(ipr.size());
}

void run_phases(Cell& cell, const Setting& s, double share) {
  auto table = cell.shared(fmt::format("table {}", s.modulus), [&] {
    return corrupted_table({.modulus = s.modulus, .train = s.train, .corruption = s.corruption, .seed = cell.seed()});
  });
  manual_seed(cell.seed());  // all variants start alike
  GrokReport last;
  auto look = [&](QuadraticMlp& network, int64_t step, int64_t steps) {
    int64_t every = std::max<int64_t>(1, steps / 40);
    if (step % every != 0 && step != steps) return;
    double done = static_cast<double>(step) / static_cast<double>(steps);
    last = report(network, *table);
    draw_steps(cell, done * static_cast<double>(s.steps), last);
    cell.progress(share * done);
  };
  QuadraticMlp network = train(recipe_of(cell), s, *table, look);
  cell.metric("test accuracy (%)", 100 * last.test);
  cell.metric("training accuracy (%)", 100 * last.train);
  cell.metric("wrong labels memorised (%)", 100 * last.corrupted);
  cell.metric("truth on corrupted examples (%)", 100 * last.corrupted_true);

  std::vector<double> ipr = neuron_ipr(network);
  draw_neurons(cell, network, ipr);
  std::vector<int64_t> forward = ascending(ipr), reverse(forward.rbegin(), forward.rend());
  std::vector<int64_t> random = to_vector<int64_t>(randperm(network.width()));
  int64_t points = cell.pick<int64_t>(2, 10, 50), gone = static_cast<int64_t>(kPruned * static_cast<double>(network.width()));
  draw_pruning(cell, "least periodic first", prune_curve(network, forward, *table, points));
  draw_pruning(cell, "most periodic first", prune_curve(network, reverse, *table, points));
  draw_pruning(cell, "in random order", prune_curve(network, random, *table, points));
  QuadraticMlp without_memory = pruned(network, forward, gone), without_rule = pruned(network, reverse, gone);
  GrokReport kept = report(without_memory, *table), lost = report(without_rule, *table);
  cell.metric("periodic neurons (%)", 100 * periodic_share(ipr));
  cell.metric("test, 30 % least periodic pruned (%)", 100 * kept.test);
  cell.metric("memorised, 30 % least periodic pruned (%)", 100 * kept.corrupted);
  cell.metric("test, 30 % most periodic pruned (%)", 100 * lost.test);
  cell.metric("memorised, 30 % most periodic pruned (%)", 100 * lost.corrupted);
}

// -- the phase diagram --------------------------------------------------------------------------------------------

// Red, green, blue of a phase, in [0, 1].
std::array<double, 3> colour_of(Phase phase) {
  switch (phase) {
    case Phase::memorisation:
      return {0.85, 0.37, 0.25};
    case Phase::coexistence:
      return {0.95, 0.78, 0.25};
    case Phase::partial_inversion:
      return {0.55, 0.75, 0.45};
    case Phase::full_inversion:
      return {0.15, 0.50, 0.30};
    case Phase::forgetting:
      return {0.30, 0.30, 0.35};
    case Phase::confusion:
      return {0.75, 0.75, 0.78};
  }
  return {};
}

struct Diagram {
  Setting setting;  // its shares are replaced by those of the axes
  std::vector<double> train, corruption;
};

std::vector<double> axis(double from, double to, int64_t count) {
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(from + (to - from) * static_cast<double>(i) / static_cast<double>(std::max<int64_t>(count - 1, 1)));
  return out;
}

// One end of training for each pair of shares; a picture with a square each, corruption to the right, training shares upwards, and for the
// largest training share the accuracies against corruption.
void run_diagram(Cell& cell, const Diagram& d, double done) {
  auto rows = static_cast<int64_t>(d.train.size()), columns = static_cast<int64_t>(d.corruption.size());
  std::vector<double> pixels(static_cast<size_t>(3 * rows * columns));
  double largest = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      Setting s = d.setting;
      s.train = d.train[static_cast<size_t>(rows - 1 - row)];
      s.corruption = d.corruption[static_cast<size_t>(column)];
      auto table = cell.shared(fmt::format("table {:.4f} {:.4f}", s.train, s.corruption), [&] {
        return corrupted_table({.modulus = s.modulus, .train = s.train, .corruption = s.corruption, .seed = cell.seed()});
      });
      manual_seed(cell.seed());
      QuadraticMlp network = train(recipe_of(cell), s, *table, [](QuadraticMlp&, int64_t, int64_t) {});
      GrokReport r = report(network, *table);
      std::array<double, 3> colour = colour_of(classify(r));
      for (size_t c = 0; c < 3; ++c)
        pixels[c * static_cast<size_t>(rows * columns) + static_cast<size_t>(row * columns + column)] = colour[c];
      if (row == 0) {
        cell.point("test accuracy against corruption (%)", "labels redrawn (%)", 100 * s.corruption, 100 * r.test);
        cell.point("training accuracy against corruption (%)", "labels redrawn (%)", 100 * s.corruption, 100 * r.train);
        cell.point("wrong labels memorised against corruption (%)", "labels redrawn (%)", 100 * s.corruption, 100 * r.corrupted);
        if (r.test >= 0.9) largest = std::max(largest, s.corruption);
      }
      cell.progress(done + (1 - done) * static_cast<double>(row * columns + column + 1) / static_cast<double>(rows * columns));
    }
  cell.metric("most corruption generalised from (%)", 100 * largest);
  Tensor picture = reshape(to(from_vector(pixels), f32), {1, 3, rows, columns});
  cell.picture("phases by redrawn labels and training share", train::image_grid(picture, {.zoom = cell.pick<int64_t>(8, 24, 16)}));
}

void run(Cell& cell) {
  Setting phases{.modulus = cell.pick<int64_t>(7, 53, 97),
                 .width = cell.pick<int64_t>(24, 500, 500),
                 .train = cell.pick(0.6, 0.6, 0.5),
                 .corruption = cell.pick(0.2, 0.2, 0.35),
                 .steps = cell.pick<int64_t>(30, 400, 1000)};
  if (recipe_of(cell).larger)
    phases = {.modulus = cell.pick<int64_t>(11, 97, 97),
              .width = phases.width,
              .train = 0.5,
              .corruption = 0.35,
              .steps = cell.pick<int64_t>(30, 600, 1000)};
  Diagram diagram{.setting = {.modulus = cell.pick<int64_t>(5, 31, 97),
                              .width = cell.pick<int64_t>(16, 256, 500),
                              .train = 0,
                              .corruption = 0,
                              .steps = cell.pick<int64_t>(15, 300, 2000)},
                  .train = cell.pick<std::vector<double>>({0.6, 0.8}, {0.7, 0.8, 0.9}, axis(0.1, 0.9, 17)),
                  .corruption = cell.pick<std::vector<double>>({0, 0.4}, {0, 0.1, 0.2, 0.3, 0.4}, axis(0.1, 0.9, 17))};
  run_phases(cell, phases, 0.6);
  run_diagram(cell, diagram, 0.6);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Corrupted grokking";
  e.paper =
      "Doshi, Das, He, Gromov: To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic datasets, "
      "ICLR 2024";
  e.claim =
      "a network can memorise every wrong label and still generalise; its memorising neurons are the ones that are not periodic, and "
      "weight "
      "decay or dropout make it unlearn the wrong labels";
  e.metrics = {{"test accuracy (%)"},
               {"training accuracy (%)", Better::neither},
               {"wrong labels memorised (%)", Better::lower},
               {"truth on corrupted examples (%)"},
               {"periodic neurons (%)"},
               {"test, 30 % least periodic pruned (%)"},
               {"memorised, 30 % least periodic pruned (%)", Better::lower},
               {"test, 30 % most periodic pruned (%)", Better::neither},
               {"memorised, 30 % most periodic pruned (%)", Better::neither},
               {"most corruption generalised from (%)"}};
  for (const Recipe& r : recipes()) e.variants.push_back(r.variant);
  e.baseline = kPlain;
  e.method = kMethod;
  e.run = run;
  return e;
}

}  // namespace plumb::methods::corrupted_grokking
