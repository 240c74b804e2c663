// MaM on an Ising model small enough to count: how near it comes to the distribution, and its marginals to the exact ones, at equal cost.
#include "methods/experiment.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "methods/common/ising.h"
#include "methods/generative/mam/energy.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mam {
namespace {

using namespace any_order;

constexpr double kRate = 1e-3, kArmMcRate = 3e-4, kAlpha = 4, kClip = 10;
constexpr int64_t kGibbsSteps = 4, kSubsets = 200;

int64_t side(const Cell& cell) { return cell.pick<int64_t>(3, 4, 4); }
int64_t batch(const Cell& cell) { return cell.pick<int64_t>(64, 256, 512); }

// Cost is counted in calls of a network on the batch, a backward pass as two. That makes runs repeatable; seconds are measured beside it.
//   MaM       g calls redraw; one call of the conditionals and three of the marginals (before, after, whole), all differentiated
//   ARM-MC    D calls draw; one call of the estimate in the reward, one differentiated
//   ARM-Full  D calls draw; D differentiated
struct Cost {
  int64_t mam, mc, full;
  explicit Cost(int64_t sites) : mam(std::min(kGibbsSteps, sites) + 3 * 4), mc(sites + 1 + 3), full(sites + 3 * sites) {}
};
int64_t calls(const Cell& cell) { return cell.pick<int64_t>(1500, 32'000, 480'000); }

LogDensity density(const Ising& ising) {
  return [&ising](const Tensor& x) { return ising.log_f(x - 1); };
}

MarginalModelConfig config(const Cell& cell, int64_t sites) {
  return {.variables = sites, .symbols = 2, .width = cell.pick<int64_t>(32, 128, 256), .layers = 3};
}

// A model with what trains it. ARMs use the conditionals alone.
class Run {
 public:
  Run(const Cell& cell, const Ising& ising, double alpha)
      : model_(config(cell, ising.sites())),
        log_f_(density(ising)),
        sites_(ising.sites()),
        rows_(batch(cell)),
        alpha_(alpha),
        adam_(model_.parameters(), {.lr = cell.is("ARM-MC") ? kArmMcRate : kRate}) {
    buffer_.x = zeros({rows_, sites_}, i64);
    buffer_.gibbs_steps = std::min(kGibbsSteps, sites_);
  }
  const MarginalModel& model() const { return model_; }

  void mam_step(int64_t k) {
    Tensor rank = buffer_.advance(model_.heads().conditionals, k);
    Tensor d = random_steps(rows_, sites_);
    step(kl_loss(model_.heads(), log_f_, buffer_.x, rank, d, alpha_, static_cast<double>(sites_) * std::log(2.0)));
  }
  void arm_step(bool full) {
    Conditionals conditionals = model_.heads().conditionals;
    Tensor x = fill(conditionals, zeros({rows_, sites_}, i64), forward_ranks(rows_, sites_)).x;
    step(full ? arm_full_loss(conditionals, log_f_, x) : arm_mc_loss(conditionals, log_f_, x));
  }
  /// Constant for seven tenths of the steps, then falling to nothing.
  void set_rate(int64_t k, int64_t steps) {
    double done = static_cast<double>(k) / static_cast<double>(steps);
    adam_.set_lr_scale(done < 0.7 ? 1 : (1 - done) / 0.3);
  }

 private:
  void step(const EnergyLoss& at) {
    adam_.zero_grad();
    at.loss.backward();
    optim::clip_grad_norm(model_.parameters(), kClip);
    adam_.step();
  }
  MarginalModel model_;
  LogDensity log_f_;
  int64_t sites_, rows_;
  double alpha_;
  optim::Adam adam_;
  SampleBuffer buffer_;
};

// E_q [log q(x) − log f(x)] + log Z over samples of the model, in random orders or in the forward one.
double divergence(const Conditionals& model, const Ising& ising, double log_z, bool any_order, int64_t samples, uint64_t seed) {
  Generator g(seed);
  Tensor rank = any_order ? random_ranks(samples, ising.sites(), g) : forward_ranks(samples, ising.sites());
  Filled drawn = fill(model, zeros({samples, ising.sites()}, i64), rank, g);
  return mean(to(drawn.log_prob, f64) - ising.log_f(drawn.x - 1)).item() + log_z;
}

// Random subsets of exact draws, of every size.
struct Subsets {
  Tensor x;      // i64 [n, D]
  Tensor exact;  // f64 [n]
};
Subsets subsets(const EnumeratedIsing& exact, int64_t sites, uint64_t seed) {
  Generator g(seed);
  Tensor x = to(exact.sample(kSubsets, g), i64) + 1;
  Tensor known = keep_first(x, random_ranks(kSubsets, sites, g), random_steps(kSubsets, sites, g));
  return {known, exact.log_marginal(known - 1)};
}

// Every prefix of the forward order once: log q of all 2^D states, so that marginals are sums. 2^D − 1 rows through the network.
Tensor all_log_probabilities(const Conditionals& model, int64_t sites) {
  NoGrad off;
  Tensor prefixes = zeros({1, sites}, i64), log_q = zeros({1}, f64);
  for (int64_t d = 0; d < sites; ++d) {
    Tensor next = to(select(model(prefixes), 1, d), f64);
    Tensor step = next - logsumexp(next, {1}, true);
    std::vector<Tensor> rows, logs;
    for (int64_t k = 0; k < 2; ++k) {
      rows.push_back(
          cat({narrow(prefixes, 1, 0, d), full({prefixes.size(0), 1}, k + 1, i64), zeros({prefixes.size(0), sites - d - 1}, i64)}, 1));
      logs.push_back(log_q + select(step, 1, k));
    }
    prefixes = cat(rows, 0), log_q = cat(logs, 0);  // the newest site is the highest digit of the state's number
  }
  return log_q;
}

Tensor summed_marginals(const Conditionals& model, const Tensor& known) {
  std::vector<double> q = to_vector(exp(all_log_probabilities(model, known.size(1)))), result;
  std::vector<int64_t> x = to_vector<int64_t>(known);
  for (int64_t b = 0; b < known.size(0); ++b) {
    uint64_t mask = 0, ones = 0;
    for (int64_t i = 0; i < known.size(1); ++i) {
      int64_t symbol = x[static_cast<size_t>(b * known.size(1) + i)];
      mask |= uint64_t{symbol > 0} << i;
      ones |= uint64_t{symbol == 2} << i;
    }
    double total = 0;
    for (uint64_t state = 0; state < q.size(); ++state)
      if ((state & mask) == ones) total += q[state];
    result.push_back(std::log(total));
  }
  return from_vector(result);
}

// As an any-order autoregressive model answers: |S| calls, the known variables one after the other.
Tensor marginals_by_conditionals(const Conditionals& model, const Tensor& known, uint64_t seed) {
  NoGrad off;
  Generator g(seed);
  Tensor rank = ranks_from_known(known, g), count = sum(known > 0, {1}), total = zeros({known.size(0)}, f64);
  for (int64_t d = 0; d < known.size(1); ++d) {
    Tensor asked = count > d, variable = variable_at(rank, d), filled = where(known > 0, known, 1);
    total = total + where(asked, to(log_probability_at(model(keep_first(known, rank, d)), filled, variable), f64), 0.0);
  }
  return total;
}

template <typename F>
double microseconds(F&& f, int64_t items) {
  auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(items);
}

// How the time of a step grows with the lattice: a chart, measured with the first seed alone.
template <typename Step>
void time_steps(Cell& cell, Step&& step) {
  if (cell.seed() != 0) return;
  for (int64_t n : cell.budget() == Budget::smoke ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{4, 6, 10}) {
    Ising ising({.side = n});
    Run run(cell, ising, kAlpha);
    step(run, 1);
    constexpr int64_t repeats = 2;
    double us = microseconds(
        [&] {
          for (int64_t k = 0; k < repeats; ++k) step(run, 2 + k);
        },
        repeats);
    cell.progress(1);
    cell.point("time of a training step", "sites", static_cast<double>(ising.sites()), us / 1e3);
  }
}

struct Trained {
  MarginalModel model;
  double ms_a_step = 0;
};

template <typename Step>
Trained train(Cell& cell, const Ising& ising, double log_z, double alpha, int64_t cost, bool any_order, Step&& step) {
  Run run(cell, ising, alpha);
  int64_t steps = calls(cell) / cost;
  double us = 0;
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    run.set_rate(k, steps);
    us += microseconds([&] { step(run, k); }, steps);
    if ((k + 1) % std::max<int64_t>(steps / 8, 1) == 0)
      cell.point("KL while training", "network calls", static_cast<double>((k + 1) * cost),
                 divergence(run.model().heads().conditionals, ising, log_z, any_order, 1024, 17));
  }
  return {run.model(), us / 1e3};
}

// The lattice, its exact numbers, and the subsets that a cell's model is asked about.
struct Task {
  const Ising& ising;
  const EnumeratedIsing& exact;
  Tensor known;     // i64 [n, D]
  int64_t samples;  // of the divergence's estimate
  uint64_t seed;
};
struct Measures {
  double kl;
  Tensor answers;  // f64 [n]
  double us_a_marginal, ms_a_step;
};

Measures of_independent_spins(const Task& task) {
  double up = task.exact.site_means()[0], m = 2 * up - 1, n = static_cast<double>(task.ising.sites());  // all sites are alike
  Measures at{n * (up * std::log(up) + (1 - up) * std::log(1 - up)) - (2 * n * 0.2 * m * m + n * 0.2 * m) + task.exact.log_z()};
  at.us_a_marginal = microseconds(
      [&] { at.answers = to(sum(task.known == 2, {1}), f64) * std::log(up) + to(sum(task.known == 1, {1}), f64) * std::log(1 - up); },
      kSubsets);
  return at;
}

Measures of_autoregressive(Cell& cell, const Task& task, bool full) {
  auto step = [full](Run& r, int64_t) { r.arm_step(full); };
  Cost cost(task.ising.sites());
  Trained trained = train(cell, task.ising, task.exact.log_z(), kAlpha, full ? cost.full : cost.mc, false, step);
  Conditionals conditionals = trained.model.heads().conditionals;
  Measures at{divergence(conditionals, task.ising, task.exact.log_z(), false, task.samples, task.seed)};
  at.us_a_marginal = microseconds([&] { at.answers = summed_marginals(conditionals, task.known); }, kSubsets);
  at.ms_a_step = trained.ms_a_step;
  time_steps(cell, step);
  return at;
}

Measures of_mam(Cell& cell, const Task& task) {
  double alpha = cell.is("MaM, α = 1") ? 1 : cell.is("MaM, α = 16") ? 16 : kAlpha;
  auto step = [](Run& r, int64_t k) { r.mam_step(k); };
  auto make = [&] { return train(cell, task.ising, task.exact.log_z(), alpha, Cost(task.ising.sites()).mam, true, step); };
  auto trained = alpha == kAlpha ? cell.shared("MaM", make) : std::make_shared<const Trained>(make());
  Heads heads = trained->model.heads();
  Measures at{divergence(heads.conditionals, task.ising, task.exact.log_z(), true, task.samples, task.seed)};
  auto answer = [&] {
    bool by_conditionals = cell.is("MaM, by conditionals");
    at.answers = by_conditionals ? marginals_by_conditionals(heads.conditionals, task.known, 5) : to(log_marginal(heads, task.known), f64);
  };
  at.us_a_marginal = microseconds(answer, kSubsets);
  at.ms_a_step = trained->ms_a_step;
  if (!cell.is("MaM")) return at;
  time_steps(cell, step);
  int64_t side = std::llround(std::sqrt(static_cast<double>(task.ising.sites())));
  Tensor x = fill(heads.conditionals, zeros({48, side * side}, i64), random_ranks(48, side * side)).x;
  cell.picture("samples in random orders", train::image_grid(reshape(to(x - 1, f32), {48, 1, side, side}), {.columns = 12}));
  return at;
}

void run(Cell& cell) {
  Ising ising({.side = side(cell)});
  auto exact = cell.shared("exact", [&] { return EnumeratedIsing(ising); });
  Subsets asked = subsets(*exact, ising.sites(), cell.seed() ^ 0x5e7);
  Task task{ising, *exact, asked.x, cell.pick<int64_t>(512, 4096, 4096), cell.seed() ^ 0xd1f};
  bool arm = cell.is("ARM-MC") || cell.is("ARM-Full");
  Measures at = cell.is("independent spins") ? of_independent_spins(task)
                : arm                        ? of_autoregressive(cell, task, cell.is("ARM-Full"))
                                             : of_mam(cell, task);
  cell.metric("KL (nats)", at.kl);
  cell.metric("marginal error (nats)", mean(abs(at.answers - asked.exact)).item());
  cell.metric("a marginal (µs)", at.us_a_marginal);
  cell.metric("a step (ms)", at.ms_a_step);
}

}  // namespace

Experiment experiment() {
  return {.title = "MaM",
          .paper = "Liu, Ramadge & Adams, Generative Marginalization Models, ICML 2024",
          .claim =
              "From an unnormalised density alone, a model with a head for marginals comes nearer to it than an autoregressive one with "
              "one-step estimates, at equal cost, and answers for any subset in one call",
          .metrics = {{"KL (nats)", Better::lower},
                      {"marginal error (nats)", Better::lower},
                      {"a marginal (µs)", Better::lower},
                      {"a step (ms)", Better::lower}},
          .variants = {{"independent spins", "the exact means of the sites, and nothing more: no training"},
                       {"ARM-MC", "fixed order, a one-step estimate of log p, fresh samples at every step"},
                       {"ARM-Full", "fixed order, the exact log p: D differentiated calls a step; marginals by summing over all states"},
                       {"MaM, α = 1", "self-consistency weighs less"},
                       {"MaM, α = 16", "self-consistency weighs more"},
                       {"MaM", "α = 4, as the paper; random orders, marginals in one call"},
                       {"MaM, by conditionals", "the same model asked as an any-order ARM: one call a known variable"}},
          .baseline = "ARM-MC",
          .method = "MaM",
          .run = run};
}

}  // namespace plumb::methods::mam
