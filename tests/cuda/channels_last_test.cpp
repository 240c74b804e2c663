// Images with channels last on the device: what keeps the order, what goes back to rows, and that it never changes a value.
#include "engine/core/channels_last.h"

#include <doctest/doctest.h>

#include <functional>

#include "engine/autograd/autocast.h"
#include "engine/core/precision.h"
#include "engine/core/watcher.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"
#include "ops/activated_norm.h"
#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/norm.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/vision.h"
#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

Tensor images(const Shape& shape, DType type = f32, uint64_t seed = 1) { return dense_data(to_gpu(noise(shape, type, seed)), true); }

// How often the elements of images of this batch go from one order into the other.
struct OrderChanges final : Watcher {
  int64_t batch;
  int count = 0;
  explicit OrderChanges(int64_t batch) : batch(batch) { set_watcher(this); }
  ~OrderChanges() override { set_watcher(nullptr); }
  void kernel_begins(const char* kernel, Device, std::span<const Tensor* const> tensors) noexcept override {
    if (std::string_view(kernel) != "copy" || tensors[0]->rank() != 4 || tensors[0]->size(0) != batch) return;
    count += channels_last(*tensors[0]) != channels_last(*tensors[1]);
  }
  void kernel_ended() noexcept override {}
  void operation_recorded(const char*) noexcept override {}
  void backward_begins(const char*) noexcept override {}
  void backward_ended() noexcept override {}
  void allocated(Device, const void*, size_t, const char*, const char*) noexcept override {}
  void freed(Device, const void*) noexcept override {}
};

// A small residual network with everything that an image passes through.
struct Network {
  Tensor stem, deep, grow, weight, bias, shift;
  std::vector<Tensor> parameters() const { return {stem, deep, grow, weight, bias, shift}; }
  static Network drawn(Device device) {
    auto leaf = [&](const Shape& shape, uint64_t seed) { return on(noise(shape, f32, seed), device).requires_grad_(); };
    return {leaf({16, 3, 3, 3}, 1), leaf({16, 16, 3, 3}, 2), leaf({24, 32, 1, 1}, 3), leaf({16}, 4), leaf({16}, 5), leaf({24}, 6)};
  }
  Tensor operator()(const Tensor& input) const {
    Tensor x = conv2d(input, stem, {}, {.padding = 1});
    Tensor h = relu(batch_norm_training(x, weight, bias, 1e-5).y);
    h = conv2d(h, deep, bias, {.padding = 1}) + x;
    h = interpolate(avg_pool2d(silu(group_norm(h, 4, weight, bias, 1e-5)), 2), {.scale = 2});
    h = conv2d(cat({h, x * 0.5}, 1), grow, shift, {.stride = 2});
    return global_avg_pool(h);
  }
};

}  // namespace

TEST_CASE("channels last: element-wise results keep the order, and have the values of rows") {
  const Tensor x = images({2, 5, 3, 4}), rows = dense_data(x, false), other = to_gpu(noise({2, 5, 3, 4}, f32, 2)),
               per_channel = to_gpu(noise({5, 1, 1}, f32, 3));
  struct Result {
    const char* what;
    Tensor last, row_major;
  };
  for (const Result& r : {Result{"unary", relu(x), relu(rows)},
                          {"binary", x * x, rows * rows},
                          {"with rows", x + other, rows + other},
                          {"rows with", other - x, other - rows},
                          {"broadcast", x * per_channel, rows * per_channel},
                          {"converted", to(x, bf16), to(rows, bf16)},
                          {"compared", to(x > other, f32), to(rows > other, f32)},
                          {"chosen", where(x > 0, x, other), where(rows > 0, rows, other)},
                          {"tested", to(isnan(x), f32), to(isnan(rows), f32)},
                          {"padded", pad(x, {1, 2, 0, 1}), pad(rows, {1, 2, 0, 1})},
                          {"joined", cat({x, other, x}, 1), cat({rows, other, rows}, 1)}}) {
    CHECK_MESSAGE(channels_last(r.last), r.what);
    CHECK_MESSAGE(is_dense(r.last, true), r.what);
    CHECK_MESSAGE(!channels_last(r.row_major), r.what);
    CHECK_MESSAGE(same(to_cpu(r.last), to_cpu(r.row_major)), r.what);
  }
}

TEST_CASE("channels last: results of parts of images have no gaps") {
  const Tensor x = images({2, 6, 4, 5}), part = slice(slice(x, 1, 1, 4), 2, 1, 3);
  CHECK(channels_last(part));
  const Tensor y = part * 2;
  CHECK(is_dense(y, true));
  CHECK(same(to_cpu(y), to_cpu(contiguous(part) * 2)));
}

TEST_CASE("channels last: clone, contiguous and reshape give rows where a view cannot be had") {
  const Tensor x = images({2, 6, 4, 5}), rows = dense_data(x, false);
  CHECK(clone(x).is_contiguous());
  CHECK(contiguous(x).is_contiguous());
  CHECK(same(to_cpu(flatten(x, 1)), to_cpu(flatten(rows, 1))));
  const Tensor places = flatten(x, 2);  // the places of a channel follow each other at one distance
  CHECK(places.raw_data() == x.raw_data());
  CHECK(same(to_cpu(places), to_cpu(flatten(rows, 2))));
  CHECK(same(to_cpu(unflatten(x, 1, {2, 3})), to_cpu(unflatten(rows, 1, {2, 3}))));
}

TEST_CASE(
    "channels last: a convolution on tensor cores gives images so, exact f32 and f64 ones rows, sums of few channels the order of the "
    "input") {
  const Tensor w = to_gpu(noise({8, 6, 3, 3}, f32, 2)), depthwise = to_gpu(noise({6, 1, 3, 3}, f32, 3));
  for (DType type : {f64, f32, bf16, f16}) {
    const Tensor x = to_gpu(noise({2, 6, 5, 5}, type, 1));
    CHECK(channels_last(conv2d(x, to(w, type), {})) == (type == bf16 || type == f16));
    for (bool last : {false, true}) CHECK(channels_last(conv2d(dense_data(x, last), to(depthwise, type), {}, {.groups = 6})) == last);
  }
  allow_tf32(true);
  const bool with_tf32 = channels_last(conv2d(to_gpu(noise({2, 6, 5, 5}, f32, 1)), w, {}));
  allow_tf32(false);
  CHECK(with_tf32);
}

TEST_CASE("channels last: gradients have the order of their tensors, those of weights are rows") {
  const Tensor x = images({2, 6, 5, 5}, bf16).requires_grad_(), w = to_gpu(noise({8, 6, 3, 3}, f32, 2)).requires_grad_();
  const Autocast in_bf16(bf16);
  Tensor middle = relu(conv2d(x * 1.0, w, {}));
  middle.retain_grad();
  sum(square(middle)).backward();
  CHECK(channels_last(middle.grad()));
  CHECK(w.grad().is_contiguous());
  CHECK(w.grad().dtype() == f32);
}

TEST_CASE("channels last: a network computes what the CPU does, and its images change their order at its two ends alone") {
  const Tensor input = noise({4, 3, 8, 8}, f32, 9);
  auto run = [&](Device device, bool autocast, std::vector<Tensor>& results) {
    const Network network = Network::drawn(device);
    const Autocast type(autocast ? bf16 : f32);
    Tensor y = network(on(input, device));
    sum(square(to(y, f32))).backward();
    results.push_back(y.detach());
    for (const Tensor& p : network.parameters()) results.push_back(p.grad());
  };
  std::vector<Tensor> expected, exact, rounded, again;
  run(cpu, false, expected);
  run(kGpu, false, exact);
  OrderChanges changes(4);
  run(kGpu, true, rounded);
  set_watcher(nullptr);
  CHECK(changes.count <=
        4);  // the first images, and the mean's gradient where it is spread over the places: for two calls of the library each
  run(kGpu, true, again);
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(distance(exact[i], expected[i]) <= 1e-4);
    CHECK(distance(rounded[i], expected[i]) <= 0.1);  // some forty roundings to 8 bits one after the other
    CHECK(same(to_cpu(rounded[i]), to_cpu(again[i])));
  }
}

TEST_CASE("channels last: a group norm with silu after it is the two operations, with all their gradients") {
  for (DType type : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{2, 6, 5, 7}, Shape{3, 16, 4, 4}, Shape{1, 32, 300}, Shape{2, 6, 1, 1}, Shape{0, 6, 2, 2}})
      for (bool affine : {false, true}) {
        const Tensor x = images(shape, type), w = to_gpu(noise({shape[1]}, f32, 2)), b = to_gpu(noise({shape[1]}, f32, 3)),
                     dy = images(shape, type, 4);
        auto gradients = [&](const std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)>& f, bool create_graph) {
          const Tensor leaf = x.detach().requires_grad_(), weight = w.detach().requires_grad_(), bias = b.detach().requires_grad_();
          const Tensor y = f(leaf, affine ? weight : Tensor(), affine ? bias : Tensor());
          std::vector<Tensor> inputs{leaf}, all{y.detach()};
          if (affine) inputs.insert(inputs.end(), {weight, bias});
          for (const Tensor& g : grad({y}, inputs, {.create_graph = create_graph}, {dy})) all.push_back(g.detach());
          return all;
        };
        auto together = [](const Tensor& t, const Tensor& weight, const Tensor& bias) { return group_norm_silu(t, 2, weight, bias, 1e-5); };
        const std::vector<Tensor> expected = gradients(
            [](const Tensor& t, const Tensor& weight, const Tensor& bias) { return silu(group_norm(t, 2, weight, bias, 1e-5)); }, false);
        for (bool create_graph : {false, true}) {
          const std::vector<Tensor> got = gradients(together, create_graph);
          for (size_t i = 0; i < got.size(); ++i)
            CHECK_MESSAGE(distance(got[i], expected[i]) <= 8 * epsilon(type == f64 ? f64 : type),
                          name(type) << " " << to_string(shape) << " " << i);
        }
      }
}

TEST_CASE("channels last: derivatives of derivatives pass through the order") {
  const Tensor x = images({2, 6, 5, 5}).requires_grad_(), w = to_gpu(noise({8, 6, 3, 3}, f32, 2)).requires_grad_();
  const auto second = [&](const Tensor& input) {
    Tensor loss = sum(square(tanh(conv2d(input, w, {}))));
    Tensor slope = grad({loss}, {input, w}, {.create_graph = true})[0];
    return grad({sum(square(slope))}, {input, w});
  };
  allow_tf32(true);
  const std::vector<Tensor> got = second(x);
  allow_tf32(false);
  const std::vector<Tensor> expected = second(dense_data(x.detach(), false).requires_grad_());
  for (size_t i = 0; i < got.size(); ++i) CHECK(distance(got[i], expected[i]) <= 0x1p-6);  // TF32 has 10 bits of fraction
}

TEST_CASE("channels last: no images, one place and one channel") {
  for (const Shape& shape : {Shape{0, 6, 5, 5}, Shape{2, 6, 1, 1}, Shape{2, 1, 5, 5}}) {
    const Tensor x = noise(shape, bf16, 1), w = noise({8, shape[1], 3, 3}, bf16, 2);
    const Function f = [](const std::vector<Tensor>& t) -> std::vector<Tensor> {
      Tensor y = conv2d(t[0], t[1], {}, {.padding = 1});
      return {relu(group_norm(y, 2, {}, {}, 1e-5)), global_avg_pool(y)};
    };
    if (shape[0] > 0) CHECK(distance_from_cpu(f, {x, w}, bf16) <= 0.1);
    else CHECK(to_cpu(f({to_gpu(x), to_gpu(w)})[0]).numel() == 0);
  }
}
