// Grids of frames.
#include "models/train/video_grid.h"

#include <vector>

#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::train {
namespace {

void check(const char* who, const Tensor& videos) {
  if (videos.rank() != 5 || videos.size(0) < 1 || videos.size(2) < 1)
    throw ShapeError(std::string(who) + ": takes videos [n, C, F, H, W], got " + to_string(videos.shape()));
}

}  // namespace

Tensor video_grid(const Tensor& videos, const GridOptions& options) {
  check("video_grid", videos);
  std::vector<Tensor> frames;
  for (int64_t f = 0; f < videos.size(2); ++f) frames.push_back(image_grid(contiguous(select(videos, 2, f)), options));
  return stack(frames);
}

Tensor video_strips(const Tensor& videos, const GridOptions& options) {
  check("video_strips", videos);
  GridOptions rows = options;
  rows.columns = videos.size(2);
  return image_grid(contiguous(flatten(transpose(videos, 1, 2), 0, 1)), rows);
}

}  // namespace plumb::train
