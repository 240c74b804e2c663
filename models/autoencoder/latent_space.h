// The latent space of a trained autoencoder, as generative methods that work there take it.
#pragma once
#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "engine/io/state_dict.h"
#include "models/autoencoder/autoencoder.h"

namespace plumb::autoencoder {

/// Latents shifted and scaled to mean 0 and standard deviation 1, each channel of a map (each number of a vector) by itself, over a set of
/// images:
///   latent_space.encode(images) = (model.encode(images) − mean) / std,      latent_space.decode(z) = model.decode(mean + std · z)
/// (Rombach et al. 2022 scale by one number; a channel each also serves spaces whose channels differ.) It refers to the model, which must
/// stay where it is; it is used in evaluation mode, without recording.
class LatentSpace {
 public:
  /// With the statistics of the images' latents, at most `most` of them, and their full covariance where it has at most 1,024 rows.
  static LatentSpace measured(Autoencoder& model, const data::Dataset& images, int64_t most = 10000);
  /// With those stored as state() before. Throws ValueError for a missing tensor, ShapeError for those of another space.
  LatentSpace(Autoencoder& model, const StateDict& state);
  /// "mean" and "std" [channels]; where the covariance was measured, of the scaled latents, n numbers each, "place_mean" [n] and "factor"
  /// [n, n], Cholesky's.
  StateDict state() const;

  /// Of one latent, as the model's.
  Shape shape() const { return model_->config().latent_shape(); }
  Tensor encode(const Tensor& images) const;
  Tensor decode(const Tensor& latents) const;
  /// Latents drawn from a Gaussian with the images' means and covariances (Ghosh et al., ICLR 2020: a deterministic autoencoder's prior):
  /// [count, shape()], to be decoded by decode. Throws ValueError where the covariance was not measured.
  Tensor sample(int64_t count, Generator& random) const;

 private:
  explicit LatentSpace(Autoencoder& model) : model_(&model) {}
  Tensor across(const Tensor& channels) const;  // for [B, channels, ..]
  Autoencoder* model_;
  Tensor mean_, std_;           // [channels], f32
  Tensor place_mean_, factor_;  // [n] and [n, n] of the scaled latents, row-major; undefined if not measured
};

}  // namespace plumb::autoencoder
