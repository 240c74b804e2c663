// Normalisations, forward and backward. Forward reads x and writes y; backward reads what was saved and dy, and writes dx.
#include <cmath>

#include "bench/gpu.h"
#include "bench/onednn.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/create.h"
#include "ops/norm.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

using Normalisation = std::function<Tensor(const Tensor& x, const Tensor& weight, const Tensor& bias)>;

void rows(const std::string& kernel, const Shape& shape, const std::string& name, int64_t channels, const Normalisation& norm) {
  for (DType type : types()) {
    double bytes = static_cast<double>(numel(shape)) * static_cast<double>(item_size(type)), count = static_cast<double>(numel(shape));
    row(kernel, name, type, "plumb", {2 * bytes, 8 * count}, [=] {
      Tensor x = normal(shape, type), weight = ones({channels}, type, device()), bias = zeros({channels}, type, device());
      return [=] { norm(x, weight, bias); };
    });
    row(kernel + "_backward", name, type, "plumb", {3 * bytes, 13 * count}, [=] {
      Tensor x = normal(shape, type).requires_grad_(), weight = ones({channels}, type, device()).requires_grad_(),
             bias = zeros({channels}, type, device()).requires_grad_();
      return backward_call(norm(x, weight, bias), normal(shape, type), {x, weight, bias});
    });
  }
}

// Three sweeps over each row: mean, variance, result.
std::function<void()> plain_layer_norm(int64_t count, int64_t width) {
  Tensor x = normal({count, width}), y = normal({count, width}), weight = ones({width}), bias = zeros({width});
  return [=] {
    const float *w = weight.data<float>(), *b = bias.data<float>();
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* row = x.data<float>() + i * width;
        float mean = 0, variance = 0;
        for (int64_t j = 0; j < width; ++j) mean += row[j] / static_cast<float>(width);
        for (int64_t j = 0; j < width; ++j) variance += (row[j] - mean) * (row[j] - mean) / static_cast<float>(width);
        const float scale = 1 / std::sqrt(variance + 1e-5f);
        for (int64_t j = 0; j < width; ++j) written(y)[i * width + j] = (row[j] - mean) * scale * w[j] + b[j];
      }
    });
  };
}

const bool registered = suite([] {
  int64_t tokens = sized(32768, 2048), width = sized(1024, 384), images = sized(256, 16);
  Shape text{tokens, width}, deep{images, 128, 16, 16}, wide{images, 64, 32, 32};
  auto layer = [=](const Tensor& x, const Tensor& weight, const Tensor& bias) { return layer_norm(x, {width}, weight, bias); };
  auto batch = [](const Tensor& x, const Tensor& weight, const Tensor& bias) { return batch_norm_training(x, weight, bias).y; };
  auto group = [](const Tensor& x, const Tensor& weight, const Tensor& bias) { return group_norm(x, 8, weight, bias); };
  rows("layer_norm", text, dims({tokens, width}), width, layer);
  for (const Shape& s : {wide, deep}) {
    rows("batch_norm", s, dims({s[0], s[1], s[2], s[3]}), s[1], batch);
    rows("group_norm", s, dims({s[0], s[1], s[2], s[3]}), s[1], group);
  }
  for (DType type : types()) {
    auto numbers = static_cast<double>(tokens * width);
    gpu_row("layer_norm", dims({tokens, width}), type, "plain", {2 * numbers * static_cast<double>(item_size(type)), 8 * numbers},
            [=] { return gpu::plain::layer_norm(tokens, width, type); });
  }
  Work work{8 * static_cast<double>(tokens * width), 8 * static_cast<double>(tokens * width)};
  row("layer_norm", dims({tokens, width}), f32, "plain", work, [=] { return plain_layer_norm(tokens, width); });
  if (onednn::available)
    row("layer_norm", dims({tokens, width}), f32, "onednn", work, [=] {
      Tensor x = normal(text), y = normal(text);
      return [x, y, call = onednn::layer_norm(tokens, width, x.data<float>(), written(y))] { call(); };
    });
});

}  // namespace
