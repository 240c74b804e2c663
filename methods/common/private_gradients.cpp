// Clipping and noise.
#include "methods/common/private_gradients.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

optim::GradientList private_gradients(const std::vector<Tensor>& per_sample, double clip, double noise_multiplier, Generator& generator) {
  if (!(clip > 0) || !(noise_multiplier >= 0))
    throw ValueError("private_gradients: needs clip > 0 and a noise multiplier >= 0, got " + decimal(clip) + " and " +
                     decimal(noise_multiplier));
  if (per_sample.empty() || per_sample[0].rank() < 1 || per_sample[0].size(0) < 1)
    throw ShapeError("private_gradients: needs gradients of at least one example");
  NoGrad off;
  int64_t rows = per_sample[0].size(0);
  Tensor squares;
  for (const Tensor& g : per_sample) {
    if (g.rank() < 1 || g.size(0) != rows)
      throw ShapeError("private_gradients: gradients " + to_string(g.shape()) + " beside those of " + std::to_string(rows) + " examples");
    Tensor own = sum(square(reshape(g, {rows, -1})), {1});
    squares = squares.defined() ? squares + own : own;
  }
  Tensor factor = clamp_max(clip / clamp_min(sqrt(squares), 1e-12), 1);
  optim::GradientList out;
  for (const Tensor& g : per_sample) {
    Tensor clipped = reshape(matmul(factor, reshape(g, {rows, -1})), g.shape().slice(1, g.rank()));
    if (noise_multiplier > 0) clipped = clipped + randn_like(clipped, &generator) * (noise_multiplier * clip);
    out.push_back(clipped / static_cast<double>(rows));
  }
  return out;
}

}  // namespace plumb::methods
