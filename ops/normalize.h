// Tensors scaled by their length or by their largest singular value.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// x / max(‖x‖_p, eps) along dim: zero vectors stay zero. p = ∞ is the largest |x|. Throws ValueError for p < 1.
Tensor normalize(const Tensor& x, double p = 2, int dim = -1, double eps = 1e-12);
/// x / (k + α/size Σ x²)^β, the sum over `size` neighbouring channels, itself in the middle (Krizhevsky et al. 2012). x [n, C, ..].
Tensor local_response_norm(const Tensor& x, int64_t size, double alpha = 1e-4, double beta = 0.75, double k = 1);

/// g v / ‖v‖, the norm over all dimensions but `dim` (Salimans & Kingma 2016). g has size v.size(dim) along `dim` and 1 elsewhere, or is a
/// vector of that length.
Tensor weight_norm(const Tensor& v, const Tensor& g, int dim = 0);

struct SpectralNorm {
  Tensor weight;  ///< w / σ
  Tensor sigma;   ///< the estimate uᵀ W v of the largest singular value
  Tensor u, v;    ///< the singular vectors after this call: pass u to the next one
};
/// w / σ(w) (Miyato et al. 2018): σ is the largest singular value of w as a matrix [w.size(dim), rest], estimated by `iterations` power
/// iterations from u [w.size(dim)]; σ is differentiated in w with u and v as constants: right to first order where the iteration has
/// arrived, while second derivatives leave out how u and v turn. With 0 iterations v comes from u alone.
SpectralNorm spectral_norm(const Tensor& w, const Tensor& u, int iterations = 1, int dim = 0, double eps = 1e-12);

}  // namespace plumb
