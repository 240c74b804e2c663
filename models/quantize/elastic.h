// Layers that can be computed at any bit-width, granularity and symmetry with one set of weights (EQ-Net: Xu et al., ICCV 2023).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/nn/conv.h"
#include "models/nn/module.h"
#include "models/quantize/fake_quantize.h"

namespace plumb::quantize {

/// In which form a layer is computed. Activations have one scale for the tensor always.
struct LayerForm {
  int weight_bits = 8, activation_bits = 8;
  bool per_channel = true;  ///< of the weight
  bool weight_symmetric = true, activation_symmetric = true;
  /// Throws ValueError as check_bits.
  void check() const;
  bool operator==(const LayerForm&) const = default;
};
/// One form for each quantised layer, in the network's order.
using NetForm = std::vector<LayerForm>;

/// The scales and offsets of one tensor for all seven bit-widths. Row b − 2 of a table is used at b bits, and it alone gets a gradient.
class ScaleTable : public nn::Module {
 public:
  /// Tables [7, channels] of ones, which fit() fills; `channels` is 1 for a scale of the whole tensor.
  ScaleTable(nn::Module* parent, std::string name, int64_t channels);

  /// Fits every row to v, or the row of `only_bits`. With `from_zero` codes start from 0 (v is never negative). `axis` as in FitOptions.
  /// Throws as fit_scale.
  void fit(const Tensor& v, bool from_zero, int axis, int64_t symmetric_steps, int64_t max_elements = 0, int only_bits = 0);
  /// v at `bits` bits; gradients of scale and offset are multiplied by `gradient_scale`. Throws ValueError as check_bits, and before fit().
  Tensor quantized(const Tensor& v, int bits, bool symmetric, double gradient_scale, int axis = 0) const;
  bool fitted() const { return fitted_.item<bool>(); }
  CodeRange codes(int bits) const { return from_zero_.item<bool>() ? unsigned_codes(bits) : signed_codes(bits); }

  nn::Parameter symmetric_scale, asymmetric_scale, asymmetric_offset;  ///< [7, channels]

 private:
  nn::Buffer fitted_, from_zero_;
};

/// A linear or convolution layer whose input and weight are quantised in the form that is set: conv2d(q(x), q(weight), bias) or
/// linear(q(x), q(weight), bias). The scales are parameters; those of the input are fitted by calibrate().
class ElasticLayer : public nn::Module {
 public:
  /// weight [out, in / groups, kh, kw] (convolution) or [out, in]; both are copied. Throws ShapeError for another rank.
  ElasticLayer(nn::Module* parent, std::string name, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& convolution = {});

  /// Weights anew from those of a float layer.
  void set_weight(const Tensor& weight, const Tensor& bias = {});
  /// Fits all scales: those of the weight, and those of the input to x. Then returns the layer's float output for x.
  Tensor calibrate(const Tensor& x);
  /// Fits the scales of the weight alone (those of `only_bits`, if given): after it was changed by other means.
  void fit_weight(int only_bits = 0);
  /// In the layer's form; in full precision where it is switched off, and calibrate() where the network calibrates.
  Tensor operator()(const Tensor& x);

  /// Throws ValueError as LayerForm::check.
  void set_form(const LayerForm& form);
  const LayerForm& form() const { return form_; }
  enum class Mode : uint8_t { quantized, full_precision, calibrating };
  void set_mode(Mode mode) { mode_ = mode; }

  /// The weight as it is computed with.
  Tensor quantized_weight() const;
  /// Elements of the last input of one example, for average bits. 0 before the first.
  int64_t input_elements() const { return input_elements_; }

  nn::Parameter weight, bias;
  ScaleTable weight_by_tensor, weight_by_channel, input;

 private:
  Tensor computed(const Tensor& x, const Tensor& w) const;

  Conv2dOptions convolution_;
  LayerForm form_;
  Mode mode_ = Mode::quantized;
  int64_t input_elements_ = 0;
};

/// All ElasticLayers of a network, in order of declaration; sets forms over all of them.
class SuperNet {
 public:
  /// Throws ValueError if there are fewer than two elastic layers: the first and the last stay at 8 bits.
  explicit SuperNet(nn::Module& network);

  size_t layers() const { return layers_.size(); }
  ElasticLayer& layer(size_t i) const { return *layers_.at(i); }
  NetForm form() const;
  /// Throws ValueError for another number of layers or an unknown bit-width; then nothing is changed.
  void set(const NetForm& form) const;
  void set_mode(ElasticLayer::Mode mode) const;

  /// `bits`/`activation_bits` in all layers but the first and the last, which have 8, and one form for all.
  NetForm uniform(int bits, bool per_channel, bool weight_symmetric, bool activation_symmetric) const;
  /// 8/8, each layer's granularity and symmetries drawn.
  NetForm biggest(Generator& generator) const;
  /// Everything drawn: bits from `choices` (2 … 8 if empty); the first and the last layer have 8.
  NetForm random(Generator& generator, const std::vector<int>& choices = {}) const;
  /// 2/2 (8/8 in the first and last), forms drawn.
  NetForm smallest(Generator& generator) const;
  /// Bits drawn as by random(), one form in all layers.
  NetForm random_bits(Generator& generator, bool per_channel, bool weight_symmetric, bool activation_symmetric,
                      const std::vector<int>& choices = {}) const;

  /// Elements of each layer's weight, and of one example's input (after a forward pass).
  std::vector<double> weight_sizes() const;
  std::vector<double> activation_sizes() const;

 private:
  NetForm with_ends(NetForm form) const;
  std::vector<ElasticLayer*> layers_;
};

}  // namespace plumb::quantize
