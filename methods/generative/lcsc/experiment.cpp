// LCSC on a consistency model of small digits: which combination of its checkpoints generates best, on noise and digits that the search has
// not seen.
#include "methods/experiment.h"

#include "engine/autograd/grad_mode.h"
#include "methods/common/digit_generation.h"
#include "methods/common/fixed_noise.h"
#include "methods/generative/ict/ict.h"
#include "methods/generative/lcsc/lcsc.h"
#include "models/diffusion/sampler.h"
#include "models/metrics/neighbours.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::lcsc {
namespace {

using namespace diffusion;
using optim::CheckpointBank;
using optim::Genes;

constexpr int64_t kBatch = 128, kCheckpoints = 50;
constexpr double kSigmaMax = 80, kTrackDecays[] = {0.99, 0.995, 0.999};

// One run of iCT with all that the variants take from it.
struct Run {
  CheckpointBank half, late, early;  ///< of the second half; of the last stage alone; of the second half of the first 60 %
  std::vector<TimeMlp> averages;     ///< kept while training, one a decay
  TimeMlp last;
};

optim::BankWindow window(int64_t first, int64_t end) {
  return {.first = first, .interval = std::max<int64_t>(1, (end - first) / kCheckpoints), .most = kCheckpoints};
}

// Steps are counted from 1, so that the last checkpoint of a window is the last step of its span.
Run train(Cell& cell, const DigitVectors& digits) {
  auto steps = cell.pick<int64_t>(100, 6000, 100'000);
  int64_t sixty = steps * 6 / 10;
  auto after = [](int64_t first, int64_t end) {
    optim::BankWindow w = window(first, end);
    w.first += w.interval;
    return CheckpointBank(w);
  };
  TimeMlp network({.features = digits.rows.size(1)});
  network.to(cell.device());
  Run run{after(steps / 2, steps), after(steps * 8 / 10, steps), after(sixty / 2, sixty), {}, network};
  ConsistencyTraining<TimeMlp> training(network, ict::improved(steps, 10, 160));
  optim::Adam adam(network.parameters(), {.lr = 1e-3});
  std::vector<optim::Ema<TimeMlp>> tracks;
  for (double decay : kTrackDecays) tracks.emplace_back(network, optim::EmaOptions{.decay = decay, .warmup = true});
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 25 == 0) cell.progress(0);
    Tensor loss = mean(training.losses(k, digits.batch(kBatch)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    training.update(k);
    for (auto& track : tracks) track.update(network);
    run.half.offer(k + 1, network.parameters());
    run.late.offer(k + 1, network.parameters());
    if (k + 1 <= sixty) run.early.offer(k + 1, network.parameters());
  }
  for (auto& track : tracks) run.averages.push_back(track.model);
  run.last = network;
  return run;
}

// Half of the digits and a set of noises for searching, the others for reporting.
class Judge {
 public:
  Judge(const Cell& cell, const DigitVectors& digits)
      : digits_(digits),
        report_rows_(half(cell, digits, false)),
        searching_(noise(cell, cell.pick<int64_t>(300, 2000, 5000), 0x5ea), half(cell, digits, true)),
        reporting_(noise(cell, cell.pick<int64_t>(500, 6000, 20'000), 0x4e9), report_rows_) {}

  double search(const TimeMlp& network) const {
    return searching_([&](const Tensor& x) { return generate(network, x, 1); });
  }
  double report(const TimeMlp& network, int64_t steps) const {
    return reporting_([&](const Tensor& x) { return generate(network, x, steps); });
  }
  double recall(const TimeMlp& network, int64_t n) const {
    return metrics::precision_recall(report_rows_, generate(network, narrow(reporting_.noise(), 0, 0, n), 1), 3).recall;
  }
  Tensor pictures(const TimeMlp& network) const { return digits_.images(generate(network, narrow(reporting_.noise(), 0, 0, 48), 1)); }

 private:
  static Tensor noise(const Cell& cell, int64_t n, uint64_t stream) {
    Generator generator(cell.seed() ^ stream);
    return randn({n, 64}, {.device = cell.device(), .generator = &generator}) * kSigmaMax;
  }
  // 900 digits and the other 897, in an order that the seed gives.
  static Tensor half(const Cell& cell, const DigitVectors& digits, bool first) {
    Generator generator(cell.seed() ^ 0xd161);
    int64_t n = digits.rows.size(0), cut = 900;
    Tensor order = to(randperm(n, {.dtype = i64, .generator = &generator}), digits.rows.device());
    return index_select(digits.rows, 0, first ? narrow(order, 0, 0, cut) : narrow(order, 0, cut, n - cut));
  }
  Tensor generate(const TimeMlp& network, const Tensor& x, int64_t steps) const {
    std::vector<double> levels{kSigmaMax};
    if (steps == 2) levels = {kSigmaMax, 0.8};
    if (steps == 4) levels = {kSigmaMax, 5, 1, 0.3};
    Generator further(11);
    return digits_.clipped(
        diffusion::sample(as_consistency_model(network), x, levels, {.sampler = Sampler::consistency, .generator = &further}));
  }
  const DigitVectors& digits_;
  Tensor report_rows_;
  FixedNoise searching_, reporting_;
};

// A network for trying combinations in.
class Trial {
 public:
  Trial(Cell& cell, const CheckpointBank& bank, const Judge& judge, const TimeMlp& like)
      : cell_(cell), bank_(bank), judge_(judge), network(like) {
    network.requires_grad_(false);
  }
  std::function<double(const Genes&)> fitness() {
    return [this](const Genes& a) {
      if (++calls_ % 10 == 0) cell_.progress(static_cast<double>(calls_) / 420);
      put(a);
      return judge_.search(network);
    };
  }
  void put(const Genes& a) { bank_.combine(a, network.parameters()); }

 private:
  Cell& cell_;
  const CheckpointBank& bank_;
  const Judge& judge_;
  int64_t calls_ = 0;

 public:
  TimeMlp network;
};

void measure(Cell& cell, const Judge& judge, const TimeMlp& network, double negative) {
  for (int64_t steps : {1, 2, 4})
    cell.point("Fréchet distance", "sampling steps", static_cast<double>(steps), judge.report(network, steps));
  cell.metric("FD, new noise and digits", judge.report(network, 1));
  cell.metric("FD, search side", judge.search(network));
  cell.metric("FD, 2 steps", judge.report(network, 2));
  cell.metric("recall (%)", 100 * judge.recall(network, cell.pick<int64_t>(200, 1000, 1000)));
  cell.metric("negative coefficients (%)", 100 * negative);
  cell.picture("samples, 1 step", train::image_grid(judge.pictures(network), {.columns = 12}));
}

// Which checkpoints, and how they are combined.
void run_combination(Cell& cell, const Run& run, const Judge& judge) {
  const CheckpointBank& bank = cell.is("LCSC, last stage") ? run.late : cell.is("LCSC at 60 % of training") ? run.early : run.half;
  Trial trial(cell, bank, judge, run.last);
  Options options{.search = {.evaluations = cell.pick<int64_t>(8, 400, 2000)}};
  options.search.heredity = !cell.is("random search");
  Found found{};
  if (cell.is("uniform mean"))
    found.coefficients.assign(static_cast<size_t>(bank.size()), 1 / static_cast<double>(bank.size()));
  else if (cell.is("best average afterwards"))
    found = best_average(bank.size(), trial.fitness(), options.decays);
  else
    found = search(bank.size(), trial.fitness(), options);
  for (size_t t = 0; t < found.history.size() && found.history.size() > 10; t += 10)
    cell.point("Fréchet distance of the best so far, search side", "evaluations", static_cast<double>(t), found.history[t]);
  trial.put(found.coefficients);
  measure(cell, judge, trial.network, found.negative());
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  auto trained = cell.shared("run", [&] { return train(cell, *digits); });
  Judge judge(cell, *digits);
  if (cell.is("last checkpoint")) return measure(cell, judge, trained->last, 0);
  if (cell.is("best average while training")) {
    const TimeMlp* best = &trained->averages.front();
    for (const TimeMlp& average : trained->averages)
      if (judge.search(average) < judge.search(*best)) best = &average;
    return measure(cell, judge, *best, 0);
  }
  run_combination(cell, *trained, judge);
}

}  // namespace

Experiment experiment() {
  return {.title = "LCSC",
          .paper = "Liu, Zhu et al., Linear Combination of Saved Checkpoints Makes Consistency and Diffusion Models Better, ICLR 2025",
          .claim = "A searched combination of one run's checkpoints generates better than the last of them and than any average",
          .metrics = {{"FD, new noise and digits", Better::lower},
                      {"FD, search side", Better::lower},
                      {"FD, 2 steps", Better::lower},
                      {"recall (%)", Better::higher},
                      {"negative coefficients (%)", Better::neither}},
          .variants = {{"last checkpoint", "the weights at the end of training"},
                       {"uniform mean", "the mean of the 50 checkpoints of the second half"},
                       {"best average while training", "of decays 0.99, 0.995 and 0.999, chosen by the search's measure"},
                       {"best average afterwards", "of seven decays over the 50 checkpoints, chosen by the search's measure"},
                       {"random search", "as many evaluations and the same operators, but children are never parents"},
                       {"LCSC at 60 % of training", "the search over the run's first 60 %: what it saves"},
                       {"LCSC, last stage", "50 checkpoints of the last fifth, all on the finest grid"},
                       {"LCSC", "the search over 50 checkpoints of the second half"}},
          .baseline = "last checkpoint",
          .method = "LCSC",
          .run = run,
          .follows_device = true};
}

}  // namespace plumb::methods::lcsc
