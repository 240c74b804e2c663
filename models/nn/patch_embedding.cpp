// Patches by a convolution whose windows do not overlap.
#include "models/nn/patch_embedding.h"

#include "ops/shape.h"

namespace plumb::nn {

static Conv2dOptions with_stride(Conv2dOptions options, int64_t patch) {
  options.stride = patch;
  return options;
}

PatchEmbedding::PatchEmbedding(int64_t channels, int64_t width, int64_t patch, Conv2dOptions options)
    : projection(channels, width, patch, with_stride(options, patch)), patch_(patch) {
  register_module("projection", projection);
}

Tensor PatchEmbedding::operator()(const Tensor& x) const {
  if (x.rank() != 4 || x.size(2) % patch_ != 0 || x.size(3) % patch_ != 0)
    throw ShapeError("patch_embedding: takes [B, C, H, W] with sides that are multiples of " + std::to_string(patch_) + ", got " +
                     to_string(x.shape()));
  return transpose(flatten(projection(x), 2), 1, 2);
}

}  // namespace plumb::nn
