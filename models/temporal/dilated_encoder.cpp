// The dilated convolution encoder, forward.
#include "models/temporal/dilated_encoder.h"

#include <string>

#include "models/require.h"
#include "ops/activation.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::temporal {

void DilatedEncoderConfig::check() const {
  require_positive("dilated_encoder", {{"channels", channels}, {"hidden", hidden}, {"output", output}, {"kernel", kernel}});
  require(depth >= 0 && depth <= 30, "dilated_encoder: depth must lie in [0, 30], it is " + std::to_string(depth));
  require(kernel % 2 == 1, "dilated_encoder: kernel must be odd, it is " + std::to_string(kernel));
  require_rate("dilated_encoder", "dropout", dropout);
}

static nn::Conv1dOptions around(int64_t kernel, int64_t dilation) { return {.padding = dilation * (kernel - 1) / 2, .dilation = dilation}; }

DilatedBlock::DilatedBlock(int64_t in, int64_t out, int64_t kernel, int64_t dilation, bool project)
    : conv1(this, "conv1", in, out, kernel, around(kernel, dilation)), conv2(this, "conv2", out, out, kernel, around(kernel, dilation)) {
  if (project) register_module("projector", projector.emplace(in, out, 1));
}

Tensor DilatedBlock::operator()(const Tensor& x) const { return conv2(gelu(conv1(gelu(x)))) + (projector ? (*projector)(x) : x); }

DilatedEncoder::DilatedEncoder(const DilatedEncoderConfig& c)
    : config_((c.check(), c)), input_(this, "input", c.channels, c.hidden), blocks_(this, "blocks"), dropout_(this, "dropout", c.dropout) {
  for (int64_t i = 0; i < c.depth; ++i) blocks_.emplace_back(c.hidden, c.hidden, c.kernel, int64_t{1} << i, false);
  blocks_.emplace_back(c.hidden, c.output, c.kernel, int64_t{1} << c.depth, true);
}

Tensor DilatedEncoder::operator()(const Tensor& series, const Tensor& keep) const {
  if (series.rank() != 3 || series.size(2) != config_.channels || series.size(1) < 1)
    throw ShapeError("dilated_encoder: takes series [B, T, " + std::to_string(config_.channels) + "] of at least one step, got " +
                     to_string(series.shape()));
  Tensor y = input_(series);
  if (keep.defined()) {
    if (keep.shape() != Shape{series.size(0), series.size(1)})
      throw ShapeError("dilated_encoder: a mask " + to_string(keep.shape()) + " does not fit series " + to_string(series.shape()));
    y = y * unsqueeze(plumb::to(keep, y.dtype()), -1);
  }
  y = contiguous(mT(y));
  for (const DilatedBlock& block : blocks_) y = block(y);
  return dropout_(mT(y));
}

Tensor series_vector(const Tensor& steps) {
  if (steps.rank() != 3) throw ShapeError("series_vector: takes [B, T, C], got " + to_string(steps.shape()));
  return amax(steps, {1});
}

}  // namespace plumb::temporal
