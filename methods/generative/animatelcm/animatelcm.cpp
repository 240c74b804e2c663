// Grids, guidance by frame, and pairs.
#include "methods/generative/animatelcm/animatelcm.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::animatelcm {

using namespace diffusion;

std::vector<double> interval_weights(const std::vector<double>& levels, double power) {
  if (levels.size() < 2) throw ValueError("animatelcm: a grid needs at least 2 levels, it has " + std::to_string(levels.size()));
  std::vector<double> weights;
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    if (!(levels[i + 1] >= 0 && levels[i + 1] < levels[i]))
      throw ValueError("animatelcm: levels must descend to 0 at least, " + decimal(levels[i]) + " is followed by " +
                       decimal(levels[i + 1]));
    weights.push_back(std::pow(levels[i] - levels[i + 1], -power));
  }
  return weights;
}

std::vector<double> frame_linear_guidance(double low, double high, int64_t frames) {
  if (frames < 1) throw ValueError("frame_linear_guidance: the number of frames must be at least 1, it is " + std::to_string(frames));
  std::vector<double> scales;
  for (int64_t f = 0; f < frames; ++f)
    scales.push_back(frames == 1 ? low : low + (high - low) * static_cast<double>(f) / static_cast<double>(frames - 1));
  return scales;
}

std::vector<double> draw_frame_guidance(int64_t frames, Generator& generator) {
  auto drawn = [&](double first) { return first + 0.25 * static_cast<double>(generator.next_below(3)); };
  double low = drawn(1), high = drawn(2);
  return frame_linear_guidance(low, high, frames);
}

Tensor guided_frames(const Tensor& conditional, const Tensor& unconditional, const std::vector<double>& scales) {
  auto frames = static_cast<int64_t>(scales.size());
  if (conditional.rank() != 5 || conditional.shape() != unconditional.shape() || conditional.size(2) != frames)
    throw ShapeError("guided_frames: " + std::to_string(frames) + " scales for videos " + to_string(conditional.shape()) + " and " +
                     to_string(unconditional.shape()));
  Tensor w = reshape(to(to(from_vector(scales), conditional.dtype()), conditional.device()), {frames, 1, 1});
  return unconditional + w * (conditional - unconditional);
}

NoisePair pair_at(const std::vector<double>& levels, const Tensor& clean, const std::vector<int64_t>& place, double power,
                  Generator& generator) {
  if (clean.rank() < 1 || clean.size(0) < 1 || static_cast<int64_t>(place.size()) != clean.size(0))
    throw ValueError("animatelcm: " + std::to_string(place.size()) + " places for a batch " + to_string(clean.shape()));
  auto intervals = static_cast<int64_t>(levels.size()) - 1;
  for (int64_t i : place)
    if (i < 0 || i >= intervals)
      throw IndexError("animatelcm: place " + std::to_string(i) + " is outside [0, " + std::to_string(intervals) + ")");
  Tensor high = levels_at(levels, place, clean), low = levels_at(levels, place, clean, 1),
         weight = levels_at(interval_weights(levels, power), place, clean);
  Tensor noise = randn_like(clean, &generator);
  return {clean + per_example(high, clean) * noise, high, clean + per_example(low, clean) * noise, low, weight};
}

NoisePair draw_pair(const std::vector<double>& levels, const Tensor& clean, double power, Generator& generator) {
  if (clean.rank() < 1 || clean.size(0) < 1) throw ValueError("animatelcm: the batch is empty: " + to_string(clean.shape()));
  if (levels.size() < 2) throw ValueError("animatelcm: a grid needs at least 2 levels, it has " + std::to_string(levels.size()));
  std::vector<int64_t> place;
  for (int64_t b = 0; b < clean.size(0); ++b) place.push_back(static_cast<int64_t>(generator.next_below(levels.size() - 1)));
  return pair_at(levels, clean, place, power, generator);
}

// As D + (x − D) σ'/σ, which is exact at σ' = 0.
NoisePair solved(NoisePair pair, const Denoiser& teacher) {
  NoGrad off;
  Tensor estimate = teacher(pair.x_high, pair.high);
  pair.x_low = estimate + (pair.x_high - estimate) * per_example(pair.low / pair.high, pair.x_high);
  return pair;
}

Tensor augmented_condition(const Tensor& frame, double mean, double std, Generator& generator) {
  if (frame.rank() < 1 || frame.size(0) < 1) throw ValueError("augmented_condition: the batch is empty: " + to_string(frame.shape()));
  Tensor level = exp(randn({frame.size(0)}, {.dtype = frame.dtype(), .device = frame.device(), .generator = &generator}) * std + mean);
  return frame + per_example(level, frame) * randn_like(frame, &generator);
}

void DistillOptions::check() const {
  if (!(decay >= 0 && decay <= 1)) throw ValueError("animatelcm: the target's decay " + decimal(decay) + " is outside [0, 1]");
  if (!(huber > 0)) throw ValueError("animatelcm: the Huber constant must be positive, it is " + decimal(huber));
}

}  // namespace plumb::methods::animatelcm
