// Images as sequences of patches.
#pragma once
#include "models/nn/conv.h"

namespace plumb::nn {

/// One vector for each patch × patch square of an image, row by row: x [B, channels, H, W] → [B, H/patch · W/patch, width].
/// Throws ShapeError unless patch divides H and W.
class PatchEmbedding : public Module {
 public:
  PatchEmbedding(int64_t channels, int64_t width, int64_t patch, Conv2dOptions options = {});
  PatchEmbedding(Module* parent, std::string name, int64_t channels, int64_t width, int64_t patch, Conv2dOptions options = {})
      : PatchEmbedding(channels, width, patch, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Conv2d projection;

 private:
  int64_t patch_;
};

}  // namespace plumb::nn
