// Layers whose weight is computed from other parameters at every call: weight normalisation and spectral normalisation of any layer that
// has a `Parameter weight`:   nn::WeightNorm<nn::Linear> up{this, "up", nn::Linear(784, 256)};
#pragma once
#include "engine/autograd/checkpoint.h"
#include "models/nn/module.h"
#include "ops/normalize.h"
#include "ops/shape.h"

namespace plumb::nn {

/// ‖x‖ over all dimensions but `dim`, with size 1 there. And a random unit vector of the size of `dim`.
Tensor norms_along(const Tensor& x, int dim);
Tensor first_direction(const Tensor& x, int dim);

/// weight = g · v / ‖v‖, the norm taken for each row of dimension `dim` (Salimans & Kingma, NeurIPS 2016). v starts as the layer's weight
/// and g as its norms, so the layer starts unchanged. A module belongs to one thread at a time: calling it writes layer.weight.
template <typename Layer>
class WeightNorm : public Module {
 public:
  explicit WeightNorm(Layer of, int dim = 0) : layer(std::move(of)), dim_(dim) { start(); }
  WeightNorm(Module* parent, std::string name, Layer of, int dim = 0) : WeightNorm(std::move(of), dim) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const {
    layer.weight = weight_norm(v, g, dim_);
    return layer(x);
  }

  mutable Layer layer;  ///< its weight is no parameter any more
  Parameter g, v;

 private:
  void start() {
    register_module("layer", layer);
    Tensor weight = layer.release_parameter(layer.weight);
    register_parameter("g", g, norms_along(weight, dim_));
    register_parameter("v", v, weight);
  }
  int dim_;
};

/// weight = w / σ(w), σ the largest singular value of w as a matrix [size(dim), rest], followed by `iterations` power iterations at each
/// call in training mode (Miyato et al., ICLR 2018); in evaluation mode the vector found last is used. Inside checkpoint() the layer may be
/// called once between two backward passes: what is run again starts from the vector of the last call.
template <typename Layer>
class SpectralNorm : public Module {
 public:
  explicit SpectralNorm(Layer of, int iterations = 1, int dim = 0) : layer(std::move(of)), iterations_(iterations), dim_(dim) { start(); }
  SpectralNorm(Module* parent, std::string name, Layer of, int iterations = 1, int dim = 0) : SpectralNorm(std::move(of), iterations, dim) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const {
    bool moves = training() && !recomputing();
    Tensor direction = u;
    if (moves) start_ = plumb::clone(direction).detach();
    Tensor from = training() && start_.defined() ? start_ : direction;
    plumb::SpectralNorm normed = spectral_norm(original, from, training() ? iterations_ : 0, dim_);
    if (moves) copy_data(normed.u, direction);
    layer.weight = normed.weight;
    return layer(x);
  }

  mutable Layer layer;
  Parameter original;
  Buffer u;

 private:
  void start() {
    register_module("layer", layer);
    Tensor weight = layer.release_parameter(layer.weight);
    register_buffer("u", u, first_direction(weight, dim_));
    register_parameter("original", original, weight);
    // A first estimate, so that evaluation before any training makes sense.
    copy_data(spectral_norm(weight, u, 15, dim_).u, u);
  }
  int iterations_, dim_;
  mutable Tensor start_;  // u before the last call in training mode
};

}  // namespace plumb::nn
