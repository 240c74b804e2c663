// COMET: contrast at four levels of nested series: of steps, of windows, of the windows of a recording, and of those of a patient.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "models/optim/ema.h"
#include "models/temporal/dilated_encoder.h"

namespace plumb::methods::comet {

// -- losses: z and z' [B, T, C] are two views of the same B windows of T steps -----------------------------------

/// The sample level (TS2Vec's instance contrast): at each step the 2B vectors u of both views, by inner products without a temperature:
///   mean over steps and all 2B vectors of  −log softmax_{j ≠ i}(⟨u_i, u_j⟩) at i's other view
/// log(2B − 1) for zeros, 0 for B = 1. Symmetric in z and z'. Throws ShapeError unless both are [B, T, C].
Tensor instance_contrast(const Tensor& z, const Tensor& z2);
/// The observation level: the same within each window, over its 2T steps. log(2T − 1) for zeros.
Tensor temporal_contrast(const Tensor& z, const Tensor& z2);

using StepContrast = std::function<Tensor(const Tensor& z, const Tensor& z2)>;
/// The mean of loss(z, z') over scales: after each, time is halved by the maximum of pairs (an odd step at the end goes), as long as there
/// is more than one step. T = 4 has two, T = 1 none: ShapeError.
Tensor hierarchical(const StepContrast& loss, const Tensor& z, const Tensor& z2);

/// The patient and the trial level. Each channel of a window is divided by its length over time, and a_i, b_j are the windows of z and z'
/// as vectors [T C]; s_ij = cos(a_i, b_j) / τ. Windows of one group are alike:
///   ½ [ mean over i < j of one group of log Σ_k e^{s_ik} − s_ij  +  mean over i > j of one group of log Σ_k e^{s_kj} − s_ij ]
/// The windows themselves, i = j, are no positives but are among the others. 0, with gradient 0, where no group has two windows. ids i64
/// [B]. Throws ShapeError, DTypeError for other ids, ValueError unless τ > 0.
Tensor group_contrast(const Tensor& z, const Tensor& z2, const Tensor& ids, double tau = 0.1);

// -- all of them --------------------------------------------------------------------------------------------------

enum class TimeMask { all_true, continuous, binomial };
/// Which steps a view keeps, f32 [B, T] of 0 and 1. continuous: in each window max(1, min(5, ⌊T / 2⌋)) runs of max(1, ⌊T / 10⌋) steps at
/// uniform places are hidden (they may overlap); binomial: each step is kept with probability ½. Throws ValueError unless B, T ≥ 1.
Tensor time_mask(TimeMask kind, int64_t windows, int64_t steps, Generator& generator);

struct CometWeights {
  double patient = 0.25, trial = 0.25, sample = 0.25, observation = 0.25;  ///< 0: a level is left out
  bool as_released = false;  ///< the released code multiplies the two upper levels by 1, whatever their weight
  double of_patient() const { return as_released && patient > 0 ? 1 : patient; }
  double of_trial() const { return as_released && trial > 0 ? 1 : trial; }
};
struct CometOptions {
  CometWeights weights;
  double tau = 0.1;
  bool own_views =
      true;  ///< each level draws its own two views, as released; else the two upper levels share theirs, and so do the two lower
};
struct CometBatch {
  Tensor series;            ///< [B, T, channels]
  Tensor patients, trials;  ///< i64 [B]
};
/// λ_P l_P + λ_T l_T + λ_S l_S + λ_O l_O (eq. 6): views of the upper levels hide nothing and differ by dropout alone, those of the lower
/// ones are `continuous`. Throws ValueError for negative weights or none above 0.
Tensor comet_loss(const temporal::DilatedEncoder& encoder, const CometBatch& batch, const CometOptions& options, Generator& generator);

/// The plain mean of a model's weights over its course, the start among them: w̄ ← w̄ + (w − w̄) / (n + 1). What is used after training.
template <typename Model>
class WeightAverager {
 public:
  explicit WeightAverager(const Model& start) : average_(start) {}
  void update(const Model& model) {
    average_.update(model, static_cast<double>(seen_) / static_cast<double>(seen_ + 1));
    ++seen_;
  }
  const Model& model() const { return average_.model; }

 private:
  optim::Ema<Model> average_;
  int64_t seen_ = 1;
};

}  // namespace plumb::methods::comet
