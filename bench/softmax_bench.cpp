// Softmax and cross-entropy, forward and backward, over rows. Softmax backward reads y and dy and writes dx; cross-entropy forward reads
// the logits, backward reads them again and writes their gradient.
#include <algorithm>
#include <cmath>

#include "bench/gpu.h"
#include "bench/onednn.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/loss.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

std::function<void()> plain_softmax(int64_t count, int64_t width) {
  Tensor x = normal({count, width}), y = normal({count, width});
  return [=] {
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* in = x.data<float>() + i * width;
        float *out = written(y) + i * width, most = *std::max_element(in, in + width), total = 0;
        for (int64_t j = 0; j < width; ++j) total += out[j] = std::exp(in[j] - most);
        for (int64_t j = 0; j < width; ++j) out[j] /= total;
      }
    });
  };
}

std::function<void()> plain_cross_entropy(int64_t count, int64_t width) {
  Tensor x = normal({count, width}), target = integers(width, {count}), losses = normal({count});
  return [=] {
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* in = x.data<float>() + i * width;
        float most = *std::max_element(in, in + width), total = 0;
        for (int64_t j = 0; j < width; ++j) total += std::exp(in[j] - most);
        written(losses)[i] = most + std::log(total) - in[target.data<int64_t>()[i]];
      }
    });
  };
}

void softmax_rows(int64_t count, int64_t width, DType type) {
  Shape shape{count, width};
  std::string name = dims({count, width});
  double numbers = static_cast<double>(count * width), bytes = numbers * static_cast<double>(item_size(type));
  row("softmax", name, type, "plumb", {2 * bytes, 5 * numbers}, [=] {
    Tensor x = normal(shape, type);
    return [=] { softmax(x, -1); };
  });
  row("softmax_backward", name, type, "plumb", {3 * bytes, 4 * numbers}, [=] {
    Tensor x = normal(shape, type).requires_grad_();
    return backward_call(softmax(x, -1), normal(shape, type), {x});
  });
  gpu_row("softmax", name, type, "plain", {2 * bytes, 5 * numbers}, [=] { return gpu::plain::softmax(count, width, type); });
  if (type != f32) return;
  row("softmax", name, f32, "plain", {2 * bytes, 5 * numbers}, [=] { return plain_softmax(count, width); });
  if (onednn::available)
    row("softmax", name, f32, "onednn", {2 * bytes, 5 * numbers}, [=] {
      Tensor x = normal(shape), y = normal(shape);
      return [x, y, call = onednn::softmax(count, width, x.data<float>(), written(y))] { call(); };
    });
}

void cross_entropy_rows(int64_t count, int64_t width, DType type) {
  std::string name = dims({count, width});
  double numbers = static_cast<double>(count * width), bytes = numbers * static_cast<double>(item_size(type));
  row("cross_entropy", name, type, "plumb", {bytes, 4 * numbers}, [=] {
    Tensor x = normal({count, width}, type), target = integers(width, {count});
    return [=] { cross_entropy(x, target); };
  });
  row("cross_entropy_with_backward", name, type, "plumb", {3 * bytes, 9 * numbers}, [=] {
    Tensor x = normal({count, width}, type).requires_grad_(), target = integers(width, {count});
    return [=] {
      x.zero_grad();
      cross_entropy(x, target).backward();
    };
  });
  gpu_row("cross_entropy", name, type, "plain", {bytes, 4 * numbers}, [=] { return gpu::plain::cross_entropy(count, width, type); });
  if (type == f32) row("cross_entropy", name, f32, "plain", {bytes, 4 * numbers}, [=] { return plain_cross_entropy(count, width); });
}

const bool registered = suite([] {
  for (DType type : types()) {
    softmax_rows(sized(32768, 1024), 1024, type);
    cross_entropy_rows(sized(8192, 1024), sized(50304, 4096), type);
    if (on_cpu()) cross_entropy_rows(2048, 65, type);
  }
});

}  // namespace
