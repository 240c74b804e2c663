// Timing whole training steps.
#include "tools/bench/steps.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "engine/autograd/autocast.h"
#include "engine/core/allocator.h"
#include "engine/core/capture.h"
#include "engine/core/device_runtime.h"
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

int64_t peak_mib(Device device) {
  if (device.type != DeviceType::cpu) return memory_stats(device).peak >> 20;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Three steps to warm up, then the median. A step ends when the device has done all of it.
void time(StepTiming& t, int64_t before, const StepSettings& o, int64_t items, std::function<Tensor()> run) {
  CapturedStep captured(std::move(run), o.capture ? o.device : cpu);
  auto step = [&] {
    captured();
    synchronize(o.device);
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (int64_t i = 0; i < o.steps; ++i) {
    auto start = Clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  t.step_s = median(times);
  t.items_per_s = static_cast<double>(items) / t.step_s;
  t.peak_mib = peak_mib(o.device);
  t.over_start_mib = t.peak_mib - before;
}

const char* size_name(const StepSettings& o) { return o.large ? "gpt2" : "small"; }

// `loss` of the model; everything that it reads is on the device.
template <typename Model, typename Config, typename Loss>
StepTiming time_model(const std::string& work, const char* items, const StepSettings& o, int64_t count, const Config& config, Loss&& loss) {
  StepTiming t{.work = work + "-" + size_name(o), .items = items};
  int64_t before = o.device.type == DeviceType::cpu ? peak_mib(o.device) : 0;
  manual_seed(0);
  Model model(config);
  model.to(o.device);
  optim::AdamW adamw(model.parameters(), {.lr = 1e-3});
  t.params = model.num_parameters();
  time(t, before, o, count, [&] {
    Tensor value;
    {
      Autocast cast(o.dtype);
      value = loss(model);
    }
    adamw.zero_grad();
    value.backward();
    adamw.step();
    return value;
  });
  return t;
}

// A language model on random tokens.
template <typename Model, typename Config, typename Loss>
StepTiming time_language_model(const char* work, const StepSettings& o, const Config& config, int64_t vocab, int64_t context, Loss&& loss) {
  int64_t batch = o.large ? 16 : 8;
  Generator generator(0);
  Tensor tokens = randint(0, vocab, {batch, context}, {.dtype = i64, .device = o.device, .generator = &generator});
  return time_model<Model>(work, "tokens", o, batch * context, config, [&](const Model& model) { return loss(model, tokens); });
}

constexpr int64_t kSmallVocab = 65, kGpt2Vocab = 50304;
transformer::GptConfig gpt_config(const StepSettings& o) {
  if (o.large) return {.vocab = kGpt2Vocab, .layers = 12, .heads = 12, .width = 768, .context = 1024, .bias = true, .tied = true};
  return {.vocab = kSmallVocab, .layers = 6, .heads = 6, .width = 384, .context = 256, .bias = true, .tied = false};
}

Tensor copying_loss(const Tensor& logits, const Tensor& tokens) { return cross_entropy(flatten(logits, 0, 1), flatten(tokens, 0, 1)); }

// 10.8 M parameters: 6 layers of width 384 with biases, an output projection of its own; context 256, batch 8. Large: GPT-2 small, context
// 1024, batch 16.
StepTiming time_gpt(const StepSettings& o) {
  transformer::GptConfig c = gpt_config(o);
  return time_language_model<transformer::Gpt>("gpt", o, c, c.vocab, c.context, [](const transformer::Gpt& model, const Tensor& tokens) { return copying_loss(model(tokens), tokens); });
}

// The same with 8 experts of half the inner width in every block, 2 for each token: 32 M parameters, of which a token meets 10.8 M.
StepTiming time_moe(const StepSettings& o) {
  transformer::GptConfig c = gpt_config(o);
  return time_language_model<moe::MoeGpt>("moe", o, moe::MoeGptConfig{.gpt = c}, c.vocab, c.context, [](const moe::MoeGpt& model, const Tensor& tokens) {
    moe::MoeGpt::Output out = model.forward(tokens);
    return copying_loss(out.logits, tokens) + moe::router_loss(out.routings, {.balance = 0.01});
  });
}

// 11.7 M parameters: a DDPM-style network of widths 64, 128 and 256 on 32×32 colour images, attention in the middle only; batch 16 or 256.
StepTiming time_unet(const StepSettings& o) {
  int64_t batch = o.large ? 256 : 16;
  unet::UnetConfig config{.width = 64, .multipliers = {1, 2, 4}, .blocks = 2, .attention_levels = {}, .heads = 1, .groups = 8, .embedding = 256, .scale_shift = false, .skips = unet::Skips::every_level};
  RandomOptions there{.device = o.device};
  Tensor images = randn({batch, 3, 32, 32}, there), noise = randn({batch, 3, 32, 32}, there), times = rand({batch}, there) * 1000;
  return time_model<unet::Unet>("unet", "images", o, batch, config, [&](const unet::Unet& model) { return mse_loss(to(model(images + noise, times), f32), noise); });
}

// 11.2 M parameters: ResNet-18 with the stem for small images, on 32×32 colour images; batch 64 or 512.
StepTiming time_resnet(const StepSettings& o) {
  int64_t batch = o.large ? 512 : 64;
  resnet::ResNetConfig config{.small_images = true, .blocks = {2, 2, 2, 2}, .width = 64, .classes = 10};
  Tensor images = randn({batch, 3, 32, 32}, {.device = o.device}), labels = randint(0, 10, {batch}, {.dtype = i64, .device = o.device});
  return time_model<resnet::ResNet>("resnet18", "images", o, batch, config, [&](const resnet::ResNet& model) { return cross_entropy(model(images), labels); });
}

// 200 element-wise operations on 4×4 tensors, forward and backward: what an operation costs beyond its arithmetic.
StepTiming time_tiny(const StepSettings& o) {
  Generator generator(0);
  RandomOptions there{.device = o.device, .generator = &generator};
  Tensor w = rand({4, 4}, there), b = 1 + 1e-3 * rand({4, 4}, there);
  w.requires_grad_();
  auto step = [&] {
    w.zero_grad();
    Tensor y = w;
    for (int i = 0; i < 100; ++i) y = y * b + b;
    sum(y).backward();
  };
  for (int i = 0; i < 20; ++i) step();
  synchronize(o.device);
  std::vector<double> times(100);
  for (double& time : times) {
    auto start = Clock::now();
    step();
    synchronize(o.device);
    time = seconds_since(start) / 200;
  }
  std::ranges::nth_element(times, times.begin() + 50);
  return {.work = "tiny", .ns_per_op = times[50] * 1e9};
}

struct Workload {
  const char* name;
  StepTiming (*run)(const StepSettings& settings);
};
constexpr Workload kWorkloads[] = {{"gpt", time_gpt}, {"moe", time_moe}, {"unet", time_unet}, {"resnet", time_resnet}, {"tiny", time_tiny}};

}  // namespace

std::vector<std::string> step_workloads() {
  std::vector<std::string> names;
  for (const Workload& w : kWorkloads) names.push_back(w.name);
  return names;
}

StepTiming time_steps(const std::string& work, const StepSettings& settings) {
  for (const Workload& w : kWorkloads)
    if (work == w.name) return w.run(settings);
  std::string known;
  for (const Workload& w : kWorkloads) known += (known.empty() ? "" : ", ") + std::string(w.name);
  throw ConfigError("--only " + work + " is unknown; choose from " + known);
}

}  // namespace plumb::tools
