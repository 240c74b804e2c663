// DDIM from a noised source, with guidance by its low frequencies.
#include "methods/generative/phasic_diffusion/translate.h"

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/ddpm.h"
#include "models/diffusion/stochastic_solver.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::methods::phasic_diffusion {

using namespace diffusion;

namespace {

struct Estimate {
  Tensor clean, eps;
};

// x₀ is clamped; ε stays what the network said.
Estimate estimate(const PhasicUnet& model, const Tensor& x, int64_t t, const Tensor& content, Generator& generator) {
  Tensor eps = model(x, full({x.size(0)}, t, i64, x.device()), content, generator);
  Tensor alpha_bar = full({x.size(0)}, model.schedule().alpha_bar(t), x.dtype(), x.device());
  return {clamp(predicted_clean(Prediction::eps, x, eps, alpha_bar), -1, 1), eps};
}

// By DDIM from the whole batch's time t to s, with ε as the network said it although x₀ was clamped.
Tensor stepped(const VpSchedule& schedule, const Estimate& e, int64_t t, int64_t s, double eta, Generator& generator) {
  if (s == -1) return e.clean;
  auto n = static_cast<size_t>(e.clean.size(0));
  NoiseRule rule = NoiseRule::eta(eta);
  Tensor noise = rule.deterministic() ? Tensor() : randn_like(e.clean, &generator);
  return vp_step(rule, schedule, e.clean, e.eps, std::vector<int64_t>(n, t), std::vector<int64_t>(n, s), noise);
}

// z' of the source at time s.
Tensor guide(const PhasicUnet& model, const Tensor& source, int64_t s, const TranslateOptions& o, Generator& generator) {
  const VpSchedule& schedule = model.schedule();
  Tensor content = o.content ? source : Tensor(), z = noised(schedule, source, s, generator);
  Tensor clean = estimate(model, z, s, content, generator).clean;
  for (int64_t i = 1; i < o.enhance; ++i) {
    z = noised(schedule, clean, s, generator);
    clean = estimate(model, z, s, content, generator).clean;
  }
  return posterior_sample(schedule, z, clean, s, generator);
}

}  // namespace

void TranslateOptions::check(int64_t schedule_steps) const {
  if (start < 1 || start > schedule_steps - 1)
    throw ValueError("translate: the start " + std::to_string(start) + " is outside [1, " + std::to_string(schedule_steps - 1) + "]");
  if (steps < 1 || steps > start)
    throw ValueError("translate: " + std::to_string(steps) + " steps do not lie between 1 and the start " + std::to_string(start));
  if (guidance_end < 0) throw ValueError("translate: guidance_end must not be negative, it is " + std::to_string(guidance_end));
  if (enhance < 1) throw ValueError("translate: enhance must be at least 1, it is " + std::to_string(enhance));
}

Tensor translate(const PhasicUnet& model, const Tensor& source, const TranslateOptions& o, Generator& generator) {
  NoGrad off;
  const VpSchedule& schedule = model.schedule();
  o.check(schedule.steps());
  if (o.guidance) low_pass(source, o.factor, o.filter);  // a factor that does not fit is said before any work
  std::vector<int64_t> times = descending_times(o.start, o.steps);
  Tensor x = noised(schedule, source, o.start, generator);
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    int64_t t = times[i], s = times[i + 1];
    x = stepped(schedule, estimate(model, x, t, o.content && s >= 0 ? source : Tensor(), generator), t, s, o.eta, generator);
    if (o.guidance && s > o.guidance_end) x = with_low_frequencies(x, guide(model, source, s, o, generator), o.factor, o.filter);
  }
  return x;
}

Tensor generate(const PhasicUnet& model, const Shape& shape, int64_t steps, Generator& generator) {
  NoGrad off;
  const VpSchedule& schedule = model.schedule();
  std::vector<int64_t> times = descending_times(schedule.steps(), steps);
  std::vector<Tensor> parameters = model.base.parameters();
  Tensor x = randn(shape, {.dtype = parameters[0].dtype(), .device = parameters[0].device(), .generator = &generator});
  for (size_t i = 0; i + 1 < times.size(); ++i)
    x = stepped(schedule, estimate(model, x, times[i], {}, generator), times[i], times[i + 1], 1, generator);
  return x;
}

}  // namespace plumb::methods::phasic_diffusion
