// Attention by cuDNN against the CPU in f64, and which calls it takes. The simulated device, which has no cuDNN, computes all of it by own
// kernels.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/autograd/grad_mode.h"
#include "engine/core/capture.h"
#include "ops/attention.h"
#include "ops/create.h"
#include "ops/kernels/attention.h"
#include "ops/kernels/attention_choice.h"
#include "tests/cuda/attention_inputs.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

bool with_library() { return std::getenv("PLUMB_TEST_GPU") != nullptr; }

// While alive, attention is computed so.
struct Choosing {
  explicit Choosing(AttentionChoice choice) { choose_attention(choice); }
  ~Choosing() { choose_attention(AttentionChoice::automatic); }
};

void check_against_cpu(const AttentionSizes& s, const AttentionOptions& options) {
  const Choosing library(AttentionChoice::library);
  for (DType type : {bf16, f16}) {
    if (type == f16 && !with_library()) continue;
    double d = distance_from_cpu(attend(options), attention_inputs(s, type), type);
    CHECK_MESSAGE(d <= 3 * epsilon(type),
                  name(type) << " " << s.queries << "×" << s.keys << ", widths " << s.width << " and " << s.values << ": " << d);
  }
}

std::vector<Tensor> computed(AttentionChoice choice, const Function& f, const std::vector<Tensor>& x) {
  const Choosing so(choice);
  return results_and_gradients(f, x, kGpu, x[0].dtype());
}

// Whether two ways give the same bits: when only one of them is the library's, sums of this length never all agree.
bool same_bits(AttentionChoice a, AttentionChoice b, const Function& f, const std::vector<Tensor>& x) {
  std::vector<Tensor> first = computed(a, f, x), second = computed(b, f, x);
  for (size_t i = 0; i < first.size(); ++i)
    if (!same(to_cpu(first[i]), to_cpu(second[i]))) return false;
  return true;
}

}  // namespace

TEST_CASE("cudnn attention: results and gradients equal the CPU's") {
  for (bool causal : {false, true}) {
    for (int64_t width : {32, 64, 96, 128}) check_against_cpu({1, 1, 1, 130, 130, width, width}, {.causal = causal});
    check_against_cpu({2, 1, 1, 70, 199, 64, 64}, {.causal = causal, .scale = 0.3});  // cross attention, sizes that no tile divides
    check_against_cpu({1, 4, 2, 65, 129, 40, 72}, {.causal = causal});                // grouped heads, widths that are padded
    check_against_cpu({1, 2, 1, 40, 70, 192, 128}, {.causal = causal});
    check_against_cpu({1, 1, 1, 40, 70, 256, 256}, {.causal = causal});
  }
  check_against_cpu({1, 2, 2, 150, 40, 64, 64}, {});  // more queries than keys
}

TEST_CASE("cudnn attention: a sliding window") {
  for (const AttentionSizes& s : {AttentionSizes{1, 2, 1, 140, 140, 32, 32}, AttentionSizes{1, 1, 1, 70, 150, 64, 64}})
    check_against_cpu(s, {.causal = true, .window = 37});
}

TEST_CASE("cudnn attention: heads within one projection, and their gradients within one") {
  const Choosing library(AttentionChoice::library);
  const Function packed = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {packed_attention(x[0], 4, 2, {.causal = true})};
  };
  CHECK(distance_from_cpu(packed, {noise({2, 70, 8 * 16}, bf16, 4)}, bf16) <= 3 * epsilon(bf16));
}

TEST_CASE("cudnn attention: the log-sum-exp of every row") {
  const Choosing library(AttentionChoice::library);
  const std::vector<Tensor> x = attention_inputs({1, 2, 1, 50, 70, 16, 16}, bf16);
  auto lse_on = [&](Device device) {
    Tensor q = on(x[0], device), k = on(x[1], device), v = on(x[2], device), out = empty({1, 2, 50, 16}, bf16, device),
           lse = empty({1, 2, 50}, f32, device);
    kernel::attention(device, {.scale = 0.25, .causal = true}, q, k, v, {}, out, lse);
    return to_vector(to_cpu(lse));
  };
  const std::vector<double> got = lse_on(kGpu), expected = lse_on(cpu);
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) <= 1e-5);
}

TEST_CASE("cudnn attention: the same bits every time, and in a captured step") {
  const Choosing library(AttentionChoice::library);
  for (const AttentionSizes& s : {AttentionSizes{1, 2, 2, 130, 130, 32, 32}, AttentionSizes{1, 4, 2, 40, 130, 64, 64}}) {
    const std::vector<Tensor> x = attention_inputs(s, bf16);
    const std::vector<Tensor> first = results_and_gradients(attend({.causal = true}), x, kGpu, bf16);
    std::vector<Tensor> q, upstream = {on(noise(first[0].shape(), bf16, 77), kGpu)};
    for (const Tensor& t : x) q.push_back(to_gpu(t).requires_grad_());
    std::vector<Tensor> results(4);
    CapturedStep step = capture(
        [&] {
          const Tensor y = scaled_dot_product_attention(q[0], q[1], q[2], {.causal = true});
          std::vector<Tensor> gradients = grad({y}, q, {}, upstream);
          results = {y.detach(), gradients[0], gradients[1], gradients[2]};
          return y.detach();
        },
        kGpu);
    for (int call = 0; call < 4; ++call) {
      step();
      for (size_t i = 0; i < results.size(); ++i) CHECK(same(to_cpu(results[i]), to_cpu(first[i])));
    }
    CHECK(step.captured());
  }
}

TEST_CASE("cudnn attention: what it takes, and what it leaves to own kernels") {
  using enum AttentionChoice;
  if (!with_library()) return;
  const std::vector<Tensor> small = attention_inputs({1, 2, 2, 256, 256, 64, 64}, bf16),
                            large = attention_inputs({4, 8, 8, 1024, 1024, 64, 64}, bf16);
  const Function causal = attend({.causal = true});
  CHECK_FALSE(same_bits(library, own_kernels, causal, small));
  CHECK(same_bits(automatic, own_kernels, causal, small));
  CHECK(same_bits(automatic, library, causal, large));
  CHECK(same_bits(automatic, own_kernels, causal, attention_inputs({1, 32, 8, 1000, 1000, 64, 64}, bf16)));  // a prompt
  for (const AttentionOptions& options :
       {AttentionOptions{.mask = noise({256}, f32, 9)}, AttentionOptions{.causal = true, .mask = noise({256, 256}, f32, 9)}})
    CHECK(same_bits(library, own_kernels, attend(options), small));
  CHECK(same_bits(library, own_kernels, causal,
                  attention_inputs({1, 2, 2, 150, 70, 64, 64}, bf16)));  // causal, and the first queries see nothing
  CHECK(
      same_bits(library, own_kernels, causal, attention_inputs({1, 2, 2, 100, 100, 60, 60}, bf16)));  // rows that do not begin at 16 bytes
  CHECK(same_bits(library, own_kernels, causal, attention_inputs({1, 2, 2, 3, 100, 64, 64}, bf16)));
  CHECK(same_bits(library, own_kernels, causal, attention_inputs({1, 2, 2, 100, 100, 64, 64}, f32)));
  const Function dropping = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    manual_seed(11);
    return {scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true, .dropout = 0.3})};
  };
  CHECK(same_bits(library, own_kernels, dropping, small));
}

TEST_CASE("cudnn attention: gradients of so many scores that they come in pieces") {
  if (!with_library()) return;
  for (const AttentionSizes& s :
       {AttentionSizes{3, 4, 4, 8192, 8192, 32, 32}, AttentionSizes{1, 16, 8, 8192, 8192, 32, 32}}) {  // pieces of images, and of heads
    const std::vector<Tensor> x = attention_inputs(s, bf16);
    std::vector<Tensor> library = computed(AttentionChoice::library, attend({.causal = true}), x),
                        own = computed(AttentionChoice::own_kernels, attend({.causal = true}), x);
    for (size_t i = 0; i < library.size(); ++i) CHECK(distance(library[i], own[i]) <= 3 * epsilon(bf16));
  }
}

TEST_CASE("cudnn attention: nothing to do") {
  const Choosing library(AttentionChoice::library);
  for (const AttentionSizes& s :
       {AttentionSizes{0, 2, 1, 30, 40, 8, 8}, AttentionSizes{1, 2, 1, 0, 40, 8, 8}, AttentionSizes{1, 2, 1, 30, 0, 8, 8}}) {
    const std::vector<Tensor> y = results_and_gradients(attend({}), attention_inputs(s, bf16), kGpu, bf16),
                              expected = results_and_gradients(attend({}), attention_inputs(s, bf16), cpu, bf16);
    for (size_t i = 0; i < y.size(); ++i) CHECK(same(to_cpu(y[i]), expected[i]));
  }
}
