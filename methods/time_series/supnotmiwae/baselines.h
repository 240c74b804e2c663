// What supnotMIWAE is compared with: the same classifier on simply filled series with their mask, and GRU-D.
#pragma once
#include "methods/time_series/supnotmiwae/networks.h"
#include "models/nn/recurrent.h"

namespace plumb::methods::supnotmiwae {

enum class Filling : uint8_t {
  zero,          ///< 0, which is the training mean of standardised values
  channel_mean,  ///< the mean of what the series itself has of the channel; 0 where it has nothing
  forward        ///< the last value seen; 0 before the first
};
/// Values with their gaps filled: [B, T, D].
Tensor fill(const SeriesBatch& batch, Filling filling);

/// A SeriesClassifier of [filled values, mask].
class FilledClassifier : public nn::Module {
 public:
  FilledClassifier(int64_t channels, int64_t classes, Filling filling, const NetworkOptions& options);
  /// Logits [B, classes]. If `noise` [B, T, D] is given it takes the place of the fillings.
  Tensor operator()(const SeriesBatch& batch, const Tensor& noise = {}) const;
  Tensor imputed(const SeriesBatch& batch) const { return fill(batch.cleaned(), filling_); }

 private:
  Filling filling_;
  SeriesClassifier classifier_;
};

/// GRU-D (Che et al., Scientific Reports 8, 2018): the input decays from the last value to the mean (0), the hidden state with the time
/// since a channel was seen:
///   x̂ = m x + (1 − m)(γ_x ℓ + (1 − γ_x) 0),   h ← γ_h ⊙ h,   h ← GRU([x̂, m], h);   γ_x = exp(−max(0, w δ + b)),  γ_h = exp(−max(0, W δ +
///   c))
/// with δ the time since the last step at which the channel was observed before this one. Logits from the mean of h over valid steps.
class GruD : public nn::Module {
 public:
  GruD(int64_t channels, int64_t classes, int64_t hidden);
  Tensor operator()(const SeriesBatch& batch, const Tensor& noise = {}) const;
  Tensor imputed(const SeriesBatch& batch) const;

 private:
  nn::Parameter decay_w_, decay_b_;
  nn::Linear hidden_decay_;
  nn::GRUCell cell_;
  nn::Linear head_;
};

/// Of each step and channel the time since it was last observed before that step (since the first step where it never was): times [B, T],
/// mask [B, T, D] → [B, T, D]. Outside the graph.
Tensor time_since_observed(const Tensor& mask, const Tensor& times);

}  // namespace plumb::methods::supnotmiwae
