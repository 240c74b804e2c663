// LCSC (Liu, Zhu et al., ICLR 2025): the best linear combination of a run's checkpoints, found by search on what they generate.
#pragma once
#include <functional>
#include <vector>

#include "models/optim/checkpoint_bank.h"
#include "models/optim/evolution.h"

namespace plumb::methods::lcsc {

struct Options {
  optim::EvolutionOptions search = {};
  std::vector<double> decays{0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98};  ///< of the averages that the search starts from, for each checkpoint
};

/// Where the search starts: the averages' coefficients over K checkpoints for each decay, and the last checkpoint alone.
std::vector<optim::Genes> seeds(int64_t count, const std::vector<double>& decays);

struct Found {
  optim::Genes coefficients;  ///< a_1 … a_K, of sum 1
  double fitness;
  std::vector<double> history;  ///< the best fitness after the seeds and after each evaluation
  int64_t rejected = 0;
  /// Share of coefficients below 0.
  double negative() const;
};

/// argmin F(a) over θ(a) = Σ_i a_i θ_i with Σ_i a_i = 1, a_i of any sign: an evolutionary search whose population starts as `seeds`, in
/// which a_K is always 1 − Σ_(i<K) a_i. `fitness` judges coefficients, and must judge the same ones alike (fixed noise). Throws as
/// optim::evolve and optim::ema_coefficients.
Found search(int64_t count, const std::function<double(const optim::Genes&)>& fitness, const Options& options = {},
             Generator& generator = default_generator());

/// The same over checkpoints, judged by `evaluate` with the combination in `parameters`, which hold the best combination in the end.
Found search(const optim::CheckpointBank& bank, const std::vector<Tensor>& parameters, const std::function<double()>& evaluate,
             const Options& options = {}, Generator& generator = default_generator());

/// The best of the averages alone, by the same measure: the decay chosen after training.
Found best_average(int64_t count, const std::function<double(const optim::Genes&)>& fitness, const std::vector<double>& decays);

}  // namespace plumb::methods::lcsc
