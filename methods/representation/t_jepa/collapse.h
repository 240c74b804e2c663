// Has a representation collapsed? Numbers that fall towards 0 when the rows of a data set are all mapped to the same latents.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::t_jepa {

struct CollapseMetrics {
  double intra = 0;       ///< mean over (token, channel) of the variance over rows: 0 when all rows look alike
  double inter = 0;       ///< variance of all N·h entries of the rows' token means
  double distance = 0;    ///< mean Euclidean distance of the token matrices of random pairs of rows
  double divergence = 0;  ///< mean KL divergence of the same pairs, nats: densities of a row's T·h entries (Gaussian kernels, Scott's
                          ///< bandwidth) on 100 points
};
/// Of token matrices X [N, T, h], in f64, with population variances; `pairs` pairs of different rows are drawn from the generator. Throws
/// ShapeError for another rank or nothing in it, ValueError for fewer than two rows or pairs < 1.
CollapseMetrics collapse_metrics(const Tensor& x, Generator& generator, int64_t pairs = 20);

}  // namespace plumb::methods::t_jepa
