// What supnotMIWAE makes of series with missing values: masks that hide more of them, the last value seen, and decay from it to a generated
// one.
#pragma once
#include "engine/core/generator.h"
#include "models/nn/module.h"

namespace plumb::methods::supnotmiwae {

/// A batch of series: values [B, T, D] (0 where missing), mask [B, T, D] (1 where observed), times [B, T], length [B] (i64). What lies at
/// or beyond a series' length does not count.
struct SeriesBatch {
  Tensor values, mask, times, length;
  Tensor statics = {};  ///< [B, S], features that do not change; undefined: none
  int64_t size() const { return values.size(0); }
  int64_t steps() const { return values.size(1); }
  int64_t channels() const { return values.size(2); }
  /// [B, T], 1 before the length, else 0.
  Tensor valid() const;
  /// Values, mask and times with 0 where a series has ended. Throws ShapeError for parts that do not fit, ValueError for a length outside
  /// [1, T].
  SeriesBatch cleaned() const;
};

/// ObsDropout (Kim et al., ICML 2023): each observed entry stays with probability 1 − β, drawn anew for each of `samples`: mask [B, T, D] →
/// [samples, B, T, D]. Throws ValueError for β outside [0, 1).
Tensor obs_dropout(const Tensor& mask, double beta, int64_t samples, Generator& generator);
/// Σ over entries of log p(m), m the kept mask among those observed: log(1 − β) for kept, log β for hidden. mask [.., T, D], kept [K, ..,
/// T, D] → [K, ..].
Tensor dropout_log_probability(const Tensor& kept, const Tensor& mask, double beta);

struct LastSeen {
  Tensor value;    ///< [.., T, D] the value at the last step so far, this one included, whose mask is 1; 0 before the first
  Tensor elapsed;  ///< time since then; since time 0 before the first
};
/// values and mask [.., T, D] (values may lack leading dimensions of mask), times [B, T] or [.., B, T]. Outside the graph.
LastSeen forward_fill(const Tensor& values, const Tensor& mask, const Tensor& times);

/// γ = exp(−max(0, w Δ + b)), x' = x where kept, else γ ℓ + (1 − γ) x̃: from the last value ℓ, Δ ago, to a generated x̃. w and b [D].
Tensor decay_impute(const Tensor& values, const Tensor& kept, const LastSeen& last, const Tensor& generated, const Tensor& w,
                    const Tensor& b);

/// decay_impute with its own w (0 at first) and b (0.05), b ≥ 0 kept by project() after each step of an optimiser.
class DecayImputer : public nn::Module {
 public:
  DecayImputer(nn::Module* parent, std::string name, int64_t channels);
  /// kept [.., B, T, D], generated broadcasting to it.
  Tensor operator()(const SeriesBatch& batch, const Tensor& kept, const Tensor& generated) const;
  void project();

  nn::Parameter w, b;
};

/// [.., T, width] for times [.., T]: sin(t/τ_i) at even i, cos(t/τ_i) at odd i, τ_i = 100^(i/(width−1)); each series' times divided by its
/// largest (by 1 where that is not positive).
Tensor time_code(const Tensor& times, int64_t width);

}  // namespace plumb::methods::supnotmiwae
