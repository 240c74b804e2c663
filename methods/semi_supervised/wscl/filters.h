// What the streams of WSCL see beside colours: fixed noise residuals (SRM) and constrained convolutions (Bayar), both blind to content.
#pragma once
#include "models/nn/module.h"

namespace plumb::methods::wscl {

/// Three fixed 5×5 high-pass filters (Fridrich & Kodovský 2012; Zhou et al. 2018), each over the sum of the three channels of x, clipped:
/// [B, 3, H, W] → [B, 3, H, W], zeros outside. Not trained.
class SrmFilter : public nn::Module {
 public:
  /// Throws ValueError for a clip that is not positive.
  explicit SrmFilter(double clip = 5);
  Tensor operator()(const Tensor& x) const;
  nn::Buffer weight;  ///< [3, 3, 5, 5], not saved

 private:
  double clip_;
};

/// The kernel number k (0, 1, 2) of SrmFilter, [5, 5].
Tensor srm_kernel(int k);

/// A learned convolution whose kernels have −1 in the centre and 1 as the sum of all others (Bayar & Stamm 2018): a prediction error.
/// [B, in, H, W] → [B, out, H, W], zeros outside. Weights start as U(0, 1).
class BayarConv : public nn::Module {
 public:
  /// Throws ValueError for sizes below 1 or an even kernel.
  BayarConv(int64_t in, int64_t out, int64_t size = 5);
  /// Divides every kernel's off-centre weights by their sum, outside the graph. Kernels whose sum is 1 already, or below 1e-6 in size
  /// (weights change sign), are left as they are.
  void project() const;
  /// [out, in, size, size], after project().
  Tensor kernels() const;
  Tensor operator()(const Tensor& x) const;
  nn::Parameter off_centre;  ///< [out, in, size² − 1], in row-major order

 private:
  int64_t in_, out_, size_;
};

}  // namespace plumb::methods::wscl
