// FAM-3D of Consistent-Teacher: the boxes of a dense detector read from the place and the pyramid level where they are best, which need not
// be those of the best class score.
#pragma once
#include <vector>

#include "models/nn/conv.h"

namespace plumb::methods::consistent_teacher {

/// How much of each level an offset δ asks for: δ clamped to [−1, 1] (no lower than 0 on the finest level, no higher than 0 on the
/// coarsest),
///   current 1 − |δ|,   upper (coarser) max(δ, 0),   lower (finer) max(−δ, 0).
struct LevelShares {
  Tensor current, upper, lower;
};
LevelShares level_shares(const Tensor& delta, bool finest, bool coarsest);

/// The aligned boxes. boxes: levels [B, 4, H_l, W_l] in units of their stride, finest first; level_offsets [B, 4, H_l, W_l], one a side;
/// plane_offsets [B, 8, H_l, W_l], (dy, dx) of each side in places.
///   b'_l = current b_l + lower · b_(l−1)↓ s_(l−1)/s_l + upper · b_(l+1)↑ s_(l+1)/s_l,   ↓ ↑ bilinear resizing to level l
///   b''_l(x, y) = b'_l at (x + dx, y + dy) for each side, bilinear, zero outside
/// Differentiable in all three. Throws ShapeError for sizes that do not fit.
std::vector<Tensor> align_boxes(const std::vector<Tensor>& boxes, const std::vector<double>& strides,
                                const std::vector<Tensor>& level_offsets, const std::vector<Tensor>& plane_offsets);

/// Offsets from the maps between a detector's layers: u_l = relu(conv1×1(features)), v_l = [u_(l−1); u_l; u_(l+1)] resized to level l (a
/// level that is missing is u_l again), then a 3×3 convolution for each kind of offset, begun with deviation 0.001: nearly the identity.
struct Fam3d : nn::Module {
  nn::Conv2d reduce, level_conv, plane_conv;

  /// `features` channels of the maps, `hidden` of u. Throws ValueError for sizes below 1.
  Fam3d(int64_t features, int64_t hidden);
  Fam3d(Module* parent, std::string name, int64_t features, int64_t hidden) : Fam3d(features, hidden) { join(parent, std::move(name)); }
  /// features: levels [B, features, H_l, W_l]; boxes as in align_boxes.
  std::vector<Tensor> operator()(const std::vector<Tensor>& features, const std::vector<Tensor>& boxes,
                                 const std::vector<double>& strides) const;
};

}  // namespace plumb::methods::consistent_teacher
