// Made-up points with known structure: moons, spirals, blobs, mixtures. Equal seeds give equal bits on every machine.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

struct NoiseOptions {
  double noise = 0.1;  ///< standard deviation of the normal noise on each coordinate
  uint64_t seed = 0;
};

/// Two interleaved half circles of radius 1: features [2] f32, label 0 for (cos t, sin t), 1 for (1 − cos t, ½ − sin t), t evenly spaced
/// over [0, π]. Labels alternate. Throws ValueError for n < 0 or noise < 0.
Dataset two_moons(int64_t n, NoiseOptions options = {});

struct SpiralOptions {
  int64_t arms = 2;    ///< one class each
  double turns = 1.5;  ///< from the centre to radius 1
  double noise = 0.02;
  uint64_t seed = 0;
};
/// Spiral arms about the origin: features [2] f32, label the arm a; r·(cos φ, sin φ) with φ = 2π (turns·r + a/arms), r evenly spaced over
/// (0, 1]. Labels alternate. Throws ValueError for n < 0, arms < 1 or noise < 0.
Dataset spirals(int64_t n, SpiralOptions options = {});

struct BlobOptions {
  int64_t centers = 3;
  int64_t dimensions = 2;
  double spread = 1;  ///< standard deviation about a centre
  double box = 10;    ///< centres are uniform in [−box, box] along each dimension
  uint64_t seed = 0;
};
/// Round normal clouds: features [D] f32, label the centre. Labels alternate. Throws ValueError for n < 0, centers or dimensions < 1,
/// spread < 0.
Dataset blobs(int64_t n, BlobOptions options = {});

/// Σ_k w_k N(μ_k, Σ_k).
struct GaussianMixture {
  Tensor means;        ///< [K, D]
  Tensor covariances;  ///< [K, D, D]; undefined: scale²·I for all
  double scale = 1;
  std::vector<double> weights;  ///< K of them, in any unit; empty: equal
};
/// Draws from the mixture: features [D] f32, label the component. Throws ShapeError for tensors that do not fit together, ValueError for
/// n < 0, weights that are negative or sum to 0, or a covariance that is not positive definite.
Dataset gaussian_mixture(int64_t n, const GaussianMixture& mixture, uint64_t seed = 0);

/// [K, 2] f64: K points evenly spaced on a circle about the origin, the first at (radius, 0).
Tensor ring_means(int64_t k, double radius);
/// [side², 2] f64: a square grid about the origin, row by row.
Tensor grid_means(int64_t side, double spacing);

}  // namespace plumb::data
