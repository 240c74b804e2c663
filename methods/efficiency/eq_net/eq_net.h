// EQ-Net: Elastic Quantization Neural Networks (Xu et al., ICCV 2023): one network trained at all bit-widths, granularities and symmetries
// at once, so that any form of it can be used, and mixed precision searched for, without training again.
//
//   quantize::SuperNet net(network);             // its ElasticLayers (models/quantize/elastic.h), calibrated
//   optim::Adam adam(network.parameters(), {.lr = 1e-3});
//   adam.zero_grad();
//   eq_net::accumulate_gradients(net, forward, batch.image, batch.label, {}, generator);
//   optim::clip_grad_value(network.parameters(), 1.0);
//   adam.step();
//   net.set(net.uniform(4, true, true, true));   // any form, after nn::recalibrate_batch_norm
#pragma once
#include <functional>

#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/quantize/mixed_precision.h"

namespace plumb::methods::eq_net {

// -- the weights' distribution -------------------------------------------------------------------------

/// mean(((w − w̄) / σ)⁴) and mean(((w − w̄) / σ)³), σ² the unbiased variance. Throw ValueError where the elements are all equal (σ = 0) or
/// fewer than two.
Tensor kurtosis(const Tensor& w);
Tensor skewness(const Tensor& w);

struct WdrOptions {
  double kurtosis_rate = 0.015, skewness_rate = 1;
  double kurtosis_target = 1.8, skewness_target = 0;  ///< those of the uniform distribution
};
/// Weight distribution regulariser: kurtosis_rate · mean_l (K(w_l) − 1.8)² + skewness_rate · mean_l (S(w_l) − 0)². With skewness_rate 0 it
/// is KURE (Chmiel et al., NeurIPS 2020). Throws ValueError for no weights, and as kurtosis.
Tensor wdr_loss(const std::vector<Tensor>& weights, const WdrOptions& options = {});
/// Of all elastic layers but the first.
Tensor wdr_loss(const quantize::SuperNet& net, const WdrOptions& options = {});

// -- training ------------------------------------------------------------------------------------------

/// α KL(softmax(teacher) ‖ softmax(student)) + (1 − α) CE(student, labels), batch means; no gradient to the teacher.
/// Throws ValueError for α outside [0, 1].
Tensor guided_loss(const Tensor& student, const Tensor& teacher, const Tensor& labels, double alpha = 0.5);

/// Who teaches whom.
enum class Guidance : uint8_t {
  progressive,  ///< the 8-bit net teaches the random one, and that the 2-bit one: the method
  biggest,      ///< the 8-bit net teaches both
  none,         ///< labels alone
};

struct StepOptions {
  WdrOptions wdr;
  bool regularise = true;  ///< WDR at all
  Guidance guidance = Guidance::progressive;
  double alpha = 0.5;
  int subnets = 3;             ///< 1: the biggest alone; 2: and a random one; 3: and the smallest
  std::vector<int> bits = {};  ///< those of random sub-nets; empty: 2 … 8
};
struct StepLosses {
  double wdr = 0, biggest = 0, random = 0, smallest = 0;
};
using Forward = std::function<Tensor(const Tensor&)>;

/// Adds the gradients of one step, of WDR and of up to three sub-nets one after the other, to the parameters; the network is left in the
/// form of the last. Throws ValueError unless 1 ≤ subnets ≤ 3.
StepLosses accumulate_gradients(const quantize::SuperNet& net, const Forward& forward, const Tensor& images, const Tensor& labels,
                                const StepOptions& options, Generator& generator);

// -- what a form is worth, without measuring it ----------------------------------------------------------

/// The inputs of the predictor, [6 + 14 L]: per channel, per layer, weights symmetric, 0, activations symmetric, 0 (of the first layer
/// between the ends); then 7 numbers a layer, one-hot of its weight bits, and 7 of its activation bits, zeros for the first and the last.
/// Throws ValueError for fewer than three layers or as LayerForm::check.
std::vector<float> form_features(const quantize::NetForm& form);

struct PredictorOptions {
  int64_t hidden = 7, width = 200;
  double lr = 4e-4, weight_decay = 1e-5;
  int64_t epochs = 100, batch = 32;
};

/// Conditional quantisation-aware accuracy predictor: a ReLU network on form_features whose output, without a bias, is added to the mean of
/// the accuracies that it was trained on. Smooth L1, Adam.
class AccuracyPredictor : public nn::Module {
 public:
  /// For networks of `layers` elastic layers; weights drawn from the default generator.
  AccuracyPredictor(int64_t layers, const PredictorOptions& options = {});
  /// Learns from measured pairs; returns the loss of the last epoch. Throws ValueError for none or lists of different lengths.
  double fit(const std::vector<quantize::NetForm>& forms, const std::vector<double>& accuracies, Generator& generator);
  /// One accuracy a form, in the unit of those it learned from.
  std::vector<double> operator()(const std::vector<quantize::NetForm>& forms) const;

 private:
  Tensor predicted(const Tensor& features) const;

  PredictorOptions options_;
  nn::ModuleList<nn::Linear> hidden_{this, "hidden"};
  nn::Linear output_;
  double base_ = 0;
};

}  // namespace plumb::methods::eq_net
