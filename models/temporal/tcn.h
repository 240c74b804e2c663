// The temporal convolution network (Bai, Kolter & Koltun 2018): causal, dilated convolutions in residual blocks.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"

namespace plumb::temporal {

struct TcnConfig {
  int64_t inputs = 1;                             ///< channels of the sequence
  std::vector<int64_t> channels{25, 25, 25, 25};  ///< of each block; block i dilates by 2^i
  int64_t kernel = 7;
  double dropout = 0.2;  ///< behind each convolution; an element at a time, as the reference code does
  int64_t outputs = 10;  ///< numbers (logits) that are predicted

  std::string to_json() const;
  static TcnConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
  /// How many steps, itself among them, an output can depend on: 1 + 2 (kernel − 1)(2^blocks − 1).
  int64_t receptive_field() const;
};

/// conv1d with kernel g v / ‖v‖, the norm for each output channel, and (kernel − 1) · dilation zeros in front: [B, in, L] → [B, out, L],
/// step t from steps up to t alone. v starts as U(−1/√f, 1/√f), f = in · kernel, as does the bias; g as v's norms.
class CausalConv1d : public nn::Module {
 public:
  CausalConv1d(Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, int64_t dilation);
  Tensor operator()(const Tensor& x) const;

  nn::Parameter bias, weight_g, weight_v;

 private:
  int64_t dilation_;
};

/// relu(F(x) + shortcut(x)), F twice convolution, relu and dropout; the shortcut is a 1×1 convolution where the channels change.
struct TemporalBlock : nn::Module {
  CausalConv1d conv1, conv2;
  nn::Dropout dropout;
  std::optional<nn::Conv1d> downsample;

  TemporalBlock(int64_t in, int64_t out, int64_t kernel, int64_t dilation, double dropout);
  Tensor operator()(const Tensor& x) const;
};

/// Names are those of the reference code (locuslab/TCN): tcn.network.0.conv1.weight_g, …, linear.weight. Its checkpoints hold every
/// convolution a second time under "net."; load_state(…, false) passes over those. Convolutions start as there: its N(0, 0.01²) reaches
/// only `downsample`, for weight normalisation computes the other weights anew.
class Tcn : public nn::Module {
 public:
  /// Throws ConfigError as TcnConfig::check.
  explicit Tcn(const TcnConfig& config);
  /// What the last step tells: x [B, inputs, L] → [B, outputs]. Throws ShapeError for another x.
  Tensor operator()(const Tensor& x) const;
  /// The same at every step, each from itself and earlier ones alone: [B, L, outputs].
  Tensor every_step(const Tensor& x) const;
  /// x [B, inputs, L] → features [B, channels.back(), L].
  Tensor features(const Tensor& x) const;
  const TcnConfig& config() const { return config_; }

 private:
  struct Network : nn::Module {
    nn::ModuleList<TemporalBlock> network;
    explicit Network(Module* parent) : Module(parent, "tcn"), network(this, "network") {}
  };
  TcnConfig config_;
  Network tcn_;
  nn::Linear linear_;
};

}  // namespace plumb::temporal
