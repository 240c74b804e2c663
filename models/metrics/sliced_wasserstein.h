// The sliced Wasserstein distance: how far apart two clouds of points are, seen along random directions.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::metrics {

struct SlicedWassersteinOptions {
  int64_t directions = 128;
  double p = 2;
  Generator* generator = nullptr;  ///< of the directions; default_generator() if null
};

/// (mean over directions θ of W_p^p(⟨a, θ⟩, ⟨b, θ⟩))^(1/p), θ uniform on the sphere (Rabin et al. 2012); in one dimension W_p^p is the
/// integral of |F_a⁻¹ − F_b⁻¹|^p, exact also for clouds of different sizes. a [n, d], b [m, d]; computed in f64.
/// Throws ShapeError for widths that differ or empty clouds, ValueError unless directions ≥ 1 and p ≥ 1.
double sliced_wasserstein(const Tensor& a, const Tensor& b, SlicedWassersteinOptions options = {});

}  // namespace plumb::metrics
