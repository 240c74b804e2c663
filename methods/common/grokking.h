// What experiments on late generalisation share: tables of modular arithmetic as pairs, the network without biases that learns them, and a
// log that finds when each part was learned.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/data/modular.h"
#include "models/nn/containers.h"
#include "models/nn/linear.h"

namespace plumb::methods {

/// Examples (a, b) → a ∘ b mod p: pairs [n, 2] i64 hold a and p + b, the places of the two ones in the concatenation of one-hot a and b;
/// labels [n] i64.
struct PairExamples {
  Tensor pairs, labels;
  int64_t size() const { return labels.numel(); }
};
struct AlgorithmicData {
  int64_t modulus = 0;
  PairExamples train, test;
};
/// The table of an operation cut into random halves, as data::modular_arithmetic makes them. Throws as it does, and ValueError for a
/// training share of 0 or 1, which would leave a part empty.
AlgorithmicData algorithmic_data(const data::ModularOptions& options);

struct PairMlpConfig {
  int64_t modulus = 113;
  std::vector<int64_t> hidden{200, 200};
  double logit_scale = 1;  ///< α: multiplies the logits; learning rates are divided by α²
  DType dtype = f32;
};
/// α · W_L relu(… relu(W_1 [onehot a; onehot b])), no biases: positively homogeneous in its weights, of degree L = the number of layers.
/// All weights start as nn::Linear's, U(±1/√fan_in) with fan_in 2p for the first.
class PairMlp : public nn::Module {
 public:
  /// Throws ValueError for a modulus below 2, no hidden layer, or one without units.
  explicit PairMlp(const PairMlpConfig& config);
  /// pairs [n, 2] as in PairExamples → logits [n, p].
  Tensor operator()(const Tensor& pairs) const;

  nn::Parameter first;  ///< W_1ᵀ, [2p, hidden[0]]: a product with two one-hot vectors is the sum of two of its rows

 private:
  nn::ModuleList<nn::Linear> layers_;
  double logit_scale_;
};

/// One look at a run.
struct GrokkingPoint {
  int64_t epoch = 0;
  double train_accuracy = 0, test_accuracy = 0;  ///< from 0 to 1
  double train_loss = 0;
  double collapse_rate = 0, zero_rate = 0, alignment = 0, weight_norm = 0, gradient_norm = 0;
};

/// The course of a run, looked at every few epochs.
class GrokkingLog {
 public:
  /// Throws ValueError unless epochs grow.
  void add(const GrokkingPoint& point);
  const std::vector<GrokkingPoint>& points() const { return points_; }
  /// Throws ValueError for an empty log.
  const GrokkingPoint& last() const;

  enum class Part : uint8_t { train, test };
  /// The first epoch looked at in which the part's accuracy reached `accuracy`; −1 if none did.
  int64_t epoch_reaching(double accuracy, Part part) const;
  /// Epochs between the training part's reaching it and the test part's; −1 if either did not.
  int64_t delay(double accuracy) const;

 private:
  std::vector<GrokkingPoint> points_;
};

}  // namespace plumb::methods
