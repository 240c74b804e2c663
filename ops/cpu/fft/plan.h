// The plan of a fast Fourier transform of one length: its factors and roots of unity, or the convolution that stands in for it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace plumb::cpu_kernels {

/// Complex numbers with real and imaginary parts apart: `width` lines side by side, row j holding the j-th number of each.
template <typename T>
struct Lines {
  T *re, *im;
};

/// Forward transforms of length n, y_k = Σ_j x_j e^(−2πi jk/n), of several lines at once: the innermost loops run over lines, so they
/// vectorise whatever the length. Exchanging re and im on the way in and on the way out gives the inverse.
///
/// Lengths whose prime factors are at most 13 go by Stockham's autosort algorithm, one pass a factor between two buffers, without any bit
/// reversal. Others go by Bluestein's: jk = (j² + k² − (k − j)²) / 2 makes the transform a convolution with e^(πi j²/n), which is done with
/// transforms of a power of two ≥ 2n − 1.
template <typename T>
class FftPlan {
 public:
  explicit FftPlan(int64_t n);
  int64_t size() const { return n_; }
  /// Numbers of scratch that run() wants for `width` lines.
  int64_t scratch(int64_t width) const { return (convolution_ ? 4 * convolution_->size() : 2 * n_) * width; }
  /// Transforms x, n rows of `width` numbers, and says where the result lies: in x or in `scratch`.
  Lines<T> run(Lines<T> x, T* scratch, int64_t width) const;

 private:
  void prepare_convolution();
  Lines<T> run_passes(Lines<T> x, Lines<T> other, int64_t width) const;
  Lines<T> convolve(Lines<T> x, T* scratch, int64_t width) const;

  int64_t n_;
  std::vector<int> factors_;
  std::vector<T> cos_, sin_;  ///< e^(−2πi t/n) = cos_[t] − i sin_[t]; for Bluestein's the chirp e^(−πi j²/n)
  std::unique_ptr<FftPlan> convolution_;
  std::vector<T> kernel_re_, kernel_im_;  ///< the transform of the conjugate chirp, divided by its length
};

/// Transforms between n real numbers and ⌊n/2⌋ + 1 complex ones: for even n one of n/2 complex numbers, made of neighbours.
template <typename T>
class RealFftPlan {
 public:
  explicit RealFftPlan(int64_t n);
  int64_t size() const { return n_; }
  int64_t rows() const { return complex_.size(); }  ///< of the complex transform: n/2 or n
  bool halved() const { return n_ % 2 == 0; }
  const FftPlan<T>& complex() const { return complex_; }
  T cos(int64_t k) const { return cos_[static_cast<size_t>(k)]; }  ///< of 2πk/n, k ≤ n/2
  T sin(int64_t k) const { return sin_[static_cast<size_t>(k)]; }

 private:
  int64_t n_;
  FftPlan<T> complex_;
  std::vector<T> cos_, sin_;
};

/// The plan of length n, made when first asked for; the last few lengths are kept.
template <typename Plan>
std::shared_ptr<const Plan> fft_plan(int64_t n);

}  // namespace plumb::cpu_kernels
