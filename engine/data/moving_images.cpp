// Cyclic motion of images.
#include "engine/data/moving_images.h"

#include <fmt/format.h>

namespace plumb::data {

namespace {

constexpr std::pair<int64_t, int64_t> kSteps[] = {{0, 1}, {1, 0}, {0, -1}, {-1, 0}, {1, 1}, {1, -1}, {-1, -1}, {-1, 1}};

int64_t wrapped(int64_t at, int64_t size) { return (at % size + size) % size; }

struct Motion {
  int64_t side, top, left, down, right;  // per frame the last two
};

// [C, F, side, side]
Tensor video_of(const Tensor& image, const Motion& m, int64_t frames) {
  int64_t channels = image.size(0), height = image.size(1), width = image.size(2), plane = m.side * m.side;
  Tensor video = zeros({channels, frames, m.side, m.side}, f32), rows = contiguous_data(image);
  const float* from = rows.data<float>();
  float* to = video.data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t f = 0; f < frames; ++f)
      for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x) {
          int64_t row = wrapped(m.top + f * m.down + y, m.side), column = wrapped(m.left + f * m.right + x, m.side);
          to[(c * frames + f) * plane + row * m.side + column] = from[(c * height + y) * width + x];
        }
  return video;
}

}  // namespace

std::pair<int64_t, int64_t> step_of(int64_t direction) {
  if (direction < 0 || direction >= 8) throw ValueError(fmt::format("step_of: direction {} is outside [0, 8)", direction));
  return kSteps[direction];
}

Dataset moving_images(const Dataset& images, int64_t n, MovingOptions o) {
  if (n < 0 || o.frames < 1 || o.side < 0 || o.speed < 0)
    throw ValueError(
        fmt::format("moving_images: videos, canvas and speed must not be negative, frames be at least 1; they are {}, {}, {} and {}", n,
                    o.side, o.speed, o.frames));
  if (images.size() == 0) throw ValueError("moving_images: there is no image to move");
  return from_function(n, [images, o](int64_t i) {
    Sample image = images[i % images.size()];
    if (image.image.rank() != 3) throw ShapeError("moving_images: takes images [C, H, W], got " + to_string(image.image.shape()));
    int64_t height = image.image.size(1), width = image.image.size(2), side = o.side > 0 ? o.side : height;
    if (height > side || width > side || (o.side == 0 && width != height))
      throw ShapeError(fmt::format("moving_images: an image of {}×{} does not fit a canvas of {}×{}", height, width, side, side));
    auto words = philox(o.seed, static_cast<uint64_t>(i));
    auto below = [&](int word, int64_t count) {
      return static_cast<int64_t>(uint64_t{words[static_cast<size_t>(word)]} * static_cast<uint64_t>(count) >> 32);
    };
    int64_t direction = below(0, o.directions == Directions::four ? 4 : 8);
    int64_t top = o.random_start ? below(1, side) : (side - height) / 2, left = o.random_start ? below(2, side) : (side - width) / 2;
    auto [down, right] = step_of(direction);
    Sample out;
    out.index = i;
    if (image.label.defined()) out.label = image.label;
    out.set("video", video_of(image.image, {side, top, left, down * o.speed, right * o.speed}, o.frames));
    out.set("direction", scalar_tensor(direction, i64));
    out.set("start", from_vector(std::vector<int64_t>{top, left}));
    return out;
  });
}

}  // namespace plumb::data
