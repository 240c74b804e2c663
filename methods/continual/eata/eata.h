// EATA: Efficient Test-Time Model Adaptation without Forgetting (Niu et al., ICML 2022). A trained classifier meets shifted, unlabelled
// batches; the scales and shifts of its batch-norm layers follow the entropy of those predictions that are reliable and not redundant,
// held near their trained values by a Fisher penalty.
#pragma once
#include <functional>
#include <vector>

#include "methods/common/anchor.h"
#include "methods/common/fisher.h"
#include "methods/common/test_time.h"
#include "models/optim/sgd.h"

namespace plumb::methods::eata {

struct EataOptions {
  double e0 = 0.4;              ///< E0 in units of ln C, the largest entropy: samples of H < E0 are reliable
  double d_margin = 0.4;        ///< ε: samples of |cos(p, m)| < ε are not redundant. To be chosen with 1/√C: 0.05 for 1,000 classes
  double fisher_weight = 2000;  ///< β of β Σ ω (θ − θ0)²
  double momentum_m = 0.1;      ///< α of m ← (1 − α) m + α mean p
  int64_t steps = 1;            ///< forward passes with a step each, a batch
  bool weighted = true;         ///< w = exp(E0 − H); false: w = 1
  /// Throws ValueError naming what is out of range: a negative ε or β, α outside [0, 1], steps below 1.
  void check() const;
};

/// Which samples of a batch are worth a backward pass.
struct Selection {
  Tensor reliable;  ///< i64, places with H < E0
  Tensor selected;  ///< i64, those of them that are not redundant
  Tensor weight;    ///< exp(E0 − H) of the selected ones, outside the graph; undefined unless weighted
  Tensor mean;      ///< m after this batch; undefined as long as nothing was selected
};
/// Of logits [B, C] against the running mean prediction m [C], undefined at first: then every reliable sample is selected, and m becomes
/// the mean of their p; later m ← (1 − α) m + α mean_selected p (eqs. 3–5). |cos| = |⟨p, m⟩| / max(|p||m|, 1e-8). Throws ShapeError for
/// logits that are not [B, C] or another m, ValueError for fewer than two classes.
Selection select_samples(const Tensor& logits, const Tensor& mean, const EataOptions& options);
/// (1/n) Σ_selected w_i H_i over the n selected samples, eq. 8 without its penalty; w is constant to the derivative. A plain 0 if none is.
Tensor selected_entropy(const Tensor& logits, const Selection& selection);

/// ω of the batch-norm parameters from clean, unlabelled images of the training distribution (eq. 9): the gradient of the mean
/// cross-entropy of each batch with the model's own labels, squared, averaged over batches, batch norm going by the batch.
/// To be taken at the trained weights, before any adaptation.
FisherDiagonal eata_fisher(nn::Module& model, const std::function<Tensor(const Tensor&)>& forward, const Tensor& clean_inputs,
                           int64_t batch = 64);

enum class Mode : uint8_t {
  source,  ///< running statistics, no adaptation
  bn,      ///< the batch's statistics, no gradient
  tent,    ///< all samples, w = 1, no penalty
  eta,     ///< EATA without the penalty
  eata
};

struct AdapterOptions {
  Mode mode = Mode::eata;
  EataOptions eata = {};
  optim::SgdOptions sgd{.lr = 5e-3, .momentum = 0.9};
};

/// What was spent.
struct Counters {
  int64_t batches = 0, samples = 0;
  int64_t reliable = 0;
  int64_t selected = 0;  ///< "backward passes"; for Tent all samples
  int64_t updates = 0;   ///< optimiser steps
  std::vector<int64_t> selected_per_batch;
};

/// Adapts a model while it answers. The model is the caller's, must outlive the adapter, and is changed: it goes into evaluation mode, only
/// batch-norm scales and shifts require gradients, and they move. Class-ordered streams break the batch statistics that all modes but
/// `source` rest on: shuffle.
class TestTimeAdapter {
 public:
  using Forward = std::function<Tensor(const Tensor&)>;
  /// `forward` gives the model's logits [B, C]; `fisher` is read by Mode::eata with a positive β. Throws ValueError for a model without
  /// batch norm, options out of range, or a missing Fisher diagonal; ShapeError for one that does not fit.
  TestTimeAdapter(nn::Module& model, Forward forward, const AdapterOptions& options, const FisherDiagonal& fisher = {});
  template <typename Model>
  TestTimeAdapter(Model& model, const AdapterOptions& options, const FisherDiagonal& fisher = {})
      : TestTimeAdapter(model, [&model](const Tensor& x) -> Tensor { return model(x); }, options, fisher) {}

  /// The logits of x [B, ..], then one step (of several steps: the last pass's logits). No step when no sample is selected.
  Tensor forward(const Tensor& x);
  /// Back to the values at construction: parameters, momentum and m. Counters go on.
  void reset();
  const Counters& counters() const { return counters_; }
  /// m [C]; undefined while unset.
  const Tensor& mean_prediction() const { return mean_; }

 private:
  Tensor adapt(const Tensor& x);
  Tensor objective(const Tensor& logits);
  optim::SGD fresh_optimizer() const;

  Forward forward_;
  AdapterOptions options_;
  std::vector<nn::NamedTensor> parameters_;
  std::vector<Tensor> source_;
  QuadraticAnchor anchor_;
  optim::SGD sgd_;
  Tensor mean_;
  Counters counters_;
};

}  // namespace plumb::methods::eata
