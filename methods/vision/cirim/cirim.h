// CIRIM: cascades of independently recurrent inference machines (Karkalousos, Noteboom, Hulst, Vos & Caan, Physics in Medicine and Biology
// 67(12), 2022): networks that learn the update rule of an inverse problem from the gradient of its likelihood.
#pragma once
#include <optional>
#include <vector>

#include "methods/vision/cirim/mri.h"
#include "models/nn/containers.h"
#include "models/nn/conv_recurrent.h"
#include "models/optim/schedule.h"

namespace plumb::methods::cirim {

enum class RecurrentKind : uint8_t { ind_rnn, gru, mgu };

/// How a block is held to the measurements beside the likelihood's gradient that it reads: not at all (implicit); by soft data consistency
/// of each of its estimates, x ← x − w g(x) for normalised maps (explicit); or by released_dc, as in the authors' code.
enum class DataConsistency : uint8_t { implicit, explicit_estimate, explicit_released };

struct RimConfig {
  int64_t steps = 8;      ///< T, with the same weights
  int64_t channels = 64;  ///< of the hidden states
  RecurrentKind unit = RecurrentKind::ind_rnn;
  DataConsistency consistency = DataConsistency::implicit;
  /// Throws ValueError for steps or channels below 1.
  void check() const;
};

/// One inference machine. From x_0 = image, h1 = h2 = 0, T times:
///   u = [Re x, Im x, Re g(x), Im g(x)];   a = relu(conv 5×5 (u)), h1 = unit(a, h1);   a = relu(conv 3×3, dilation 2 (h1)), h2 = unit(a,
///   h2) x ← x + conv 3×3 (h2)
/// with replicated borders; units with 1×1 kernels. Convolutions start He-normal (gain √2) with bias 0, units of IndRNN with all weights
/// N(0, (1/2F)²), bias 0, F the channels.
class RimBlock : public nn::Module {
 public:
  explicit RimBlock(const RimConfig& config);
  RimBlock(nn::Module* parent, std::string name, const RimConfig& config) : RimBlock(config) { join(parent, std::move(name)); }
  /// x_1 … x_T, images [B, H, W, 2], without explicit data consistency. Throws ShapeError where image and y do not fit the operator.
  std::vector<Tensor> operator()(const Tensor& image, const Tensor& y, const MriOperator& mri) const;

  nn::Conv2d conv1, conv2, last;
  nn::Parameter dc_weight;  ///< w of explicit data consistency, starts at 1; undefined where it is implicit
  const RimConfig& config() const { return config_; }

 private:
  /// One recurrent layer of the chosen kind.
  struct Unit : nn::Module {
    std::optional<nn::ConvIndRNNCell> ind_rnn;
    std::optional<nn::ConvGRUCell> gru;
    std::optional<nn::ConvMGUCell> mgu;
    Unit(nn::Module* parent, std::string name, const RimConfig& config);
    Tensor operator()(const Tensor& x, const Tensor& h) const;
  };
  RimConfig config_;
  Unit unit1_, unit2_;
};

/// `cascades` blocks with weights of their own. A block starts from the last estimate of the one before, detached, with hidden states at
/// zero: each is trained by its own losses alone. One cascade with the GRU is the recurrent inference machine (Lønning et al. 2019), with
/// IndRNN the IRIM.
class Cirim : public nn::Module {
 public:
  /// Throws ValueError for less than one cascade, and as RimConfig::check.
  Cirim(int64_t cascades, const RimConfig& config);
  /// Estimates [cascade][step], each [B, H, W, 2], explicit data consistency included.
  std::vector<std::vector<Tensor>> forward(const Tensor& y, const MriOperator& mri) const;
  /// The last estimate.
  Tensor operator()(const Tensor& y, const MriOperator& mri) const { return forward(y, mri).back().back(); }

  nn::ModuleList<RimBlock> blocks{this, "blocks"};
};

/// v_t = 10^(−1 + (t−1)/(T−1)), t = 1 … T: from 0.1 to 1. {1} for T = 1. Throws ValueError for T < 1.
std::vector<double> step_weights(int64_t steps);

/// Mean over pixels and images of | |x|/max|x| − |target|/max|target| |, each image by its own maximum. Its gradient flows through the
/// maximum of the prediction too.
Tensor magnitude_loss(const Tensor& prediction, const Tensor& target);

/// How steps are weighed: as the paper intends, 1/C Σ_c 1/T Σ_t v_t L_ct; or as its released code does, which multiplies each step's loss
/// by the whole vector, 1/C Σ_c (Σ_t v_t)/T Σ_t L_ct: all steps alike.
enum class StepWeighting : uint8_t { intended, released };
/// The loss of all estimates [cascade][step]. Throws ValueError if there are none.
Tensor cascade_loss(const std::vector<std::vector<Tensor>>& estimates, const Tensor& target,
                    StepWeighting weighting = StepWeighting::intended);
/// The same of losses L_ct that are known.
Tensor combine_step_losses(const std::vector<std::vector<Tensor>>& losses, StepWeighting weighting = StepWeighting::intended);

/// The official learning rate: with w = 0.1 · steps, (k + 1)/(w + 1) up to k = w, then √((w + 1)/(k + 1)).
optim::Schedule inverse_sqrt_annealing(int64_t steps);

}  // namespace plumb::methods::cirim
