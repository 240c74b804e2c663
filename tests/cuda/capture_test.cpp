// Captured steps: replays give what the step would have given, with the generator and the optimiser; memory is theirs alone.
#include "engine/core/capture.h"

#include <doctest/doctest.h>

#include "engine/core/allocator.h"
#include "engine/core/device_runtime.h"
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "models/optim/lion.h"
#include "models/optim/radam.h"
#include "models/optim/sgd.h"
#include "ops/activation.h"
#include "ops/dropout.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// A layer learned with dropout: six steps, captured or not. Returns the losses and the weights.
std::vector<double> learned(bool captured, bool fused_eagerly) {
  manual_seed(5);
  Tensor w = to_gpu(randn({8, 4})).requires_grad_(), b = to_gpu(zeros({4})).requires_grad_();
  Tensor x = zeros({16, 8}, f32, kGpu), y = zeros({16, 4}, f32, kGpu);
  optim::AdamW adamw({w, b}, {.lr = 0.05});
  auto gradients = [&] {
    adamw.zero_grad();
    Tensor loss = mse_loss(relu(dropout(matmul(x, w), 0.25) + b), y);
    loss.backward();
    if (fused_eagerly) adamw.step();
    return loss;
  };
  CapturedStep step = capture(gradients, captured ? kGpu : cpu);
  std::vector<double> results;
  for (int64_t i = 0; i < 6; ++i) {
    Generator data(static_cast<uint64_t>(100 + i));
    Tensor fresh = randn({16, 8}, {.generator = &data});
    copy_data(fresh, x);
    copy_data(narrow(fresh, 1, 0, 4), y);
    adamw.set_lr_scale(1.0 / static_cast<double>(1 + i));
    Tensor loss = step();
    if (!fused_eagerly) adamw.step();
    results.push_back(loss.item());
    CHECK(step.captured() == (captured && i >= 2));
    randn({64}, {.device = kGpu});  // others draw in between
  }
  for (double v : to_vector(w)) results.push_back(v);
  return results;
}

}  // namespace

TEST_CASE("capture: losses, weights and draws are those of the plain step, bit for bit") {
  std::vector<double> plain = learned(false, false);
  CHECK(learned(true, false) == plain);
  CHECK(learned(false, true) == plain);
  CHECK(learned(true, true) == plain);  // the optimiser's step within: its learning rate moves on
}

namespace {

// Seven steps of an optimiser whose learning rate falls, on parameters of two types; the parameters after them.
template <typename Optimizer, typename Options>
std::vector<double> descended(const Options& options, bool captured) {
  Tensor w = to_gpu(plumb::test::sample({40, 3}, 1, f32)).requires_grad_(),
         narrow = to_gpu(plumb::test::sample({50}, 2, bf16)).requires_grad_();
  Optimizer optimizer({w, narrow}, options);
  CapturedStep step = capture(
      [&] {
        optimizer.zero_grad();
        Tensor loss = sum(w * w * w) + to(sum(narrow * narrow), f32);
        loss.backward();
        optimizer.step();
        return loss;
      },
      captured ? kGpu : cpu);
  for (int i = 0; i < 7; ++i) {
    optimizer.set_lr_scale(1 - 0.1 * i);
    step();
  }
  std::vector<double> all = to_vector(w), rest = to_vector(narrow);
  all.insert(all.end(), rest.begin(), rest.end());
  CHECK(optimizer.state().scalars.at("0.steps") == 7);
  return all;
}

}  // namespace

TEST_CASE("capture: an optimiser's step within, of any rule, is that of the plain step, bit for bit") {
  CHECK(descended<optim::SGD>(optim::SgdOptions{.lr = 0.01, .momentum = 0.9}, true) ==
        descended<optim::SGD>(optim::SgdOptions{.lr = 0.01, .momentum = 0.9}, false));
  CHECK(descended<optim::RAdam>(optim::RAdamOptions{.lr = 0.01}, true) == descended<optim::RAdam>(optim::RAdamOptions{.lr = 0.01}, false));
  CHECK(descended<optim::Lion>(optim::LionOptions{.lr = 0.01}, true) == descended<optim::Lion>(optim::LionOptions{.lr = 0.01}, false));
}

TEST_CASE("capture: two steps of an optimiser within are those of the plain step") {
  auto descended_twice = [](bool captured) {
    Tensor w = to_gpu(plumb::test::sample({40}, 1, f32)).requires_grad_();
    optim::AdamW adamw({w}, {.lr = 0.05});
    CapturedStep step = capture(
        [&] {
          Tensor loss;
          for (int i = 0; i < 2; ++i) {
            adamw.zero_grad();
            loss = sum(w * w * w * w);
            loss.backward();
            adamw.step();
          }
          return loss;
        },
        captured ? kGpu : cpu);
    for (int i = 0; i < 6; ++i) step();
    return to_vector(w);
  };
  CHECK(descended_twice(true) == descended_twice(false));
}

TEST_CASE("capture: an optimiser with other tensors or more to do than when it was recorded asks to be reset") {
  Tensor w = to_gpu(ones({5})).requires_grad_();
  optim::AdamW adamw({w}, {.lr = 0.1});
  CapturedStep step = capture(
      [&] {
        adamw.zero_grad();
        Tensor loss = sum(w * w);
        loss.backward();
        adamw.step();
        return loss;
      },
      kGpu);
  for (int i = 0; i < 4; ++i) step();
  adamw.load_state(adamw.state());
  std::vector<double> before = to_vector(w);
  CHECK_THROWS_WITH_AS(step(), doctest::Contains("call reset()"), ValueError);
  CHECK(to_vector(w) == before);
  step.reset();
  for (int i = 0; i < 4; ++i) step();
  adamw.add_transform([](const std::vector<Tensor>&, std::vector<Tensor>&) {});
  CHECK_THROWS_WITH_AS(step(), doctest::Contains("call reset()"), ValueError);
  step.reset();
  for (int i = 0; i < 4; ++i) step();  // eagerly, in between
  CHECK(adamw.state().scalars.at("0.steps") == 12);
}

TEST_CASE("capture: what prepares a replay is done before each of them, outside the recording") {
  Tensor x = to_gpu(zeros({2}));
  int64_t times = 0;
  CapturedStep step = capture(
      [&] {
        Tensor y = x * 2;
        before_replay([&] { copy_data(full({2}, static_cast<double>(++times)), x); });
        return sum(y);
      },
      kGpu);
  CHECK(step().item() == 0);  // as it is: in the place where it stands
  CHECK(step().item() == 4);
  for (int i = 3; i < 7; ++i) CHECK(step().item() == 4 * i);
  CHECK(times == 6);
}

TEST_CASE("capture: on the CPU a step runs as it is") {
  int64_t calls = 0;
  CapturedStep step = capture([&] { return scalar_tensor(static_cast<double>(++calls), f64); }, cpu);
  for (int i = 1; i <= 5; ++i) CHECK(step().item() == i);
  CHECK_FALSE(step.captured());
}

TEST_CASE("capture: what is made in a step is not overwritten by others, nor given back to the driver") {
  Tensor x = to_gpu(ones({1000}));
  CapturedStep step = capture([&] { return sum((x + 1) * 2 - x); }, kGpu);
  for (int i = 0; i < 3; ++i) CHECK(step().item() == 3000);
  std::vector<Tensor> others;
  for (int i = 0; i < 20; ++i) others.push_back(full({1000}, i, f32, kGpu));
  release_cached_memory(kGpu);
  copy_data(full({1000}, 2.0), x);
  CHECK(step().item() == 4000);
  for (int i = 0; i < 20; ++i) CHECK(sum(others[static_cast<size_t>(i)]).item() == 1000 * i);
}

TEST_CASE("capture: numbers that the host brings within a step stay") {
  Tensor x = to_gpu(zeros({3}));
  CapturedStep step = capture([&] { return x + to(from_vector(std::vector<float>{1, 2, 3}), kGpu); }, kGpu);
  for (int i = 0; i < 5; ++i) {
    copy_data(full({3}, i), x);
    std::vector<float> noise(1000, 7);  // where the host's numbers were
    CHECK(to_vector(step()) == std::vector<double>{1.0 + i, 2.0 + i, 3.0 + i});
  }
}

TEST_CASE("capture: what the host brought stays until the device has read it, also where the recording is given up before") {
  auto bring = [](float v) { return capture([v] { return to_gpu(full({5000}, v)) * 1; }, kGpu); };
  CapturedStep first = bring(1);
  for (int i = 0; i < 3; ++i) first();
  Tensor replayed = clone(first());
  first.reset();
  CapturedStep second = bring(2);  // whose numbers may take the memory that the first one's are read from
  for (int i = 0; i < 3; ++i) second();
  CHECK(same(to_cpu(replayed), full({5000}, 1)));
}

TEST_CASE("capture: work that is done eagerly comes in its place in every call") {
  Tensor x = to_gpu(zeros({2}));
  std::vector<double> seen;
  CapturedStep step = capture(
      [&] {
        copy_data(x + 1, x);
        eagerly([&] { seen.push_back(sum(x).item()); });
        copy_data(x * 2, x);
        return sum(x);
      },
      kGpu);
  double expected = 0;
  for (int i = 0; i < 5; ++i) {
    expected = (expected + 1) * 2;
    CHECK(step().item() == 2 * expected);
    CHECK(seen.back() == expected);
  }
  CHECK(seen.size() == 5);
}

TEST_CASE("capture: waiting for the device within a step is refused in words, and the step can be mended") {
  Tensor x = to_gpu(ones({2}));
  bool waits = true;
  CapturedStep step = capture(
      [&] {
        Tensor y = x * 3;
        if (waits) sum(y).item();
        return sum(y);
      },
      kGpu);
  step();
  step();
  CHECK_THROWS_WITH_AS(step(), doctest::Contains("a step that is captured cannot wait for the GPU"), DeviceError);
  CHECK_FALSE(step.captured());
  waits = false;
  for (int i = 0; i < 4; ++i) CHECK(step().item() == 6);
  CHECK(step.captured());
}

TEST_CASE("capture: after a new seed it asks to be reset") {
  Tensor x = to_gpu(ones({8}));
  CapturedStep step = capture([&] { return sum(dropout(x, 0.5)); }, kGpu);
  for (int i = 0; i < 3; ++i) step();
  manual_seed(default_generator().seed() + 1);
  CHECK_THROWS_WITH_AS(step(), doctest::Contains("seeded anew"), ValueError);
  step.reset();
  CHECK_NOTHROW(step());
}
