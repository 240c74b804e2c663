// A learner whose losses fall by a known linear law: what is estimated of it can be checked exactly.
#pragma once
#include <numeric>

#include "models/data_mixing/learner.h"

namespace plumb_test {

/// Each step on shares q takes Σ_j law[i][j] q_j / steps_a_unit off loss i.
class SimulatedLaw : public plumb::data_mixing::Learner {
 public:
  using Shares = plumb::data_mixing::Shares;
  SimulatedLaw(std::vector<Shares> law, Shares losses, double steps_a_unit, int64_t planned, int64_t batch = 16)
      : law_(std::move(law)), start_(losses), losses_(std::move(losses)), unit_(steps_a_unit), planned_(planned), batch_(batch) {}

  int64_t groups() const override { return static_cast<int64_t>(losses_.size()); }
  int64_t batch() const override { return batch_; }
  int64_t steps() const override { return steps_; }
  int64_t planned_steps() const override { return planned_; }
  void step(const Shares& p) override {
    for (size_t i = 0; i < losses_.size(); ++i)
      for (size_t j = 0; j < losses_.size(); ++j) losses_[i] -= law_[i][j] * p[j] / unit_;
    ++steps_;
  }
  void step_exact(const std::vector<int64_t>& counts) override {
    compositions.push_back(counts);
    double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    Shares q;
    for (int64_t c : counts) q.push_back(static_cast<double>(c) / total);
    step(q);
  }
  Shares validation_losses() const override { return losses_; }
  std::unique_ptr<plumb::data_mixing::Learner> fresh(int64_t steps, uint64_t) const override {
    return std::make_unique<SimulatedLaw>(law_, start_, unit_, steps, batch_);
  }
  void step_weighted(const Learner* reference, const plumb::data_mixing::LossWeights& weights) override {
    step(weights(losses_, reference ? reference->validation_losses() : Shares(losses_.size(), 0)));
  }
  /// Groups' gradients have length 1 and point along the mixed batch's as the column sums of the law say.
  void step_aligned(const plumb::data_mixing::AlignmentWeights& weights) override {
    plumb::data_mixing::Alignment a{.inner = Shares(losses_.size(), 0), .norm = Shares(losses_.size(), 1), .learning_rate = 0.01};
    for (const Shares& row : law_)
      for (size_t j = 0; j < row.size(); ++j) a.inner[j] += row[j];
    step(weights(a));
  }

  std::vector<std::vector<int64_t>> compositions;  ///< of the exact steps

 private:
  std::vector<Shares> law_;
  Shares start_, losses_;
  double unit_;
  int64_t planned_, batch_, steps_ = 0;
};

}  // namespace plumb_test
