// The dilated convolution encoder of TS2Vec and COMET (Yue et al., AAAI 2022; Wang et al., NeurIPS 2023): a vector for every step of a
// series.
#pragma once
#include <optional>
#include <string>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"

namespace plumb::temporal {

struct DilatedEncoderConfig {
  int64_t channels = 1;  ///< of the series
  int64_t depth = 10;    ///< blocks of `hidden` channels; one more, of `output`, follows
  int64_t hidden = 64;
  int64_t output = 320;  ///< of a step's vector
  int64_t kernel = 3;    ///< odd
  double dropout = 0.1;  ///< of the vectors

  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// conv(gelu(conv(gelu(x)))) + x: [B, in, L] → [B, out, L], zeros around the series; x through a 1×1 convolution where `project`.
struct DilatedBlock : nn::Module {
  nn::Conv1d conv1, conv2;
  std::optional<nn::Conv1d> projector;

  DilatedBlock(int64_t in, int64_t out, int64_t kernel, int64_t dilation, bool project);
  Tensor operator()(const Tensor& x) const;
};

/// Each step through a linear layer to `hidden` numbers, hidden steps set to 0, then blocks whose dilation is 1, 2, 4, …, dropout in the
/// end.
class DilatedEncoder : public nn::Module {
 public:
  /// Throws ConfigError as DilatedEncoderConfig::check.
  explicit DilatedEncoder(const DilatedEncoderConfig& config);
  DilatedEncoder(Module* parent, std::string name, const DilatedEncoderConfig& config) : DilatedEncoder(config) {
    join(parent, std::move(name));
  }
  /// Series [B, T, channels] → [B, T, output]. `keep` [B, T], 0 or false where a step is hidden; undefined: none. Throws ShapeError for
  /// others.
  Tensor operator()(const Tensor& series, const Tensor& keep = {}) const;
  const DilatedEncoderConfig& config() const { return config_; }

 private:
  DilatedEncoderConfig config_;
  nn::Linear input_;
  nn::ModuleList<DilatedBlock> blocks_;
  nn::Dropout dropout_;
};

/// The largest over time of every feature, [B, T, C] → [B, C]: a vector for a whole series.
Tensor series_vector(const Tensor& steps);

}  // namespace plumb::temporal
