// RLCM on small digits made smoother (and rougher): reward against evaluations, queries and time, beside the same policy gradient on an
// ancestral diffusion sampler, and beside choosing the best of many.
#include "methods/experiment.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "methods/common/image_rewards.h"
#include "methods/generative/rlcm/rlcm.h"
#include "models/metrics/energy_distance.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::rlcm {
namespace {

using namespace diffusion;

constexpr int64_t kBatch = 256;
constexpr double kEvaluations = 60'000, kQueries = 15'360;  // where arms are compared

// A generator and how it is sampled.
struct Arm {
  bool consistency = true;
  std::vector<double> times;
  int64_t updates = 0;
  PolicyGradientOptions options = {
      .clip = 1e-2, .buffer = kBatch, .min_count = kBatch, .step_each_time = true};  // one prompt: the batch's statistics
};

Arm arm_of(const Cell& cell) {
  Arm arm{.times = {80, 1}, .updates = cell.pick<int64_t>(2, 120, 150)};
  if (cell.variant().starts_with("untuned") || cell.variant().starts_with("best")) arm.updates = 0;
  if (cell.variant().ends_with("H = 4")) {
    arm.times = {80, 5, 1, 0.3};
    arm.updates = arm.updates * 5 / 6;
  }
  if (cell.is("DDPO") || cell.is("untuned diffusion")) {
    arm.consistency = false;
    arm.times = karras_sigmas(18);
    arm.updates /= 2;
  }
  if (cell.is("one step an update")) arm.options.step_each_time = false;
  if (cell.is("REBEL")) arm.options = {.objective = Objective::rebel, .buffer = kBatch, .min_count = kBatch, .minibatch = kBatch / 2};
  return arm;
}

std::unique_ptr<SamplerPolicy> policy_of(const Arm& arm) {
  if (arm.consistency) return std::make_unique<ConsistencyPolicy>(arm.times);
  return std::make_unique<AncestralPolicy>(arm.times);
}

PolicyNetwork network_of(const TimeMlp& network, bool consistency) {
  return [d = consistency ? consistency_model(network) : denoiser(network)](const Tensor& x, const Tensor& sigma, const Tensor&) {
    return d(x, sigma);
  };
}

// −(total variation) of rows kept to the range of the data, times `sign`.
SampleReward smoothness(const DigitVectors& digits, double sign) {
  return [&digits, reward = scaled(total_variation, -sign)](const Tensor& rows, const Tensor& context) {
    return reward(reshape(digits.clipped(rows), {rows.size(0), 1, 8, 8}), context);
  };
}

double average(const std::vector<double>& values) {
  double total = 0;
  for (double v : values) total += v;
  return total / static_cast<double>(values.size());
}

// The reward of noise-free samples as training went on.
struct Point {
  double evaluations, queries, reward;
};

double reward_at(const std::vector<Point>& curve, double Point::*axis, double where) {
  for (size_t i = 1; i < curve.size(); ++i)
    if (curve[i].*axis >= where) {
      double share = (where - curve[i - 1].*axis) / (curve[i].*axis - curve[i - 1].*axis);
      return curve[i - 1].reward + share * (curve[i].reward - curve[i - 1].reward);
    }
  return curve.back().reward;
}

struct Outcome {
  TimeMlp network;
  std::vector<Point> curve;
  double seconds = 0;
};

class Study {
 public:
  Study(Cell& cell, const DigitVectors& digits) : cell_(cell), digits_(digits), arm_(arm_of(cell)), policy_(policy_of(arm_)) {}

  const Arm& arm() const { return arm_; }

  // n samples without the last step's noise, the same noise for all variants of a seed.
  Tensor samples(const TimeMlp& network, int64_t n) const {
    Generator noise(cell_.seed() ^ 0x21c);
    return sample_policy(*policy_, network_of(network, arm_.consistency), {n, 64}, {}, noise);
  }

  // `updates` updates for sign · smoothness; progress from `begin` to `end`.
  Outcome train(const TimeMlp& start, double sign, int64_t updates, double begin, double end) const {
    Outcome outcome{start, {}};
    outcome.network.requires_grad_();
    optim::Adam adam(outcome.network.parameters(), {.lr = 3e-4});
    optim::Schedule rate = optim::linear(3 * std::max<int64_t>(updates, 1));
    SampleReward reward = smoothness(digits_, sign);
    PolicyGradientTrainer trainer(*policy_, network_of(outcome.network, arm_.consistency), adam, reward, arm_.options);
    Point at{0, 0, average(reward(samples(outcome.network, judged_), {}))};
    outcome.curve.push_back(at);
    for (int64_t k = 0; k < updates; ++k) {
      cell_.progress(begin + (end - begin) * static_cast<double>(k) / static_cast<double>(updates));
      adam.set_lr_scale(rate(k));
      auto since = std::chrono::steady_clock::now();
      UpdateReport report = trainer.update({cell_.pick<int64_t>(32, kBatch, kBatch), 64});
      outcome.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
      at.evaluations += static_cast<double>(report.calls);
      at.queries += static_cast<double>(report.queries);
      if ((k + 1) % std::max<int64_t>(1, updates / 12) != 0 && k + 1 != updates) continue;
      at.reward = average(reward(samples(outcome.network, judged_), {}));
      outcome.curve.push_back(at);
    }
    return outcome;
  }

  // The best of `tries` samples, n times over.
  Tensor best_of(const TimeMlp& network, int64_t tries, int64_t n, double sign) const {
    SampleReward reward = smoothness(digits_, sign);
    Tensor many = samples(network, tries * n);
    std::vector<double> value = reward(many, {});
    std::vector<int64_t> best;
    for (int64_t i = 0; i < n; ++i) {
      auto first = value.begin() + i * tries;
      best.push_back(std::max_element(first, first + tries) - value.begin());
    }
    return index_select(many, 0, from_vector(best));
  }

 private:
  Cell& cell_;
  const DigitVectors& digits_;
  Arm arm_;
  std::unique_ptr<SamplerPolicy> policy_;
  int64_t judged_ = cell_.pick<int64_t>(50, 500, 1000);
};

void measure(Cell& cell, const DigitVectors& digits, const DigitOracle& oracle, const Tensor& smooth, const Tensor& rough) {
  Tensor kept = digits.clipped(smooth);
  cell.metric("reward", average(smoothness(digits, 1)(smooth, {})));
  cell.metric("Fréchet distance", digits.frechet_distance(kept));
  Tensor some = narrow(kept, 0, 0, std::min<int64_t>(kept.size(0), 500));
  cell.metric("spread, over the data's",
              metrics::mean_distance(some, some) / metrics::mean_distance(narrow(digits.rows, 0, 0, 500), narrow(digits.rows, 0, 0, 500)));
  cell.metric("certain digits (%)", 100 * division(oracle, kept).certain);
  cell.metric("bytes as PNG", average(png_bytes(digits.images(narrow(kept, 0, 0, some.size(0))))));
  cell.metric("roughness, trained for it", average(smoothness(digits, -1)(rough, {})));
  cell.picture("smooth", train::image_grid(digits.images(narrow(kept, 0, 0, 36)), {.columns = 12}));
  cell.picture("rough", train::image_grid(digits.images(narrow(digits.clipped(rough), 0, 0, 36)), {.columns = 12}));
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [] { return DigitVectors(); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(30, 1500, 1500)); });
  int64_t pretraining = cell.pick<int64_t>(20, 4000, 20'000), shown = cell.pick<int64_t>(50, 2000, 10'000);
  auto alive = [&](double) { cell.progress(0); };
  auto consistent = cell.shared("consistency model", [&] { return train_consistency_model(*digits, {.steps = pretraining}, alive); });
  auto diffused = cell.shared("denoiser", [&] { return train_denoiser(*digits, {.steps = pretraining}, alive); });
  Study study(cell, *digits);
  const TimeMlp& start = study.arm().consistency ? *consistent : *diffused;
  if (cell.is("best of 60, H = 2")) {
    int64_t tries = cell.pick<int64_t>(4, 60, 60), n = cell.pick<int64_t>(50, 1000, 2000);
    Tensor smooth = study.best_of(start, tries, n, 1);
    measure(cell, *digits, *oracle, smooth, study.best_of(start, tries, n, -1));
    double reward = average(smoothness(*digits, 1)(smooth, {}));
    cell.metric("reward at 60,000 evaluations", reward);
    cell.metric("reward at 15,360 queries", reward);
    cell.metric("seconds of training", 0);
    return;
  }
  Outcome smooth = study.train(start, 1, study.arm().updates, 0, 0.67), rough = study.train(start, -1, study.arm().updates / 2, 0.67, 1);
  for (const Point& at : smooth.curve) {
    if (smooth.curve.size() == 1) break;
    cell.point("reward against evaluations", "evaluations of the network", at.evaluations, at.reward);
    cell.point("reward against queries", "queries of the reward", at.queries, at.reward);
  }
  measure(cell, *digits, *oracle, study.samples(smooth.network, shown), study.samples(rough.network, shown));
  cell.metric("reward at 60,000 evaluations", reward_at(smooth.curve, &Point::evaluations, kEvaluations));
  cell.metric("reward at 15,360 queries", reward_at(smooth.curve, &Point::queries, kQueries));
  cell.metric("seconds of training", smooth.seconds);
}

}  // namespace

Experiment experiment() {
  return {.title = "RLCM",
          .paper = "Oertell et al., RL for Consistency Models: Faster Reward Guided Text-to-Image Generation, 2024",
          .claim =
              "A policy gradient on few-step consistency sampling reaches a reward with fewer evaluations and less time than on a "
              "diffusion sampler",
          .metrics = {{"reward at 60,000 evaluations", Better::higher},
                      {"reward at 15,360 queries", Better::higher},
                      {"reward", Better::higher},
                      {"seconds of training", Better::lower},
                      {"Fréchet distance", Better::lower},
                      {"spread, over the data's", Better::higher},
                      {"certain digits (%)", Better::higher},
                      {"bytes as PNG", Better::lower},
                      {"roughness, trained for it", Better::higher}},
          .variants = {{"untuned, H = 2", "the consistency model before training, two steps"},
                       {"untuned, H = 4", "four steps"},
                       {"untuned diffusion", "the denoiser before training, 18 ancestral steps"},
                       {"best of 60, H = 2", "the untuned model's best of 60 samples: as many queries for 256 images as 60 updates"},
                       {"DDPO", "the same policy gradient on 18 ancestral steps"},
                       {"one step an update", "RLCM with H = 2 and one optimiser step for both time steps"},
                       {"REBEL", "H = 2, differences over pairs of trajectories in the place of PPO"},
                       {"RLCM, H = 4", "times 80, 5, 1, 0.3"},
                       {"RLCM, H = 2", "times 80 and 1"}},
          .baseline = "DDPO",
          .method = "RLCM, H = 2",
          .run = run};
}

}  // namespace plumb::methods::rlcm
