// Learning-rate schedules and ramps: pure functions from a step (0, 1, …) to a multiplier. They are values, so a resumed run needs nothing
// but its step:   Schedule s = cosine_with_warmup(100, 2000, 0.1);   …   adamw.set_lr_scale(s(step));
// All throw ValueError for numbers of steps, factors and divisors that are out of range.
#pragma once
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace plumb::optim {

using Schedule = std::function<double(int64_t step)>;

/// Always `value`.
Schedule constant(double value = 1);
/// From `from` at step 0 straight to `to` at step `steps`, then `to`.
Schedule linear(int64_t steps, double from = 1, double to = 0);
/// to + (from − to)(1 + cos(π t / steps)) / 2, then `to` (Loshchilov & Hutter 2017, without restarts).
Schedule cosine(int64_t steps, double from = 1, double to = 0);
/// cosine over the first `steps`, again and again; each period `factor` times as long as the one before.
Schedule cosine_restarts(int64_t steps, double factor = 1, double from = 1, double to = 0);
/// cos(7π t / (16 steps)), then constant: FixMatch's.
Schedule cosine_7_16(int64_t steps);
/// min((t + 1) / steps, √(steps / (t + 1))): rises for `steps`, then falls with the inverse root (Vaswani et al. 2017, scaled to a peak of
/// 1).
Schedule inverse_sqrt(int64_t steps);
/// factor^⌊t / every⌋, and factor^(milestones that have come).
Schedule step_decay(int64_t every, double factor = 0.1);
Schedule milestones(std::vector<int64_t> at, double factor = 0.1);
/// factor^t
Schedule exponential(double factor);
/// (1 − t/steps)^power, then 0.
Schedule polynomial(int64_t steps, double power = 1);
/// One cycle (Smith & Topin 2018): by cosine from 1/start_divisor up to 1 over the first `up` of the steps, then down to 1/end_divisor.
Schedule one_cycle(int64_t steps, double up = 0.3, double start_divisor = 25, double end_divisor = 2.5e5);

/// (t + 1) / steps for the first `steps`, then `after(t)`, whose steps count from the beginning too.
Schedule warmup(int64_t steps, Schedule after = constant());
/// (t + 1) / warmup for the first `warmup` steps, then by cosine from 1 down to `floor` at step `steps`, then `floor`.
Schedule cosine_with_warmup(int64_t warmup, int64_t steps, double floor = 0);
/// One after the other: each for its number of steps, counted from its own beginning; the last goes on.
Schedule sequence(std::vector<std::pair<int64_t, Schedule>> parts);
/// The product and a multiple of schedules.
Schedule product(Schedule a, Schedule b);
Schedule scaled(Schedule a, double factor);

/// exp(−5 (1 − t/steps)²), 1 from `steps` on (and always if steps is 0): the sigmoid-shaped ramp-up of Laine & Aila 2017.
Schedule sigmoid_rampup(int64_t steps);
/// t / steps, then 1.
Schedule linear_rampup(int64_t steps);
/// exp(−12.5 (1 − (total − t)/steps)²) over the last `steps` of `total`, 1 before: the ramp-down of Laine & Aila 2017.
Schedule sigmoid_rampdown(int64_t total, int64_t steps);

}  // namespace plumb::optim
