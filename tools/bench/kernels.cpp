// Rows of kernels.
#include "tools/bench/kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "models/optim/parameters.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::tools {
namespace {

using Clock = std::chrono::steady_clock;

// Runs, as many at once as take about a hundredth of a second, until the time is up: the median time of one.
double median_seconds(Device device, double seconds, const std::function<void()>& run) {
  auto timed = [&](int64_t runs) {
    auto start = Clock::now();
    for (int64_t i = 0; i < runs; ++i) run();
    synchronize(device);
    return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(runs);
  };
  timed(2);
  double once = timed(1);
  int64_t runs = std::clamp<int64_t>(static_cast<int64_t>(0.01 / once), 1, 1000);
  std::vector<double> times;
  for (double spent = 0; spent < seconds || times.size() < 3; spent += times.back() * static_cast<double>(runs)) times.push_back(timed(runs));
  std::ranges::nth_element(times, times.begin() + static_cast<ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

class Bench {
 public:
  Bench(Device device, double seconds) : device_(device), seconds_(seconds), large_(device.type != DeviceType::cpu) {}

  void copy();
  void matmul();
  void pointwise();
  void where();
  void softmax();
  void layer_norm();
  void cross_entropy();
  void embedding();
  void dropout();
  void attention();
  void conv();
  void adamw();

  std::vector<KernelTiming> rows;

 private:
  int64_t sized(int64_t gpu, int64_t cpu_size) const { return large_ ? gpu : cpu_size; }
  std::vector<DType> types() const { return large_ ? std::vector<DType>{f32, bf16} : std::vector<DType>{f32}; }
  Tensor normal(const Shape& shape, DType type) { return randn(shape, {.dtype = type, .device = device_, .generator = &random_}); }
  double bandwidth();
  double product_rate(DType type);
  void moved(const std::string& kernel, DType type, const Shape& shape, double bytes, const std::function<void()>& run) {
    rows.push_back({kernel, std::string(name(type)), to_string(shape), median_seconds(device_, seconds_, run), bytes, 0, bandwidth()});
  }
  void computed(const std::string& kernel, DType type, const std::string& shape, double flops, const std::function<void()>& run) {
    rows.push_back({kernel, std::string(name(type)), shape, median_seconds(device_, seconds_, run), 0, flops, product_rate(type)});
  }

  Device device_;
  double seconds_;
  bool large_;
  Generator random_{0};
  std::optional<double> bandwidth_, rate32_, rate16_;
};

double bytes_of(const Tensor& x) { return static_cast<double>(x.numel()) * static_cast<double>(item_size(x.dtype())); }

// A copy reads and writes each byte.
double Bench::bandwidth() {
  if (bandwidth_) return *bandwidth_;
  Tensor x = zeros({sized(int64_t{1} << 28, int64_t{1} << 24)}, f32, device_), y = empty_like(x);
  return *(bandwidth_ = 2 * bytes_of(x) / median_seconds(device_, seconds_, [&] { copy_data(x, y); }));
}

double Bench::product_rate(DType type) {
  auto& known = type == f32 ? rate32_ : rate16_;
  if (known) return *known;
  int64_t n = sized(8192, 1024);
  Tensor a = normal({n, n}, type), b = normal({n, n}, type);
  double flops = 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return *(known = flops / median_seconds(device_, seconds_, [&] { plumb::matmul(a, b); }));
}

void Bench::copy() {
  Tensor x = normal({sized(8192, 1024), 8192}, f32), y = empty({x.size(1), x.size(0)}, f32, device_), z = empty_like(x);
  moved("copy", f32, x.shape(), 2 * bytes_of(x), [&] { copy_data(x, z); });
  moved("copy_transposed", f32, x.shape(), 2 * bytes_of(x), [&] { copy_data(mT(x), y); });
}

// The shapes of GPT-2 (or a small GPT): rows of tokens.
void Bench::matmul() {
  int64_t rows = sized(16384, 2048), width = sized(768, 384);
  struct Product {
    const char* name;
    int64_t m, k, n;
  };
  for (DType type : types())
    for (auto [name, m, k, n] : {Product{"square", sized(4096, 1024), sized(4096, 1024), sized(4096, 1024)}, {"qkv", rows, width, 3 * width}, {"up", rows, width, 4 * width},
                                 {"down", rows, 4 * width, width}, {"head", sized(16384, 2048), width, sized(50304, 4096)}, {"up_dw", width, rows, 4 * width}}) {
      Tensor a = normal({m, k}, type), b = normal({k, n}, type);
      if (std::string_view(name) == "up_dw") a = mT(normal({k, m}, type));
      else if (std::string_view(name) != "square") b = mT(normal({n, k}, type));
      computed(std::string("matmul_") + name, type, fmt::format("[{}, {}] · [{}, {}]", m, k, k, n), 2 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n), [&] { plumb::matmul(a, b); });
    }
}

void Bench::pointwise() {
  for (DType type : types()) {
    Tensor x = normal({sized(1 << 26, 1 << 20)}, type), y = normal(x.shape(), type), row = normal({1024}, type), wide = reshape(x, {-1, 1024});
    moved("add", type, x.shape(), 3 * bytes_of(x), [&] { x + y; });
    moved("add_row", type, wide.shape(), 2 * bytes_of(x), [&] { wide + row; });
    moved("gelu", type, x.shape(), 2 * bytes_of(x), [&] { gelu(x); });
    moved("sum_rows", type, wide.shape(), bytes_of(x), [&] { sum(wide, {1}); });
  }
}

// Reads a byte and two numbers, writes one of these; backward reads a byte and a gradient for each of the two that it writes.
void Bench::where() {
  for (DType type : types()) {
    Tensor a = normal({sized(1 << 26, 1 << 20)}, type).requires_grad_(), b = normal(a.shape(), type).requires_grad_(), condition = normal(a.shape(), type) > 0;
    moved("where", type, a.shape(), bytes_of(condition) + 3 * bytes_of(a), [&] {
      NoGrad off;
      plumb::where(condition, a, b);
    });
    Tensor y = plumb::where(condition, a, b), dy = normal(y.shape(), type);
    moved("where_backward", type, a.shape(), 2 * bytes_of(condition) + 4 * bytes_of(a), [&] {
      for (const Tensor& x : {a, b}) x.zero_grad();
      y.backward(dy, true);
    });
  }
}

// A backward pass reads what was saved and dy, and writes dx.
void Bench::softmax() {
  for (DType type : types()) {
    Tensor x = normal({sized(32768, 1024), 1024}, type).requires_grad_();
    moved("softmax", type, x.shape(), 2 * bytes_of(x), [&] {
      NoGrad off;
      plumb::softmax(x, -1);
    });
    Tensor dy = normal(x.shape(), type), y = plumb::softmax(x, -1);
    moved("softmax_backward", type, x.shape(), 3 * bytes_of(x), [&] {
      x.zero_grad();
      y.backward(dy, true);
    });
  }
}

void Bench::layer_norm() {
  for (DType type : types()) {
    int64_t width = sized(1024, 384);
    Tensor x = normal({sized(32768, 2048), width}, type).requires_grad_(), weight = ones({width}, type, device_).requires_grad_(), bias = zeros({width}, type, device_).requires_grad_();
    moved("layer_norm", type, x.shape(), 2 * bytes_of(x), [&] {
      NoGrad off;
      plumb::layer_norm(x, {width}, weight, bias);
    });
    Tensor dy = normal(x.shape(), type), y = plumb::layer_norm(x, {width}, weight, bias);
    moved("layer_norm_backward", type, x.shape(), 3 * bytes_of(x), [&] {
      for (const Tensor& t : {x, weight, bias}) t.zero_grad();
      y.backward(dy, true);
    });
  }
}

// Forward reads the logits; backward reads them again and writes their gradient.
void Bench::cross_entropy() {
  for (DType type : types()) {
    Tensor logits = normal({sized(8192, 1024), sized(50304, 4096)}, type).requires_grad_();
    Tensor target = randint(0, logits.size(1), {logits.size(0)}, {.dtype = i64, .device = device_, .generator = &random_});
    moved("cross_entropy", type, logits.shape(), bytes_of(logits), [&] {
      NoGrad off;
      plumb::cross_entropy(logits, target);
    });
    moved("cross_entropy_with_backward", type, logits.shape(), 3 * bytes_of(logits), [&] {
      logits.zero_grad();
      plumb::cross_entropy(logits, target).backward();
    });
  }
}

void Bench::embedding() {
  Tensor table = normal({sized(50304, 4096), 768}, f32).requires_grad_();
  Tensor tokens = randint(0, table.size(0), {sized(16384, 2048)}, {.dtype = i64, .device = device_, .generator = &random_});
  double rows = static_cast<double>(tokens.numel()) * 768 * 4;
  moved("embedding", f32, tokens.shape(), 2 * rows, [&] {
    NoGrad off;
    plumb::embedding(table, tokens);
  });
  Tensor y = plumb::embedding(table, tokens), dy = normal(y.shape(), f32);
  moved("embedding_backward", f32, tokens.shape(), 2 * rows + bytes_of(table), [&] {
    table.zero_grad();
    y.backward(dy, true);
  });
}

void Bench::dropout() {
  for (DType type : types()) {
    Tensor x = normal({sized(1 << 26, 1 << 20)}, type);
    moved("dropout", type, x.shape(), 2 * bytes_of(x), [&] { plumb::dropout(x, 0.1); });
  }
}

// Causal: half of 4 b h t² d operations forward, of 10 backward.
void Bench::attention() {
  int64_t b = sized(16, 2), h = sized(12, 6), t = sized(1024, 256);
  for (DType type : types())
    for (int64_t d : large_ ? std::vector<int64_t>{64, 128} : std::vector<int64_t>{64}) {
      Tensor q = normal({b, h, t, d}, type).requires_grad_(), k = normal(q.shape(), type).requires_grad_(), v = normal(q.shape(), type).requires_grad_();
      double products = static_cast<double>(b * h * t) * static_cast<double>(t * d);
      computed("attention", type, to_string(q.shape()), 2 * products, [&] {
        NoGrad off;
        scaled_dot_product_attention(q, k, v, {.causal = true});
      });
      Tensor y = scaled_dot_product_attention(q, k, v, {.causal = true}), dy = normal(y.shape(), type);
      computed("attention_backward", type, to_string(q.shape()), 5 * products, [&] {
        for (const Tensor& x : {q, k, v}) x.zero_grad();
        y.backward(dy, true);
      });
    }
}

void Bench::conv() {
  struct Case {
    int64_t n, c, side, o, kernel;
  };
  for (DType type : types())
    for (auto [n, c, side, o, kernel] : large_ ? std::vector<Case>{{256, 64, 32, 64, 3}, {256, 256, 8, 256, 3}, {128, 64, 56, 256, 1}} : std::vector<Case>{{8, 64, 32, 64, 3}, {8, 64, 32, 128, 1}}) {
      Tensor x = normal({n, c, side, side}, type).requires_grad_(), w = normal({o, c, kernel, kernel}, type).requires_grad_();
      double flops = 2 * static_cast<double>(n * o * side * side) * static_cast<double>(c * kernel * kernel);
      std::string shape = fmt::format("{} ∗ {}", to_string(x.shape()), to_string(w.shape()));
      computed("conv2d", type, shape, flops, [&] {
        NoGrad off;
        conv2d(x, w, {}, {.padding = kernel / 2});
      });
      Tensor y = conv2d(x, w, {}, {.padding = kernel / 2}), dy = normal(y.shape(), type);
      computed("conv2d_backward", type, shape, 2 * flops, [&] {
        x.zero_grad();
        w.zero_grad();
        y.backward(dy, true);
      });
    }
}

// Reads parameter, gradient and two moments, writes three of them; over tensors of many sizes at once.
void Bench::adamw() {
  std::vector<Tensor> parameters;
  double count = 0;
  int64_t width = sized(768, 256);
  for (int64_t i = 0; i < 12; ++i)
    for (const Shape& shape : {Shape{3 * width, width}, Shape{width, width}, Shape{4 * width, width}, Shape{width, 4 * width}, Shape{width}, Shape{4 * width}}) {
      parameters.push_back(zeros(shape, f32, device_).requires_grad_());
      parameters.back().set_grad(ones(shape, f32, device_));
      count += static_cast<double>(parameters.back().numel());
    }
  optim::AdamW adamw(parameters, {.lr = 1e-4});
  Shape all{static_cast<int64_t>(count)};
  moved("adamw", f32, all, 7 * 4 * count, [&] { adamw.step(); });
  std::vector<Tensor> gradients = optim::gradients(parameters);
  moved("gradient_norm", f32, all, 4 * count, [&] { optim::norm(gradients); });
}

struct Row {
  const char* name;
  void (Bench::*run)();
};
constexpr Row kRows[] = {{"copy", &Bench::copy}, {"matmul", &Bench::matmul}, {"pointwise", &Bench::pointwise}, {"where", &Bench::where}, {"softmax", &Bench::softmax}, {"layer_norm", &Bench::layer_norm},
                         {"cross_entropy", &Bench::cross_entropy}, {"embedding", &Bench::embedding}, {"dropout", &Bench::dropout}, {"attention", &Bench::attention}, {"conv", &Bench::conv},
                         {"adamw", &Bench::adamw}};

}  // namespace

std::vector<std::string> kernel_rows() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

std::vector<KernelTiming> time_kernels(const std::vector<std::string>& only, Device device, double seconds) {
  Bench bench(device, seconds);
  for (const std::string& name : only.empty() ? kernel_rows() : only) {
    auto row = std::ranges::find_if(kRows, [&](const Row& r) { return name == r.name; });
    if (row == std::end(kRows)) throw ConfigError(fmt::format("--only {} is unknown; choose from {}", name, fmt::join(kernel_rows(), ", ")));
    (bench.*row->run)();
  }
  return bench.rows;
}

}  // namespace plumb::tools
