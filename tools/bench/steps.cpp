// Timing whole training steps.
#include "tools/bench/steps.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "engine/core/generator.h"
#include "models/moe/gpt.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/resnet/resnet.h"
#include "models/transformer/gpt.h"
#include "models/unet/unet.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::tools {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Three steps to warm up, then the median of `steps`; what it says of memory is the process's.
template <typename Step>
void time(StepTiming& t, int64_t before, int64_t steps, int64_t items, Step&& step) {
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (int64_t i = 0; i < steps; ++i) {
    auto start = Clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  t.step_s = median(times);
  t.items_per_s = static_cast<double>(items) / t.step_s;
  t.peak_mib = peak_mib();
  t.over_start_mib = t.peak_mib - before;
}

// A language model, batch 8, context 256, random characters; `loss` of the model and the tokens.
template <typename Model, typename Config, typename Loss>
StepTiming time_language_model(const char* work, int64_t steps, const Config& config, Loss&& loss) {
  constexpr int64_t kBatch = 8, kContext = 256;
  StepTiming t{.work = work};
  int64_t before = peak_mib();
  manual_seed(0);
  Model model(config);
  optim::AdamW adamw(model.parameters(), {.lr = 1e-3});
  Tensor tokens = empty({kBatch, kContext}, i64);
  for (int64_t i = 0; i < tokens.numel(); ++i) tokens.data<int64_t>()[i] = static_cast<int64_t>(default_generator().next_below(65));
  auto step = [&] {
    Tensor l = loss(model, tokens);
    adamw.zero_grad();
    l.backward();
    adamw.step();
  };
  t.params = model.num_parameters();
  time(t, before, steps, kBatch * kContext, step);
  return t;
}

const transformer::GptConfig kGptSmall{.vocab = 65, .layers = 6, .heads = 6, .width = 384, .context = 256, .bias = true, .tied = false};

Tensor copying_loss(const Tensor& logits, const Tensor& tokens) { return cross_entropy(flatten(logits, 0, 1), flatten(tokens, 0, 1)); }

// 10.8 M parameters: 6 layers of width 384 with biases, an output projection of its own.
StepTiming time_gpt(int64_t steps) {
  return time_language_model<transformer::Gpt>("gpt-small", steps, kGptSmall, [](const transformer::Gpt& model, const Tensor& tokens) { return copying_loss(model(tokens), tokens); });
}

// The same with 8 experts of half the inner width in every block, 2 for each token: 32 M parameters, of which a token meets 10.8 M.
StepTiming time_moe(int64_t steps) {
  return time_language_model<moe::MoeGpt>("moe-small", steps, moe::MoeGptConfig{.gpt = kGptSmall}, [](const moe::MoeGpt& model, const Tensor& tokens) {
    moe::MoeGpt::Output out = model.forward(tokens);
    return copying_loss(out.logits, tokens) + moe::router_loss(out.routings, {.balance = 0.01});
  });
}

// A model of images; `loss` of the model.
template <typename Model, typename Config, typename Loss>
StepTiming time_image_model(const char* work, int64_t steps, int64_t batch, const Config& config, Loss&& loss) {
  StepTiming t{.work = work, .items = "images"};
  int64_t before = peak_mib();
  manual_seed(0);
  Model model(config);
  optim::AdamW adamw(model.parameters(), {.lr = 1e-3});
  t.params = model.num_parameters();
  time(t, before, steps, batch, [&] {
    Tensor value = loss(model);
    adamw.zero_grad();
    value.backward();
    adamw.step();
  });
  return t;
}

// 11.7 M parameters: a DDPM-style network of widths 64, 128 and 256 on 32×32 colour images, attention in the middle only; batch 16.
StepTiming time_unet(int64_t steps) {
  constexpr int64_t kBatch = 16;
  unet::UnetConfig config{.width = 64, .multipliers = {1, 2, 4}, .blocks = 2, .attention_levels = {}, .heads = 1, .groups = 8, .embedding = 256, .scale_shift = false, .skips = unet::Skips::every_level};
  Tensor images = randn({kBatch, 3, 32, 32}), noise = randn({kBatch, 3, 32, 32}), times = rand({kBatch}) * 1000;
  return time_image_model<unet::Unet>("unet-small", steps, kBatch, config, [&](const unet::Unet& model) { return mse_loss(model(images + noise, times), noise); });
}

// 11.2 M parameters: ResNet-18 with the stem for small images, on 32×32 colour images; batch 64.
StepTiming time_resnet(int64_t steps) {
  constexpr int64_t kBatch = 64;
  resnet::ResNetConfig config{.small_images = true, .blocks = {2, 2, 2, 2}, .width = 64, .classes = 10};
  Tensor images = randn({kBatch, 3, 32, 32}), labels = randint(0, 10, {kBatch});
  return time_image_model<resnet::ResNet>("resnet18-small", steps, kBatch, config, [&](const resnet::ResNet& model) { return cross_entropy(model(images), labels); });
}

// 200 element-wise operations on 4×4 tensors, forward and backward: what an operation costs beyond its arithmetic.
StepTiming time_tiny(int64_t) {
  Generator generator(0);
  Tensor w = empty({4, 4}), b = empty({4, 4});
  for (int64_t i = 0; i < 16; ++i) {
    w.data<float>()[i] = static_cast<float>(generator.next_double());
    b.data<float>()[i] = 1 + 1e-3f * static_cast<float>(generator.next_double());
  }
  w.requires_grad_();
  auto step = [&] {
    w.zero_grad();
    Tensor y = w;
    for (int i = 0; i < 100; ++i) y = y * b + b;
    sum(y).backward();
  };
  for (int i = 0; i < 20; ++i) step();
  std::vector<double> times(100);
  for (double& time : times) {
    auto start = Clock::now();
    step();
    time = seconds_since(start) / 200;
  }
  std::ranges::nth_element(times, times.begin() + 50);
  return {.work = "tiny", .ns_per_op = times[50] * 1e9};
}

struct Workload {
  const char* name;
  StepTiming (*run)(int64_t steps);
};
constexpr Workload kWorkloads[] = {{"gpt", time_gpt}, {"moe", time_moe}, {"unet", time_unet}, {"resnet", time_resnet}, {"tiny", time_tiny}};

}  // namespace

std::vector<std::string> step_workloads() {
  std::vector<std::string> names;
  for (const Workload& w : kWorkloads) names.push_back(w.name);
  return names;
}

StepTiming time_steps(const std::string& work, int64_t steps) {
  for (const Workload& w : kWorkloads)
    if (work == w.name) return w.run(steps);
  std::string known;
  for (const Workload& w : kWorkloads) known += (known.empty() ? "" : ", ") + std::string(w.name);
  throw ConfigError("--only " + work + " is unknown; choose from " + known);
}

}  // namespace plumb::tools
