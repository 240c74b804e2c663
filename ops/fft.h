// Fourier transforms. Complex numbers are a last axis of 2: real part, imaginary part. `dim` and `dims` count the other dimensions, so −1
// is the last one of the complex tensor; real tensors count as usual. Lengths are any; the transforms of 16-bit types run in f32. With
// N the product of the transformed sizes,
//   fft:  y_k = Σ_j x_j e^(−2πi jk/n)     ifft:  x_j = 1/N Σ_k y_k e^(2πi jk/n)
// All throw ShapeError where the complex axis is missing or a transformed size is 0, IndexError for a dimension that is not there or given
// twice, ValueError for a length below 1, DTypeError for integers.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Which direction is scaled by 1/N: the inverse (backward), the forward one, or both by 1/√N (ortho: unitary).
enum class FftNorm : uint8_t { backward, forward, ortho };

struct FftOptions {
  int64_t n = -1;  ///< length: x is cut or filled up with zeros to it; −1: the size there is. For irfft the length of the result
  FftNorm norm = FftNorm::backward;
};

/// Complex to complex along one dimension, same shape.
Tensor fft(const Tensor& x, int dim = -1, FftOptions options = {});
Tensor ifft(const Tensor& x, int dim = -1, FftOptions options = {});
/// Real x [.., n, ..] to the coefficients 0 … ⌊n/2⌋ [.., ⌊n/2⌋ + 1, .., 2]; the others are their conjugates.
Tensor rfft(const Tensor& x, int dim = -1, FftOptions options = {});
/// The real tensor with those coefficients, n = 2 (size − 1) unless given; imaginary parts of coefficient 0, and of n/2 for even n, do not
/// count.
Tensor irfft(const Tensor& x, int dim = -1, FftOptions options = {});

struct FftnOptions {
  std::vector<int> dims = {};       ///< none: all of them
  std::vector<int64_t> sizes = {};  ///< one for each of dims, as FftOptions::n; none: the sizes there are
  FftNorm norm = FftNorm::backward;
};

/// Over several dimensions. rfftn halves the last of `dims`, irfftn makes it real.
Tensor fftn(const Tensor& x, const FftnOptions& options = {});
Tensor ifftn(const Tensor& x, const FftnOptions& options = {});
Tensor rfftn(const Tensor& x, const FftnOptions& options = {});
Tensor irfftn(const Tensor& x, const FftnOptions& options = {});
/// Over the last two dimensions: images [.., H, W, 2] (rfft2: [.., H, W]).
Tensor fft2(const Tensor& x, FftNorm norm = FftNorm::backward);
Tensor ifft2(const Tensor& x, FftNorm norm = FftNorm::backward);
Tensor rfft2(const Tensor& x, FftNorm norm = FftNorm::backward);
Tensor irfft2(const Tensor& x, FftNorm norm = FftNorm::backward);

/// Coefficient 0 to the middle, ⌊n/2⌋, of each of `dims` (none: all), which are x's own: a complex tensor's last axis counts as one. And
/// back.
Tensor fftshift(const Tensor& x, const std::vector<int>& dims = {});
Tensor ifftshift(const Tensor& x, const std::vector<int>& dims = {});

}  // namespace plumb
