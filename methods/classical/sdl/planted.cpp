// The generator of planted directions.
#include "methods/classical/sdl/planted.h"

#include <string>

#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::sdl {

Planted planted_data(const PlantedOptions& o, Generator& g) {
  if (o.factors < 1 || o.factors >= o.features || o.samples < 2)
    throw ValueError("planted_data: " + std::to_string(o.factors) + " factors must be fewer than the " + std::to_string(o.features) +
                     " features, and " + std::to_string(o.samples) + " samples at least 2");
  RandomOptions drawn{.dtype = f64, .generator = &g};
  Tensor w = rand({o.features, o.factors}, drawn);
  w = w / norm(w, 2, {0}, true);
  Tensor q = qr(w).q, v = randn({o.features, 1}, drawn);
  v = v - matmul(q, matmul(mT(q), v));
  v = v / norm(v);
  Tensor h = uniform({o.factors, o.samples}, 0, 6, drawn);
  Planted p;
  p.x = matmul(w, h) + randn({o.features, o.samples}, drawn) * o.noise + matmul(v, randn({1, o.samples}, drawn)) * o.signal;
  Tensor score = squeeze(matmul(mT(v), p.x), 0) * o.slope;
  p.logit = score - mean(score);
  p.labels = to(rand({o.samples}, drawn) < sigmoid(p.logit), i64);
  p.direction = squeeze(v, 1);
  return p;
}

Tensor columns(const Tensor& x, const Tensor& index) { return index_select(x, 1, index); }

}  // namespace plumb::methods::sdl
