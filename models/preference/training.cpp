// The parts of preference training that know no model.
#include "models/preference/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/dataset.h"
#include "models/optim/clip.h"
#include "models/optim/schedule.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::preference {

void TrainingOptions::check() const {
  loss.check();
  adam.check();
  if (epochs < 1 || batch < 1)
    throw ValueError(fmt::format("preference: epochs and batch must be at least 1, they are {} and {}", epochs, batch));
  if (!(warmup >= 0 && warmup < 1)) throw ValueError(fmt::format("preference: the warm-up must lie in [0, 1), it is {}", warmup));
  if (!(clip > 0)) throw ValueError(fmt::format("preference: the norm to clip at must be positive, it is {}", clip));
}

std::vector<std::vector<int64_t>> epoch_batches(size_t pairs, size_t batch, Generator& generator) {
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(pairs), generator);
  std::vector<std::vector<int64_t>> out;
  for (size_t from = 0; from < pairs; from += batch) {
    auto first = order.begin() + static_cast<int64_t>(from);
    out.emplace_back(first, first + static_cast<int64_t>(std::min(batch, pairs - from)));
  }
  return out;
}

double learning_rate_factor(const TrainingOptions& options, int64_t step, int64_t steps) {
  auto rising = std::min(steps - 1, static_cast<int64_t>(std::llround(options.warmup * static_cast<double>(steps))));
  return optim::cosine_with_warmup(rising, steps)(step);
}

PairBatch pair_batch(const std::vector<Pair>& pairs, const StoredLogProbs& reference, const std::vector<int64_t>& places, Device device) {
  std::vector<Answer> answers;
  std::vector<double> chosen, rejected, confidence;
  for (int64_t i : places) {
    const Pair& p = pairs.at(static_cast<size_t>(i));
    answers.push_back({p.question, p.chosen});
    chosen.push_back(reference.chosen.at(static_cast<size_t>(i)));
    rejected.push_back(reference.rejected.at(static_cast<size_t>(i)));
    confidence.push_back(p.confidence);
  }
  for (int64_t i : places) answers.push_back({pairs[static_cast<size_t>(i)].question, pairs[static_cast<size_t>(i)].rejected});
  auto column = [&](const std::vector<double>& x) { return to(to(from_vector(x), f32), device); };
  return {answer_batch(answers, 0, device), {column(chosen), column(rejected)}, column(confidence)};
}

PairLogProbs split_pairs(const Tensor& log_prob, const Tensor& mask) {
  int64_t n = log_prob.size(0) / 2;
  Tensor length = sum(to(mask, i64), {1});
  return {narrow(log_prob, 0, 0, n), narrow(log_prob, 0, n, n), narrow(length, 0, 0, n), narrow(length, 0, n, n)};
}

void descend(optim::Optimizer& optimizer, const Tensor& loss, const TrainingOptions& options, int64_t step, int64_t steps) {
  double value = loss.item();
  if (!std::isfinite(value)) throw ValueError(fmt::format("preference: the loss of step {} is {}", step, value));
  optimizer.zero_grad();
  loss.backward();
  optim::clip_grad_norm(optimizer.parameters(), options.clip);
  optimizer.set_lr_scale(learning_rate_factor(options, step, steps));
  optimizer.step();
}

}  // namespace plumb::preference
