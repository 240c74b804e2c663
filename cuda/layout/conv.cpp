// Frames and limits of convolutions.
#include "cuda/layout/conv.h"

#include <algorithm>
#include <limits>

namespace plumb::cuda_layout {

ConvSizes::Words ConvSizes::words() const {
  const ConvGeometry& g = geometry;
  return {n, c, h, w, o, kh, kw, y, x, g.stride[0], g.stride[1], g.padding[0], g.padding[1], g.dilation[0], g.dilation[1], g.groups};
}

ConvSizes conv_sizes(const Tensor& images, const Tensor& weight, const Tensor& places, const ConvGeometry& geometry) {
  const Shape &i = images.shape(), &k = weight.shape(), &p = places.shape();
  return {i[0], i[1], i[2], i[3], p[1], k[2], k[3], p[2], p[3], geometry};
}

static int64_t span(int64_t kernel, int64_t dilation) { return dilation * (kernel - 1) + 1; }

bool pads_evenly(const ConvSizes& s) {
  auto places = [&](int d, int64_t size, int64_t kernel) {
    int64_t room = size + 2 * s.geometry.padding[d] - span(kernel, s.geometry.dilation[d]);
    return room < 0 ? 0 : room / s.geometry.stride[d] + 1;
  };
  return places(0, s.h, s.kh) == s.y && places(1, s.w, s.kw) == s.x;
}

ConvSizes framed(const ConvSizes& s) {
  ConvSizes f = s;
  f.h = (s.y - 1) * s.geometry.stride[0] + span(s.kh, s.geometry.dilation[0]);
  f.w = (s.x - 1) * s.geometry.stride[1] + span(s.kw, s.geometry.dilation[1]);
  f.geometry.padding[0] = f.geometry.padding[1] = 0;
  return f;
}

Framing framing(const ConvSizes& s, const Tensor& images, const Tensor& frame) {
  const int64_t *p = s.geometry.padding;
  int64_t rows = std::clamp<int64_t>(frame.shape()[2] - p[0], 0, s.h), columns = std::clamp<int64_t>(frame.shape()[3] - p[1], 0, s.w);
  Shape part{s.n, s.c, rows, columns};
  int64_t corner = p[0] * frame.strides()[2] + p[1] * frame.strides()[3];
  return {view_of(images, part, images.strides(), 0), view_of(frame, part, frame.strides(), rows > 0 && columns > 0 ? corner : 0)};
}

ConvSizes widened(const ConvSizes& s, int64_t pack) {
  ConvSizes w = s;
  if (s.geometry.groups != 1) return w;
  w.c = std::max(s.c, pack);
  w.o = std::max(s.o, pack);
  return w;
}

int64_t images_at_once(const ConvSizes& s) {
  int64_t larger = std::max({int64_t{1}, s.c * s.h * s.w, s.o * s.y * s.x});
  return std::clamp<int64_t>(std::numeric_limits<int32_t>::max() / larger, 1, std::max<int64_t>(1, s.n));
}

}  // namespace plumb::cuda_layout
