// What augmentations share: checks, and loops over the images of a batch. For this folder only.
#pragma once
#include <string>

#include "engine/core/parallel.h"
#include "engine/core/tensor.h"

namespace plumb::augment::detail {

struct Geometry {
  int64_t batch, channels, height, width;
  int64_t plane() const { return height * width; }
  int64_t image() const { return channels * height * width; }
};

/// Throws ValueError where it does not hold: "random_flip: the rate must lie in [0, 1], it is 1.5".
inline void require(bool holds, const char* name, const char* what, const char* wanted, double value) {
  if (!holds) throw ValueError(std::string(name) + ": " + what + " must " + wanted + ", it is " + decimal(value));
}

/// Of f32 images [B, C, H, W] on the CPU; throws naming `name`.
inline Geometry geometry(const char* name, const Tensor& images) {
  if (images.dtype() != f32) throw DTypeError(std::string(name) + ": takes f32 images, got " + std::string(plumb::name(images.dtype())));
  if (images.rank() != 4) throw ShapeError(std::string(name) + ": takes images [B, C, H, W], got " + to_string(images.shape()));
  if (images.device().type != DeviceType::cpu) throw DeviceError(std::string(name) + ": works on the CPU");
  return {images.size(0), images.size(1), images.size(2), images.size(3)};
}

/// f(i, from, to) for every image, where from and to are its planes in `images` and in the result, which is returned.
template <typename F>
Tensor each_image(const char* name, const Tensor& images, F&& f) {
  Geometry g = geometry(name, images);
  Tensor x = contiguous_data(images), y = empty(images.shape(), f32, cpu, name);
  const float* from = x.data<float>();
  float* to = y.data<float>();
  parallel_for(g.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i, from + i * g.image(), to + i * g.image());
  });
  return y;
}

/// Uniform in [low, high).
inline double between(double low, double high, double unit) { return low + (high - low) * unit; }

}  // namespace plumb::augment::detail
