// Embeddings of a time or a noise level: a vector that a network is conditioned on.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

/// [n, dim] for times t [n] of floating type: cos(t ω_i) for the first half, sin(t ω_i) for the second, ω_i = period^(−i/(dim/2)); the
/// order of guided-diffusion (Dhariwal & Nichol 2021). Throws ShapeError unless t is a vector, ValueError unless dim is even and positive.
Tensor timestep_embedding(const Tensor& t, int64_t dim, double period = 10000);

struct FourierEmbeddingOptions {
  double scale = 16;  ///< standard deviation of the frequencies; small ones for networks that must be smooth in time (consistency models)
  DType dtype = f32;
  Device device = {};
};

/// [n, dim] for times t [n]: cos(2π f_i t), then sin(2π f_i t), with dim / 2 frequencies f ~ N(0, scale²) drawn once, kept as the buffer
/// `freqs` and not trained (Tancik et al. 2020; the order of EDM's code). Throws ValueError unless dim is even and positive.
class FourierEmbedding : public Module {
 public:
  explicit FourierEmbedding(int64_t dim, FourierEmbeddingOptions options = {});
  FourierEmbedding(Module* parent, std::string name, int64_t dim, FourierEmbeddingOptions options = {}) : FourierEmbedding(dim, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& t) const;

  Buffer freqs;
};

}  // namespace plumb::nn
