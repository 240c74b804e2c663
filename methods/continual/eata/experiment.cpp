// EATA against no adaptation, batch statistics, Tent and itself without the penalty: six corruptions in a row, and the same under stress.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "methods/continual/eata/problem.h"
#include "models/train/image_grid.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::eata {
namespace {

constexpr double kMargin = 0.4;                            // ε, the paper's for ten classes
constexpr double kStressLr = 2e-2;                         // four times the paper's for CIFAR-10
constexpr std::array kLrs{1.25e-3, 5e-3, 2e-2};            // every adapting variant chooses among these
constexpr double kFirstBeta = 100;                         // with which EATA's learning rate is chosen
constexpr std::array kBetas{1.0, 10.0, 1000.0, 10'000.0};  // and the others to choose from

/// What a variant adapts with.
struct Setting {
  Mode mode = Mode::source;
  double lr = 0, beta = 0;
};

AdapterOptions options_of(const Setting& s) {
  return {.mode = s.mode, .eata = {.d_margin = kMargin, .fisher_weight = s.beta}, .sgd = {.lr = s.lr, .momentum = 0.9}};
}

/// The share of wrong answers, in percent, while the part streams by in batches of 64. A last batch of one is left out: it has no
/// statistics.
double error_on(const Part& part, TestTimeAdapter& adapter, Cell& cell) {
  int64_t wrong = 0, seen = 0, n = part.images.size(0);
  for (int64_t first = 0; first < n; first += 64) {
    int64_t last = std::min(first + 64, n);
    if (last - first < 2) break;
    Tensor answer = argmax(adapter.forward(slice(part.images, 0, first, last)), 1);
    wrong += count_nonzero(answer != slice(part.labels, 0, first, last)).item<int64_t>();
    seen += last - first;
    cell.progress(0.5);
  }
  return 100.0 * static_cast<double>(wrong) / static_cast<double>(seen);
}

double mean_of(const std::vector<double>& v) {
  double total = 0;
  for (double x : v) total += x / static_cast<double>(v.size());
  return total;
}

/// Held-out corruption and held-out clean images in turns, without a reset: the mean of all errors. Long enough that forgetting shows.
double held_out_error(const Problem& problem, const Setting& setting, Cell& cell) {
  SmallNet net = problem.net;
  TestTimeAdapter adapter(net, options_of(setting), problem.fisher);
  std::vector<double> errors;
  for (int round = 0; round < cell.pick(1, 6, 6); ++round)
    for (const Part* part : {&problem.held_out_shift, &problem.held_out_clean}) errors.push_back(error_on(*part, adapter, cell));
  return mean_of(errors);
}

bool adapts(Mode mode) { return mode != Mode::source && mode != Mode::bn; }

/// The setting with the least held-out error: the learning rate among those given, with EATA at a β of 100; then, at that rate, EATA's β.
/// A β whose penalty diverges is not tried.
Setting chosen(const Problem& problem, Mode mode, std::span<const double> lrs, Cell& cell) {
  Setting best{mode, adapts(mode) ? lrs[0] : 0, 0};
  if (!adapts(mode)) return best;
  double least = std::numeric_limits<double>::infinity();
  std::map<std::pair<double, double>, std::pair<double, double>> tried;  // (learning rate, β): step ratio and error, for the charts
  auto try_out = [&](double lr, double beta) {
    Setting setting{mode, lr, beta};
    double ratio = anchor_step_ratio(lr, beta, problem.fisher.largest(), 0.9);
    double error = ratio < 1 ? held_out_error(problem, setting, cell) : std::numeric_limits<double>::infinity();
    tried[{lr, beta}] = {ratio, error};
    if (error < least) least = error, best = setting;
  };
  for (double lr : lrs) try_out(lr, mode == Mode::eata ? kFirstBeta : 0);
  if (mode != Mode::eata) return best;
  double lr = best.lr;
  for (double beta : kBetas) try_out(lr, beta);
  for (const auto& [setting, result] : tried) {
    std::string line = "lr " + std::to_string(setting.first).substr(0, 7);
    cell.point("step ratio of the penalty (diverges above 1)", "log10 beta", std::log10(setting.second), result.first, line);
    if (std::isfinite(result.second)) cell.point("held-out error (%)", "log10 beta", std::log10(setting.second), result.second, line);
  }
  return best;
}

/// Errors of a stream that is never reset, and what it cost.
struct Stream {
  std::vector<double> shift_errors, clean_errors;
  Counters counters;
};

/// All corruptions in a row, `cycles` times; the clean test images pass through the same adapting network after each corruption, or only
/// after each cycle.
Stream lifelong(const Problem& problem, const Setting& setting, int cycles, bool clean_after_each, Cell& cell) {
  SmallNet net = problem.net;
  TestTimeAdapter adapter(net, options_of(setting), problem.fisher);
  Stream stream;
  for (int cycle = 0; cycle < cycles; ++cycle)
    for (const Part& part : problem.shifts) {
      stream.shift_errors.push_back(error_on(part, adapter, cell));
      if (clean_after_each || &part == &problem.shifts.back()) stream.clean_errors.push_back(error_on(problem.clean, adapter, cell));
    }
  stream.counters = adapter.counters();
  return stream;
}

double error_with_resets(const Problem& problem, const Setting& setting, Cell& cell) {
  SmallNet net = problem.net;
  TestTimeAdapter adapter(net, options_of(setting), problem.fisher);
  std::vector<double> errors;
  for (const Part& part : problem.shifts) {
    adapter.reset();
    errors.push_back(error_on(part, adapter, cell));
  }
  return mean_of(errors);
}

void show_selected(const Counters& counters, Cell& cell) {
  if (counters.selected_per_batch.empty()) return;
  std::array<double, 9> share{};  // of batches with 0–7, 8–15, …, 64 selected samples
  for (int64_t n : counters.selected_per_batch)
    share[static_cast<size_t>(std::min<int64_t>(n / 8, 8))] += 100.0 / static_cast<double>(counters.selected_per_batch.size());
  for (size_t bin = 0; bin < share.size(); ++bin)
    cell.point("samples selected of a batch of 64 (% of batches)", "from", static_cast<double>(8 * bin), share[bin]);
}

void show_images(const Problem& problem, Cell& cell) {
  std::vector<Tensor> rows{slice(problem.clean.images, 0, 0, 8)};
  for (const Part& part : problem.shifts) rows.push_back(slice(part.images, 0, 0, 8));
  cell.picture("test images of " + problem.data + ": clean, then the corruptions, a row each",
               train::image_grid(cat(rows, 0), {.columns = 8}));
}

Mode mode_of(const Cell& cell) {
  return cell.is("source")     ? Mode::source
         : cell.is("BN adapt") ? Mode::bn
         : cell.is("Tent")     ? Mode::tent
         : cell.is("ETA")      ? Mode::eta
                               : Mode::eata;
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] { return make_problem(cell); });
  Mode mode = mode_of(cell);
  if (mode == Mode::source) show_images(*problem, cell);
  std::span<const double> lrs(kLrs), stress_lr(&kStressLr, 1);
  if (cell.budget() == Budget::smoke) lrs = lrs.subspan(1, 1);
  Setting setting = chosen(*problem, mode, lrs, cell), hard = chosen(*problem, mode, stress_lr, cell);
  Stream stream = lifelong(*problem, setting, 1, true, cell);
  // What does not adapt is not changed by a stream: one tells all.
  Stream stress = adapts(mode) ? lifelong(*problem, hard, cell.pick(1, 3, 5), false, cell) : stream;

  cell.metric("clean error after stress (%)", stress.clean_errors.back());
  cell.metric("corruption error under stress (%)", mean_of(stress.shift_errors));
  cell.metric("clean error after the stream (%)", stream.clean_errors.back());
  cell.metric("corruption error (%)", mean_of(stream.shift_errors));
  cell.metric("corruption error with resets (%)", adapts(mode) ? error_with_resets(*problem, setting, cell) : mean_of(stream.shift_errors));
  cell.metric("samples back-propagated (%)",
              100.0 * static_cast<double>(stream.counters.selected) / static_cast<double>(stream.counters.samples));
  cell.metric("learning rate chosen", setting.lr);
  cell.metric("beta chosen", setting.beta);
  for (size_t i = 0; i < stream.clean_errors.size(); ++i)
    cell.point("clean error along the stream (%)", "corruptions seen", static_cast<double>(i + 1), stream.clean_errors[i]);
  for (size_t i = 0; i < stress.clean_errors.size(); ++i)
    cell.point("clean error under stress (%)", "cycle", static_cast<double>(i + 1), stress.clean_errors[i]);
  for (size_t i = 0; i < problem->shifts.size(); ++i)
    cell.point("error by corruption (%)", "noise, impulse, contrast, blur, brightness, pixelate", static_cast<double>(i + 1),
               stream.shift_errors[i]);
  show_selected(stream.counters, cell);
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "EATA",
      .paper = "Niu et al., Efficient Test-Time Model Adaptation without Forgetting, ICML 2022",
      .claim =
          "A network that adapts to corrupted images by few, reliable samples under a Fisher penalty errs as little on them as with Tent, "
          "and forgets clean images less",
      .metrics = {{"clean error after stress (%)", Better::lower},
                  {"corruption error under stress (%)", Better::lower},
                  {"clean error after the stream (%)", Better::lower},
                  {"corruption error (%)", Better::lower},
                  {"corruption error with resets (%)", Better::lower},
                  {"samples back-propagated (%)", Better::lower},
                  {"learning rate chosen", Better::neither},
                  {"beta chosen", Better::neither}},
      .variants = {{"source", "no adaptation: running statistics"},
                   {"BN adapt", "statistics of the batch, no gradient"},
                   {"Tent", "entropy of all samples"},
                   {"ETA", "entropy of reliable, not redundant samples, weighted"},
                   {"EATA", "ETA with the Fisher penalty"}},
      .baseline = "Tent",
      .method = "EATA",
      .run = run,
  };
}

}  // namespace plumb::methods::eata
