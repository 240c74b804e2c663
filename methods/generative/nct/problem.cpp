// Generators, annotators, and sampling with many calls.
#include "methods/generative/nct/problem.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/energy_distance.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::nct {
namespace {

constexpr double kSigmaMax = 80;

Tensor signs(const Tensor& control) {  // one-hot quadrants → [B, 2] of ±1
  return matmul(control, tensor({{-1.0, -1.0}, {-1.0, 1.0}, {1.0, -1.0}, {1.0, 1.0}}));
}

}  // namespace

Tensor quadrant(const Tensor& x) {
  if (x.size(1) == 4) return argmax(x, 1);
  return to(select(x, 1, 0) > 0, i64) * 2 + to(select(x, 1, 1) > 0, i64);
}

Problem plane_problem() {
  Problem p;
  p.generator = [](const Tensor& z) {
    Tensor first = narrow(z, 1, 0, 1);
    return cat({first, narrow(z, 1, 1, 1) + sin(first * 2.0)}, 1);
  };
  p.annotate = [](const Tensor& x) { return to(one_hot(quadrant(x), 4), f32); };
  p.violation = [](const Tensor& x, const Tensor& control) { return sum(relu(0.1 - signs(control) * x), {1}); };
  p.adapter = {.noise = 2, .control = 4, .outputs = 2, .hidden = {128, 128}};
  return p;
}

Tensor quarters(const Tensor& rows) { return flatten(avg_pool2d(reshape(rows, {rows.size(0), 1, 8, 8}), 4), 1); }

Tensor enlarged(const Tensor& thumbnails) {
  return flatten(repeat_interleave(repeat_interleave(reshape(thumbnails, {thumbnails.size(0), 2, 2}), 4, 1), 4, 2), 1);
}

Problem digit_problem(const diffusion::TimeMlp& network, Generator& generator) {
  Problem p;
  p.generator = [&network](const Tensor& z) {
    return consistency_model(network)(z * kSigmaMax, full({z.size(0)}, kSigmaMax, f32, z.device()));
  };
  p.annotate = quarters;
  p.violation = [](const Tensor& x, const Tensor& control) { return sum(square(quarters(x) - control), {1}); };
  p.adapter = {.noise = 64, .control = 4, .outputs = 64, .hidden = {256, 256}, .sees_output = true};
  NoGrad off;
  Tensor some = p.generator(randn({400, 64}, {.generator = &generator}));
  p.margin = 0.05 * metrics::mean_distance(some, some);
  return p;
}

Tensor nearest_of(const Problem& p, const Tensor& control, int64_t tries, Generator& generator) {
  NoGrad off;
  int64_t n = control.size(0), pool = std::max<int64_t>(4000, 20 * n), width = control.size(1);
  Tensor x = p.generator(randn({pool, p.adapter.noise}, {.generator = &generator}));
  std::vector<float> annotations = to_vector<float>(p.annotate(x)), wanted = to_vector<float>(control);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < n; ++i) {
    int64_t best = -1;
    float least = 0;
    for (int64_t t = 0; t < tries; ++t) {
      auto at = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(pool)));
      float apart = 0;
      for (int64_t k = 0; k < width; ++k) {
        float d = annotations[static_cast<size_t>(at * width + k)] - wanted[static_cast<size_t>(i * width + k)];
        apart += d * d;
      }
      if (best < 0 || apart < least) best = at, least = apart;
      if (least == 0) break;
    }
    chosen.push_back(best);
  }
  return index_select(x, 0, from_vector(chosen));
}

Tensor optimised(const Problem& p, const Tensor& z, const Tensor& control, int64_t steps, double weight) {
  GradMode on(true);
  Tensor at = clone(z).detach().requires_grad_();
  optim::Adam adam({at}, {.lr = 0.1});
  for (int64_t k = 0; k < steps; ++k) {
    Tensor loss = sum(p.violation(p.generator(at), control)) * weight + sum(square(at)) * (0.5 / static_cast<double>(z.size(1)));
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  NoGrad off;
  return p.generator(at);
}

}  // namespace plumb::methods::nct
