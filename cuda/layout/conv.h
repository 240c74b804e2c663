// Descriptor fields of cuDNN's convolutions: sizes, where padding is uneven, how many images at once. Plain host code, tested without a
// GPU.
#pragma once
#include <array>
#include <cstdint>

#include "engine/core/tensor.h"
#include "ops/kernels/conv.h"

namespace plumb::cuda_layout {

/// The sizes of a convolution: images [n, c, h, w], weight [o, c / groups, kh, kw], places [n, o, y, x].
struct ConvSizes {
  int64_t n, c, h, w, o, kh, kw, y, x;
  ConvGeometry geometry;
  using Words = std::array<int64_t, 16>;
  /// All of them, to compare and to write down.
  Words words() const;
};
ConvSizes conv_sizes(const Tensor& images, const Tensor& weight, const Tensor& places, const ConvGeometry& geometry);

/// Whether the library, which pads both ends alike, comes to the same number of places:
/// y = ⌊(h + 2 padding − dilation (kh − 1) − 1) / stride⌋ + 1, and x likewise.
bool pads_evenly(const ConvSizes& s);
/// The same convolution of images that have the padding laid around them already, and nothing beyond what is read.
ConvSizes framed(const ConvSizes& s);
/// The part of an image that lies within the frame, as a view of `images` [n, c, ·, ·] and as the view of `frame` [n, c, ·, ·] where it
/// belongs.
struct Framing {
  Tensor inside_images, inside_frame;
};
Framing framing(const ConvSizes& s, const Tensor& images, const Tensor& frame);

/// The same convolution with zeros as further channels of images and places where they have fewer than the `pack` that tensor cores read at
/// once; itself where channels form groups.
ConvSizes widened(const ConvSizes& s, int64_t pack);

/// How many images the library may be given at once: it counts the elements of a tensor in 31 bits.
int64_t images_at_once(const ConvSizes& s);

}  // namespace plumb::cuda_layout
