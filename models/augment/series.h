// Random changes to time series that keep their class, for contrastive and semi-supervised learning. All take f32 series [B, C, L] on
// the CPU, treat each on its own (channels together), and return new ones of the same shape; what is drawn comes from the generator,
// series by series. All throw ShapeError or DTypeError for another tensor, ValueError for an option outside its range.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::augment {

/// x + σ ε, ε standard normal (Um et al., ICMI 2017, as the next five).
Tensor jitter(const Tensor& series, double sigma, Generator& generator);
/// Each channel times a factor ~ N(1, σ²).
Tensor scale_channels(const Tensor& series, double sigma, Generator& generator);
/// Each channel times a smooth curve through `knots` + 2 points ~ N(1, σ²), evenly spaced: a natural cubic spline.
Tensor magnitude_warp(const Tensor& series, double sigma, int64_t knots, Generator& generator);
/// Read at smoothly distorted times: their speed is such a curve (held above 0.05), their ends stay; linear in between.
Tensor time_warp(const Tensor& series, double sigma, int64_t knots, Generator& generator);
/// Cut into 1 … `most` pieces of almost equal length, put together in random order.
Tensor permute_segments(const Tensor& series, int64_t most, Generator& generator);
/// A window of ⌈share · L⌉ steps at a uniform place, stretched to L.
Tensor window_slice(const Tensor& series, double share, Generator& generator);
/// A window of ⌈share · L⌉ steps played at `slow` or 1 / slow of its speed, the whole stretched back to L.
Tensor window_warp(const Tensor& series, double share, double slow, Generator& generator);
/// Each channel's sign turned with probability `rate`.
Tensor flip_signs(const Tensor& series, double rate, Generator& generator);
/// A stretch of ⌊share · L⌋ steps at a uniform place set to 0 in all channels.
Tensor mask_stretch(const Tensor& series, double share, Generator& generator);
/// Every number set to 0 with probability `rate`.
Tensor mask_points(const Tensor& series, double rate, Generator& generator);

/// A random view of a batch of series.
using SeriesView = std::function<Tensor(const Tensor& series, Generator& generator)>;
/// Scaling and jitter; permutation and stronger jitter: the weak and the strong view in the manner of TS-TCC (Eldele et al., IJCAI
/// 2021), with deviations for series of deviation 1.
SeriesView weak_series_view(double scale = 0.1, double noise = 0.05);
SeriesView strong_series_view(int64_t segments = 5, double noise = 0.1);

}  // namespace plumb::augment
