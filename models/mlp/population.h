// Many perceptrons of one form side by side: one axis in front of every weight, one pass for all.
#pragma once
#include <cstdint>
#include <vector>

#include "models/mlp/mlp.h"

namespace plumb::mlp {

/// y_p = x_p weight_pᵀ + bias_p for P members: x [P, n, in] → [P, n, out]; weight [P, out, in], bias [P, out], zeros at the start.
class PopulationLinear : public nn::Module {
 public:
  PopulationLinear(int64_t members, int64_t in, int64_t out);
  Tensor operator()(const Tensor& x) const;
  nn::Parameter weight, bias;
};

/// P independent Mlps. What is summed over members has each member's own gradient, so that one optimiser of element-wise updates (SGD,
/// Adam) trains all of them as it would train each alone: for ensembles, unlearning and attribution, where hundreds of small models count.
class MlpPopulation : public nn::Module {
 public:
  /// Member p starts as Mlp(config) does after manual_seed(seeds[p]); the thread's generator is left as it was. Throws ValueError without
  /// seeds, for layer norm or for dropout; ConfigError as MlpConfig::check.
  MlpPopulation(const MlpConfig& config, const std::vector<uint64_t>& seeds);
  /// x [n, inputs], the same for all, or [P, n, inputs] → [P, n, outputs]. Throws ShapeError otherwise.
  Tensor operator()(const Tensor& x) const;
  int64_t size() const { return members_; }
  /// Member p alone, a copy. Throws IndexError outside [0, P).
  Mlp member(int64_t p) const;
  /// Copies of the members from ≤ p < to. Throws IndexError unless 0 ≤ from < to ≤ P.
  MlpPopulation part(int64_t from, int64_t to) const;
  /// Puts the members of `part` at from, from + 1, … Throws IndexError if they are too many, ShapeError for another form.
  void put(int64_t from, const MlpPopulation& part);
  const MlpConfig& config() const { return config_; }

 private:
  MlpPopulation(int64_t members, const MlpConfig& config);  // weights are zeros
  MlpConfig config_;
  int64_t members_;
  nn::ModuleList<PopulationLinear> layers_;
};

}  // namespace plumb::mlp
