// The models, their sizes and their losses.
#include "tools/step_model.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "models/mlp/mlp.h"
#include "models/moe/gpt.h"
#include "models/resnet/resnet.h"
#include "models/transformer/gpt.h"
#include "models/transformer/vision.h"
#include "models/unet/unet.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/bench/scale.h"

namespace plumb::tools {
namespace {

constexpr int64_t kClasses = 10;

int64_t sized(StepSize size, int64_t tiny, int64_t small, int64_t gpt2) {
  return size == StepSize::tiny ? tiny : size == StepSize::small ? small : gpt2;
}

// A model of `config`, drawn anew from seed 0, and `loss(model)`.
template <typename Model, typename Config, typename Loss>
StepModel made(const Config& config, const char* items, int64_t count, Device device, Loss loss) {
  manual_seed(0);
  auto model = std::make_shared<Model>(config);
  model->to(device);
  return {.items = items, .item_count = count, .module = model, .loss = [model, loss = std::move(loss)] { return loss(*model); }};
}

transformer::GptConfig gpt_config(StepSize size) {
  if (size == StepSize::gpt2) return {.vocab = 50304, .layers = 12, .heads = 12, .width = 768, .context = 1024, .bias = true, .tied = true};
  if (size == StepSize::tiny) return {.vocab = 65, .layers = 2, .heads = 2, .width = 32, .context = 16, .bias = true, .tied = false};
  return {.vocab = 65, .layers = 6, .heads = 6, .width = 384, .context = 256, .bias = true, .tied = false};
}

Tensor random_tokens(const transformer::GptConfig& c, int64_t batch, Device device) {
  Generator generator(0);
  return randint(0, c.vocab, {batch, c.context}, {.dtype = i64, .device = device, .generator = &generator});
}

Tensor copying_loss(const Tensor& logits, const Tensor& tokens) { return cross_entropy(flatten(logits, 0, 1), flatten(tokens, 0, 1)); }

// Small: 10.8 M parameters, 6 layers of width 384 with biases, an output projection of its own; context 256, batch 8. gpt2: GPT-2 small,
// context 1024, batch 16.
StepModel gpt(StepSize size, Device device) {
  transformer::GptConfig c = gpt_config(size);
  int64_t batch = sized(size, 2, 8, 16);
  Tensor tokens = random_tokens(c, batch, device);
  StepModel made_model = made<transformer::Gpt>(c, "tokens", tokens.numel(), device,
                                                [tokens](const transformer::Gpt& model) { return copying_loss(model(tokens), tokens); });
  made_model.flops = step_flops(c, static_cast<double>(tokens.numel()));
  return made_model;
}

// 8 experts in every block, 2 for each token, each as wide inside as a dense network; the balancing loss is left out. Small: 18.0 M
// parameters, of which a token meets 5.4 M, 4 layers of width 256; context 256, batch 8. gpt2: GPT-2 small with experts.
StepModel moe_gpt(StepSize size, Device device) {
  moe::MoeGptConfig c{.gpt = gpt_config(size)};
  if (size == StepSize::small) c.gpt.layers = c.gpt.heads = 4, c.gpt.width = 256;
  c.moe.inner = c.dense_inner();
  Tensor tokens = random_tokens(c.gpt, sized(size, 2, 8, 16), device);
  return made<moe::MoeGpt>(c, "tokens", tokens.numel(), device,
                           [tokens](const moe::MoeGpt& model) { return copying_loss(model(tokens), tokens); });
}

// Small: 11.7 M parameters, a DDPM-style network of widths 64, 128 and 256 on 32×32 colour images, attention in the middle only; batch 16
// (256 at size gpt2).
StepModel diffusion_unet(StepSize size, Device device) {
  int64_t batch = sized(size, 2, 16, 256), side = sized(size, 8, 32, 32);
  unet::UnetConfig config{.width = 64,
                          .multipliers = {1, 2, 4},
                          .blocks = 2,
                          .attention_levels = {},
                          .heads = 1,
                          .groups = 8,
                          .embedding = 256,
                          .scale_shift = false,
                          .skips = unet::Skips::every_level};
  if (size == StepSize::tiny) {
    config.width = 16;
    config.multipliers = {1, 2};
    config.blocks = 1;
    config.embedding = 32;
  }
  RandomOptions there{.device = device};
  Tensor images = randn({batch, 3, side, side}, there), noise = randn({batch, 3, side, side}, there), times = rand({batch}, there) * 1000;
  return made<unet::Unet>(config, "images", batch, device,
                          [=](const unet::Unet& model) { return mse_loss(to(model(images + noise, times), f32), noise); });
}

// Classes of random 32×32 colour images (8×8 at size tiny), with a loss of `model(images)`.
template <typename Model, typename Config>
StepModel classifier(const Config& config, int64_t batch, int64_t side, Device device) {
  Tensor images = randn({batch, 3, side, side}, {.device = device}),
         labels = randint(0, kClasses, {batch}, {.dtype = i64, .device = device});
  return made<Model>(config, "images", batch, device, [=](const Model& model) { return cross_entropy(model(images), labels); });
}

// Small: 11.2 M parameters, ResNet-18 with the stem for small images; batch 64 (512 at size gpt2).
StepModel resnet18(StepSize size, Device device) {
  resnet::ResNetConfig config{.small_images = true, .blocks = {2, 2, 2, 2}, .width = 64, .classes = kClasses};
  if (size == StepSize::tiny) {
    config.blocks = {1, 1, 1, 1};
    config.width = 8;
  }
  return classifier<resnet::ResNet>(config, sized(size, 2, 64, 512), sized(size, 8, 32, 32), device);
}

// Small: two hidden layers of 1024; batch 128 (4096 at size gpt2).
StepModel perceptron(StepSize size, Device device) {
  int64_t side = sized(size, 8, 32, 32), hidden = sized(size, 32, 1024, 4096);
  return classifier<mlp::Mlp>(
      mlp::MlpConfig{.inputs = 3 * side * side, .hidden = {hidden, hidden}, .outputs = kClasses, .activation = "gelu"},
      sized(size, 4, 128, 4096), side, device);
}

// Small: 6 layers of width 256 on patches of 4×4; batch 32 (512 at size gpt2).
StepModel vision(StepSize size, Device device) {
  int64_t side = sized(size, 8, 32, 32), width = sized(size, 32, 256, 384);
  transformer::VisionConfig config{.image_height = side,
                                   .image_width = side,
                                   .layers = sized(size, 2, 6, 12),
                                   .heads = sized(size, 2, 4, 6),
                                   .width = width,
                                   .inner = 4 * width};
  return classifier<transformer::VisionTransformer>(config, sized(size, 2, 32, 512), side, device);
}

struct Entry {
  const char* name;
  const char* full_name;
  StepModel (*make)(StepSize size, Device device);
};
constexpr Entry kModels[] = {
    {"gpt", "gpt", gpt},        {"moe", "moe", moe_gpt}, {"unet", "unet", diffusion_unet}, {"resnet", "resnet18", resnet18},
    {"mlp", "mlp", perceptron}, {"vit", "vit", vision}};

const char* name_of(StepSize size) { return size == StepSize::tiny ? "tiny" : size == StepSize::small ? "small" : "gpt2"; }

}  // namespace

StepSize step_size_from_name(const std::string& name) {
  for (StepSize size : {StepSize::tiny, StepSize::small, StepSize::gpt2})
    if (name == name_of(size)) return size;
  throw ConfigError("--size " + name + " is unknown; choose tiny, small or gpt2");
}

std::vector<std::string> step_model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.push_back(entry.name);
  return names;
}

StepModel make_step_model(const std::string& name, StepSize size, Device device) {
  for (const Entry& entry : kModels) {
    if (name != entry.name) continue;
    manual_seed(0);
    StepModel model = entry.make(size, device);
    // A tiny ResNet is not ResNet-18.
    model.name = fmt::format("{}-{}", size == StepSize::tiny ? entry.name : entry.full_name, name_of(size));
    return model;
  }
  throw ConfigError(fmt::format("there is no model {}; choose from {}", name, fmt::join(step_model_names(), ", ")));
}

}  // namespace plumb::tools
