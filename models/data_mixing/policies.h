// Policies of data mixing: stratified, static, Skill-It, DoReMi, DoGE, and data mixing laws. Aioli is in methods/finetuning/aioli.
#pragma once
#include <deque>

#include "engine/core/generator.h"
#include "models/data_mixing/loop.h"
#include "models/data_mixing/mixing_law.h"

namespace plumb::data_mixing {

/// Always p. Without p: 1/k each ("stratified").
class StaticMixture : public MixingPolicy {
 public:
  explicit StaticMixture(Shares p = {}) : p_(std::move(p)) {}
  void check(const Learner& learner, const LoopOptions&) const override;
  Shares proportions(Learner& learner, const RoundStart&) override;

 private:
  Shares p_;
};

/// A mixture from Dirichlet(α, …, α). Throws ValueError for groups < 1 or α ≤ 0.
Shares dirichlet_mixture(int64_t groups, double alpha, Generator& generator);

/// Skill-It (Chen et al. 2023). graph[i][j] = (L_j,start − L_j,end) / L_j,start: how much of group j's validation loss a run on group i
/// alone takes away. w_i = exp(η Σ_j graph[i][j] (sum of the last `window` validation losses)_j); in the first round the losses are taken
/// as 1.
struct SkillItOptions {
  double eta = 0.2;
  int64_t window = 3;
  int64_t graph_steps = 100;  ///< of each group's run
};
class SkillIt : public MixingPolicy {
 public:
  explicit SkillIt(SkillItOptions options = {}) : options_(options) {}
  /// With a graph that is known: prepare() then runs nothing.
  SkillIt(SkillItOptions options, std::vector<Shares> graph) : options_(options), graph_(std::move(graph)) {}
  void check(const Learner& learner, const LoopOptions&) const override;
  int64_t prepare(const Learner& learner) override;
  Shares proportions(Learner& learner, const RoundStart& round) override;
  const std::vector<Shares>& graph() const { return graph_; }

 private:
  SkillItOptions options_;
  std::vector<Shares> graph_;
  std::deque<Shares> losses_;
};

/// log p += μ max(L_i − L_i^ref, 0), softmax, mixed with `smoothing` of the uniform mixture (DoReMi, Xie et al. 2023). The returned weights
/// are those of this step's losses; average() over all steps is the result.
class DoReMiWeights {
 public:
  /// Throws ValueError for groups < 2, μ ≤ 0 or smoothing outside [0, 1].
  DoReMiWeights(int64_t groups, double mu = 1, double smoothing = 1e-3);
  const Shares& update(const Shares& losses, const Shares& reference);
  Shares average() const;

 private:
  double mu_, smoothing_;
  Shares p_, total_;
  int64_t updates_ = 0;
};

/// s_j = lr ⟨g_j, g_val⟩ / (mean ‖g_j‖ + 1e-6), limited to [0, 5 lr]; log p += s_j / μ, softmax (DoGE, Fan et al. 2024). As DoReMiWeights.
class DogeWeights {
 public:
  explicit DogeWeights(int64_t groups, double mu = 0.01);
  const Shares& update(const Alignment& alignment);
  Shares average() const;

 private:
  double mu_;
  Shares p_, total_;
  int64_t updates_ = 0;
};

/// A reference with the uniform mixture, then a proxy whose loss is weighted; then a static mixture.
struct DoReMiOptions {
  double mu = 1, smoothing = 1e-3;
  int64_t proxy_steps = 300;  ///< of the reference, and of the proxy
};
class DoReMi : public MixingPolicy {
 public:
  explicit DoReMi(DoReMiOptions options = {}) : options_(options) {}
  void check(const Learner& learner, const LoopOptions&) const override;
  int64_t prepare(const Learner& learner) override;
  Shares proportions(Learner&, const RoundStart&) override { return p_; }

 private:
  DoReMiOptions options_;
  Shares p_;
};

/// A proxy on aligned gradients; then a static mixture.
struct DogeOptions {
  double mu = 0.01;
  int64_t proxy_steps = 300;
};
class Doge : public MixingPolicy {
 public:
  explicit Doge(DogeOptions options = {}) : options_(options) {}
  void check(const Learner& learner, const LoopOptions&) const override;
  int64_t prepare(const Learner& learner) override;
  Shares proportions(Learner&, const RoundStart&) override { return p_; }

 private:
  DogeOptions options_;
  Shares p_;
};

/// Short static runs at `runs` mixtures from a Dirichlet distribution, a law fitted to their validation losses, and the mixture that it
/// calls best.
struct MixingLawOptions {
  int64_t runs = 8, run_steps = 100;
  double alpha = 1;
  uint64_t seed = 0;
};
class LawMixture : public MixingPolicy {
 public:
  explicit LawMixture(MixingLawOptions options = {}) : options_(options) {}
  void check(const Learner& learner, const LoopOptions&) const override;
  int64_t prepare(const Learner& learner) override;
  Shares proportions(Learner&, const RoundStart&) override { return p_; }
  const std::vector<MixingLaw>& laws() const { return laws_; }

 private:
  MixingLawOptions options_;
  std::vector<MixingLaw> laws_;
  Shares p_;
};

}  // namespace plumb::data_mixing
