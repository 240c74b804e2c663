// SCott's two losses.
#include "methods/generative/scott/scott.h"

#include <string>

#include "engine/autograd/backward.h"
#include "models/gan/losses.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods::scott {

using namespace diffusion;

PairOptions Options::pairs() const {
  check();
  return {.curriculum = ConsistencyCurriculum::constant,
          .law = IntervalLaw::uniform,
          .weight = IntervalWeight::one,
          .levels = levels,
          .stride = interval};
}

void Options::check() const {
  if (levels.size() < 2) throw ValueError("scott: the grid has at least 2 noise levels, not " + std::to_string(levels.size()));
  if (interval < 1 || sub_steps < 1 || interval % sub_steps != 0)
    throw ValueError("scott: " + std::to_string(sub_steps) + " sub-steps do not divide " + std::to_string(interval) + " intervals");
  if (!(adversarial >= 0)) throw ValueError("scott: the adversarial weight must not be negative, it is " + decimal(adversarial));
  if (!(decay >= 0 && decay <= 1)) throw ValueError("scott: the target's decay must lie in [0, 1], it is " + decimal(decay));
  PairOptions{.levels = levels, .stride = interval}.check();
}

Objective objective(const NoisePair& pair, const Denoiser& student, const Denoiser& target, const Options& o,
                    const Discriminator& discriminator) {
  auto [u, v] = consistency_answers(pair, student, target);
  Objective result;
  result.estimate = u;
  result.loss = mean(pair.weight * consistency_distances(o.metric, u, v, o.c));
  result.consistency = result.loss.item();
  if (!discriminator || o.adversarial == 0) return result;
  // The slope in the answer is all that the student needs: ⟨slope, u⟩ has it, and nothing reaches the discriminator's weights.
  Tensor fake = u.detach().requires_grad_();
  Tensor adversarial = gan::generator_loss(gan::GanLoss::hinge, discriminator(fake, pair.high));
  Tensor slope = grad({adversarial}, {fake})[0], along = sum(u * slope);
  result.adversarial = adversarial.item();
  result.loss = result.loss + o.adversarial * (along - along.item() + result.adversarial);
  return result;
}

Tensor discriminator_objective(const Discriminator& discriminator, const Tensor& clean, const Tensor& estimate, const Tensor& sigma) {
  return gan::discriminator_loss(gan::GanLoss::hinge, discriminator(clean, sigma), discriminator(estimate.detach(), sigma));
}

}  // namespace plumb::methods::scott
