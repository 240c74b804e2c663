// FreqShapes, and windows of low variance.
#include "methods/time_series/timex/series.h"

#include <string>

#include "ops/create.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::timex {
namespace {

constexpr int64_t kSteps = 50;

ExplainedSeries noise_series(int64_t n, int64_t channels, double deviation, Generator& g) {
  if (n < 1) throw ValueError("timex: needs at least 1 series, got " + std::to_string(n));
  return {normal({n, kSteps, channels}, 0, deviation, {.generator = &g}), regular_times(n, kSteps),
          randint(0, 4, {n}, {.dtype = i64, .generator = &g}), zeros({n, kSteps, channels})};
}

}  // namespace

Tensor regular_times(int64_t n, int64_t steps) { return expand(arange(1, steps + 1, 1, f32), {n, steps}); }

ExplainedSeries make_freq_shapes(int64_t n, Generator& g) {
  ExplainedSeries s = noise_series(n, 1, 0.25, g);
  float *x = s.x.data<float>(), *truth = s.truth.data<float>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t label = s.labels.data<int64_t>()[i], period = label % 2 == 0 ? 10 : 17;
    float sign = label < 2 ? -1.0f : 1.0f;
    for (auto centre = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(kSteps - period))); centre < kSteps; centre += period)
      for (int64_t j = -1; j <= 1; ++j) {
        int64_t t = centre + j;
        if (t < 0 || t >= kSteps) continue;
        x[i * kSteps + t] += sign * (2 - 0.25f * static_cast<float>(j * j));
        truth[i * kSteps + t] = 1;
      }
  }
  return s;
}

ExplainedSeries make_low_variance(int64_t n, Generator& g) {
  constexpr int64_t kWindow = 10, kChannels = 2;
  ExplainedSeries s = noise_series(n, kChannels, 1, g);
  float *x = s.x.data<float>(), *truth = s.truth.data<float>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t label = s.labels.data<int64_t>()[i], channel = label / 2;
    float centre = label % 2 == 0 ? -0.75f : 0.75f;
    auto start = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(kSteps - kWindow + 1)));
    for (int64_t t = start; t < start + kWindow; ++t) {
      int64_t at = (i * kSteps + t) * kChannels + channel;
      x[at] = centre + 0.1f * x[at];
      truth[at] = 1;
    }
  }
  return s;
}

}  // namespace plumb::methods::timex
