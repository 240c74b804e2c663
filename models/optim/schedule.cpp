// Learning-rate schedules and ramps.
#include "models/optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace plumb::optim {
namespace {

void need(bool fine, const char* schedule, const char* what, const char* wanted, double value) {
  if (!fine) throw ValueError(fmt::format("{}: {} must {}, it is {}", schedule, what, wanted, value));
}
void need_steps(const char* schedule, int64_t steps) { need(steps >= 1, schedule, "steps", "be at least 1", static_cast<double>(steps)); }

// t / steps within [0, 1].
double progress(int64_t t, int64_t steps) { return std::clamp(static_cast<double>(t) / static_cast<double>(steps), 0.0, 1.0); }
double by_cosine(double from, double to, double progress) { return to + (from - to) * (1 + std::cos(std::numbers::pi * progress)) / 2; }

}  // namespace

Schedule constant(double value) {
  return [=](int64_t) { return value; };
}

Schedule linear(int64_t steps, double from, double to) {
  need_steps("linear", steps);
  return [=](int64_t t) { return from + (to - from) * progress(t, steps); };
}

Schedule cosine(int64_t steps, double from, double to) {
  need_steps("cosine", steps);
  return [=](int64_t t) { return by_cosine(from, to, progress(t, steps)); };
}

Schedule cosine_restarts(int64_t steps, double factor, double from, double to) {
  need_steps("cosine_restarts", steps);
  need(factor >= 1, "cosine_restarts", "factor", "be at least 1", factor);
  return [=](int64_t t) {
    double at = static_cast<double>(t), period = static_cast<double>(steps);
    if (factor == 1) at = std::fmod(at, period);
    while (at >= period) {
      at -= period;
      period *= factor;
    }
    return by_cosine(from, to, at / period);
  };
}

Schedule cosine_7_16(int64_t steps) {
  need_steps("cosine_7_16", steps);
  return [=](int64_t t) { return std::cos(7 * std::numbers::pi / 16 * progress(t, steps)); };
}

Schedule inverse_sqrt(int64_t steps) {
  need_steps("inverse_sqrt", steps);
  return [=](int64_t t) {
    double at = static_cast<double>(t + 1), peak = static_cast<double>(steps);
    return std::min(at / peak, std::sqrt(peak / at));
  };
}

Schedule step_decay(int64_t every, double factor) {
  need(every >= 1, "step_decay", "every", "be at least 1", static_cast<double>(every));
  return [=](int64_t t) { return std::pow(factor, static_cast<double>(t / every)); };
}

Schedule milestones(std::vector<int64_t> at, double factor) {
  return [at = std::move(at), factor](int64_t t) {
    return std::pow(factor, static_cast<double>(std::count_if(at.begin(), at.end(), [t](int64_t m) { return m <= t; })));
  };
}

Schedule exponential(double factor) {
  return [=](int64_t t) { return std::pow(factor, static_cast<double>(t)); };
}

Schedule polynomial(int64_t steps, double power) {
  need_steps("polynomial", steps);
  return [=](int64_t t) { return std::pow(1 - progress(t, steps), power); };
}

Schedule one_cycle(int64_t steps, double up, double start_divisor, double end_divisor) {
  need_steps("one_cycle", steps);
  need(up > 0 && up < 1, "one_cycle", "up", "lie in (0, 1)", up);
  need(start_divisor >= 1, "one_cycle", "start_divisor", "be at least 1", start_divisor);
  need(end_divisor >= 1, "one_cycle", "end_divisor", "be at least 1", end_divisor);
  return [=](int64_t t) {
    double p = progress(t, steps);
    return p < up ? by_cosine(1 / start_divisor, 1, p / up) : by_cosine(1, 1 / end_divisor, (p - up) / (1 - up));
  };
}

Schedule warmup(int64_t steps, Schedule after) {
  need(steps >= 0, "warmup", "steps", "not be negative", static_cast<double>(steps));
  return [steps, after = std::move(after)](int64_t t) {
    return t < steps ? static_cast<double>(t + 1) / static_cast<double>(steps) : after(t);
  };
}

Schedule sequence(std::vector<std::pair<int64_t, Schedule>> parts) {
  if (parts.empty()) throw ValueError("sequence: there are no parts");
  return [parts = std::move(parts)](int64_t t) {
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      if (t < parts[i].first) return parts[i].second(t);
      t -= parts[i].first;
    }
    return parts.back().second(t);
  };
}

Schedule cosine_with_warmup(int64_t warmup_steps, int64_t steps, double floor) {
  need(warmup_steps >= 0 && warmup_steps < steps, "cosine_with_warmup", "warmup", "be from 0 to steps − 1",
       static_cast<double>(warmup_steps));
  return sequence({{warmup_steps, warmup(warmup_steps)}, {0, cosine(steps - warmup_steps, 1, floor)}});
}

Schedule product(Schedule a, Schedule b) {
  return [a = std::move(a), b = std::move(b)](int64_t t) { return a(t) * b(t); };
}
Schedule scaled(Schedule a, double factor) {
  return [a = std::move(a), factor](int64_t t) { return factor * a(t); };
}

Schedule sigmoid_rampup(int64_t steps) {
  need(steps >= 0, "sigmoid_rampup", "steps", "not be negative", static_cast<double>(steps));
  return [=](int64_t t) {
    double left = steps == 0 ? 0 : 1 - progress(t, steps);
    return std::exp(-5 * left * left);
  };
}

Schedule linear_rampup(int64_t steps) {
  need(steps >= 0, "linear_rampup", "steps", "not be negative", static_cast<double>(steps));
  return [=](int64_t t) { return steps == 0 ? 1 : progress(t, steps); };
}

Schedule sigmoid_rampdown(int64_t total, int64_t steps) {
  need(steps >= 1 && steps <= total, "sigmoid_rampdown", "steps", "be from 1 to total", static_cast<double>(steps));
  return [=](int64_t t) {
    double past = 1 - progress(total - t, steps);
    return std::exp(-12.5 * past * past);
  };
}

}  // namespace plumb::optim
