// Short runs of every kind of model give the same bits: with any number of threads, with and without recompute, in every build on the same
// instruction set. A run is summed up in one hash of its losses and of all that the model consists of afterwards.
#include <cblas.h>
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "engine/autograd/autocast.h"
#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "engine/io/sha256.h"
#include "models/autoencoder/vae.h"
#include "models/autoencoder/vqvae.h"
#include "models/contrastive/dual_encoder.h"
#include "models/detection/detector.h"
#include "models/diffusion/consistency_training.h"
#include "models/gan/dcgan.h"
#include "models/gan/style.h"
#include "models/gan/training.h"
#include "models/mlp/mlp.h"
#include "models/moe/gpt.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/recurrent/encoder.h"
#include "models/resnet/resnet.h"
#include "models/resnet/wide_resnet.h"
#include "models/temporal/dilated_encoder.h"
#include "models/temporal/tcn.h"
#include "models/temporal/text_cnn.h"
#include "models/transformer/encoder.h"
#include "models/transformer/gpt.h"
#include "models/transformer/llama.h"
#include "models/transformer/tabular.h"
#include "models/transformer/translator.h"
#include "models/transformer/vision.h"
#include "models/unet/segmentation.h"
#include "models/unet/unet.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

constexpr int64_t kSteps = 3;
int64_t times = 1;  // of every batch; those of the stored hashes are so small that much of the work is not shared out
constexpr int64_t kSharedOut = 16;

struct Run {
  std::vector<double> losses;
  StateDict state;
};

std::string hash(const Run& run) {
  std::string bytes(reinterpret_cast<const char*>(run.losses.data()), run.losses.size() * sizeof(double));
  for (const auto& [name, x] : run.state) {
    Tensor rows = contiguous_data(x);
    bytes += name;
    bytes.append(static_cast<const char*>(rows.raw_data()), static_cast<size_t>(rows.numel()) * item_size(rows.dtype()));
  }
  return sha256(bytes).substr(0, 16);
}

/// AdamW on what `loss` makes of the model; everything is drawn from one seed.
Run trained(nn::Module& model, const std::function<Tensor()>& loss) {
  optim::AdamW adamw(model.parameters(), {.lr = 1e-3});
  Run run;
  for (int64_t step = 0; step < kSteps; ++step) {
    Tensor l = loss();
    adamw.zero_grad();
    l.backward();
    adamw.step();
    run.losses.push_back(l.item());
  }
  run.state = model.state();
  return run;
}

Tensor images(int64_t side, int64_t channels = 3) { return randn({6 * times, channels, side, side}); }
Tensor labels() { return randint(0, 10, {6 * times}); }

Run gpt(bool recompute, DType products = f32) {
  transformer::Gpt model({.vocab = 40, .layers = 2, .heads = 2, .width = 32, .context = 24, .dropout = 0.1});
  model.recompute = recompute;
  return trained(model, [&] {
    Autocast cast(products);
    Tensor tokens = randint(0, 40, {5 * times, 24});
    return cross_entropy(flatten(model(tokens), 0, 1), flatten(tokens, 0, 1));
  });
}

Run moe_gpt(bool recompute) {
  moe::MoeGpt model(
      {.gpt = {.vocab = 40, .layers = 2, .heads = 2, .width = 32, .context = 24, .dropout = 0.1}, .moe = {.experts = 4, .top_k = 2}});
  model.recompute = recompute;
  return trained(model, [&] {
    Tensor tokens = randint(0, 40, {5 * times, 24});
    moe::MoeGpt::Output out = model.forward(tokens);
    Tensor loss = cross_entropy(flatten(out.logits, 0, 1), flatten(tokens, 0, 1));
    for (const moe::Routing& routing : out.routings) loss = loss + moe::load_balance_loss(routing) * 0.01;
    return loss;
  });
}

Run bert(bool) {
  transformer::Encoder model({.vocab = 40, .layers = 2, .heads = 2, .width = 32, .inner = 64, .context = 24});
  return trained(model, [&] { return mean(square(model(randint(1, 40, {5 * times, 24})))); });
}

Run vision_transformer(bool recompute) {
  transformer::VisionTransformer model(
      {.image_height = 16, .image_width = 16, .layers = 2, .heads = 2, .width = 32, .inner = 64, .dropout = 0.1});
  model.recompute = recompute;
  return trained(model, [&] { return cross_entropy(model(images(16)), labels()); });
}

Run resnet(bool recompute, int64_t width = 8, DType products = f32) {
  resnet::ResNet model({.width = width});
  model.recompute = recompute;
  return trained(model, [&] {
    Autocast cast(products);
    return cross_entropy(model(images(16)), labels());
  });
}

Run mlp(bool) {
  mlp::Mlp model({.inputs = 48, .hidden = {64, 64}, .norm = true, .dropout = 0.2});
  return trained(model, [&] { return cross_entropy(model(randn({33 * times, 48})), randint(0, 10, {33 * times})); });
}

Run unet(bool) {
  unet::Unet model(
      {.width = 16, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {1}, .groups = 8, .dropout = 0.1, .zero_init = false});
  return trained(model, [&] { return mean(square(model(images(8), rand({6 * times})) - images(8))); });
}

autoencoder::AutoencoderConfig small_autoencoder() {
  return {.channels = 1, .side = 8, .width = 8, .multipliers = {1, 2}, .groups = 4, .latent = 3};
}

Run vae(bool) {
  autoencoder::Vae model({.network = small_autoencoder()});
  return trained(model, [&] { return model.loss(rand({6 * times, 1, 8, 8}), default_generator()).loss; });
}

Run vqvae(bool) {
  autoencoder::VqVae model({.network = small_autoencoder()});
  return trained(model, [&] { return model.loss(rand({6 * times, 1, 8, 8}), default_generator()).loss; });
}

Run adversarial(gan::Gan& pair) {
  optim::Adam generator(pair.generator().parameters(), {.lr = 1e-3}), discriminator(pair.discriminator().parameters(), {.lr = 1e-3});
  gan::GanTraining training(pair, generator, discriminator, {.r1 = 1, .r1_every = 2}, [](int64_t, int64_t) {
    return randn({6 * times, 1, 8, 8});
  });
  Run run;
  for (int64_t step = 1; step <= kSteps; ++step)
    for (const auto& [name, value] : training.step(step)) run.losses.push_back(value);
  run.state = pair.state();
  return run;
}

Run dcgan(bool) {
  gan::Dcgan pair({.side = 8, .width = 8, .latent = 6});
  return adversarial(pair);
}

Run style_gan(bool) {
  gan::StyleGan pair({.side = 8, .width = 8, .widest = 16, .latent = 6, .style = 8, .mapping_layers = 2, .deviation_group = 2});
  return adversarial(pair);
}

Run consistency(bool) {
  unet::Unet model({.in_channels = 1,
                    .out_channels = 1,
                    .width = 16,
                    .multipliers = {1, 2},
                    .blocks = 1,
                    .attention_levels = {},
                    .groups = 8,
                    .zero_init = false});
  diffusion::ConsistencyTraining<unet::Unet> training(model, {.pairs = {.steps = 40, .s0 = 4, .s1 = 8}});
  int64_t step = 0;
  return trained(model, [&] { return mean(training.losses(step++, rand({6 * times, 1, 8, 8}))); });
}

Run translator(bool) {
  transformer::Translator model({.source_vocab = 30,
                                 .target_vocab = 20,
                                 .encoder_layers = 2,
                                 .decoder_layers = 2,
                                 .heads = 2,
                                 .width = 32,
                                 .inner = 64,
                                 .context = 16});
  return trained(model, [&] {
    Tensor target = randint(3, 20, {5 * times, 12});
    return cross_entropy(flatten(model(randint(0, 30, {5 * times, 14}), target), 0, 1), flatten(target, 0, 1));
  });
}

Run llama(bool) {
  transformer::Llama model({.vocab = 40, .layers = 2, .heads = 4, .key_value_heads = 2, .width = 32, .inner = 48, .context = 24});
  return trained(model, [&] {
    Tensor tokens = randint(0, 40, {5 * times, 24});
    return cross_entropy(flatten(model(tokens), 0, 1), flatten(tokens, 0, 1));
  });
}

Run dual_encoder(bool) {
  contrastive::DualEncoder model(mlp::Mlp({.inputs = 48, .hidden = {32}, .outputs = 24}),
                                 temporal::TextCnn({.vocab = 40, .embedding = 16, .filters = 8, .classes = 20}),
                                 {.image_width = 24, .text_width = 20, .width = 16});
  return trained(model, [&] { return model.loss(randn({9 * times, 48}), randint(0, 40, {9 * times, 11})); });
}

Run wide_resnet(bool) {
  resnet::WideResNet model({.depth = 10, .widen = 1, .dropout = 0.1});
  return trained(model, [&] { return cross_entropy(model(images(16)), labels()); });
}

Run segmentation(bool) {
  unet::SegmentationUnet model({.classes = 3, .width = 8, .depth = 2});
  return trained(model, [&] { return cross_entropy(permute(model(images(18)), {0, 2, 3, 1}), randint(0, 3, {6 * times, 18, 18})); });
}

Run temporal_convolutions(bool) {
  temporal::Tcn model({.inputs = 3, .channels = {12, 12}, .kernel = 3});
  return trained(model, [&] { return cross_entropy(model(randn({6 * times, 3, 40})), labels()); });
}

Run dilated_encoder(bool) {
  temporal::DilatedEncoder model({.channels = 2, .depth = 3, .hidden = 12, .output = 20});
  return trained(model, [&] { return mean(square(model(randn({6 * times, 30, 2})))); });
}

Run tabular(bool) {
  transformer::TabularTransformer model(
      {.numeric = 5, .categories = {3, 4}, .outputs = 10, .layers = 2, .heads = 2, .width = 16, .inner = 20, .dropout = 0.1});
  return trained(model, [&] { return cross_entropy(model(randn({6 * times, 5}), randint(0, 3, {6 * times, 2})), labels()); });
}

Run recurrent(const std::string& cell) {
  recurrent::RecurrentEncoder model({.cell = cell, .inputs = 12, .hidden = 24, .layers = 2, .bidirectional = true, .dropout = 0.1});
  return trained(model, [&] { return mean(square(model(randn({7 * times, 11, 12})))); });
}

Run detector(bool recompute) {
  detection::Detector model({.width = 16, .proposals = 6, .stages = 2, .heads = 2, .inner = 32, .dynamic = 4, .start = "noise"});
  model.recompute(recompute);
  return trained(model, [&] {
    Tensor boxes = tensor({{{2.0, 2.0, 14.0, 14.0}}, {{8.0, 4.0, 30.0, 20.0}}});
    detection::Objects truth{cat(std::vector(static_cast<size_t>(times), boxes)), reshape(randint(0, 4, {2 * times}), {2 * times, 1})};
    return model.loss(randn({2 * times, 3, 32, 32}), truth).total;
  });
}

struct Kind {
  const char* name;
  std::function<Run(bool recompute)> run;
  bool recomputes;    ///< can run blocks again instead of keeping what they compute
  bool bf16 = false;  ///< its products are of bf16, for which some machines have instructions of their own
};
std::vector<Kind> kinds() {
  return {{"bert", bert, false},       {"consistency", consistency, false}, {"dcgan", dcgan, false},
          {"dilated_encoder", dilated_encoder, false}, {"dual_encoder", dual_encoder, false},
          {"detector", detector, true}, {"gpt", [](bool r) { return gpt(r); }, true},
          {"gpt_bf16", [](bool r) { return gpt(r, bf16); }, true, true},
          {"gru", [](bool) { return recurrent("gru"); }, false}, {"lstm", [](bool) { return recurrent("lstm"); }, false},
          {"llama", llama, false},      {"segmentation", segmentation, false}, {"style_gan", style_gan, false}, {"tabular", tabular, false},
          {"tcn", temporal_convolutions, false}, {"translator", translator, false},
          {"mlp", mlp, false},          {"moe", moe_gpt, true},
          {"resnet", [](bool r) { return resnet(r); }, true}, {"resnet_bf16", [](bool r) { return resnet(r, 16, bf16); }, true, true},
          {"unet", unet, false},
          {"vae", vae, false},          {"vision_transformer", vision_transformer, true},
          {"vqvae", vqvae, false},      {"wide_resnet", wide_resnet, false}};
}

std::string hash_of(const Kind& kind, int threads, bool recompute = false) {
  int before = num_threads();
  set_num_threads(threads);
  manual_seed(7);
  std::string found = hash(kind.run(recompute));
  set_num_threads(before);
  return found;
}

/// What results may depend on beside the code: the instructions that kernels are chosen by (`bf16`: those for its products), and the matrix
/// product's.
std::string machine_key(bool bf16 = false) {
  std::string instructions = bf16 && __builtin_cpu_supports("avx512bf16") ? "avx512bf16"
                             : __builtin_cpu_supports("avx512f")          ? "avx512"
                             : __builtin_cpu_supports("avx2")             ? "avx2"
                                                                          : "plain";
  return instructions + " " + openblas_get_corename();
}

}  // namespace

TEST_CASE("determinism: one, two and three threads give the same losses and weights") {
  for (const Kind& kind : kinds())
    for (int64_t larger : {int64_t{1}, kSharedOut}) {
      INFO(kind.name, ", batches ", larger, " times as large");
      times = larger;
      std::string one = hash_of(kind, 1);
      CHECK(hash_of(kind, 2) == one);
      CHECK(hash_of(kind, 3) == one);
      times = 1;
    }
}

TEST_CASE("determinism: running blocks again for their gradients gives the same losses and weights") {
  for (const Kind& kind : kinds()) {
    if (!kind.recomputes) continue;
    INFO(kind.name);
    CHECK(hash_of(kind, 2, true) == hash_of(kind, 2, false));
  }
}

TEST_CASE("determinism: another seed gives another hash, so the hash sees the run") {
  for (const Kind& kind : kinds()) {
    INFO(kind.name);
    std::string seven = hash_of(kind, 1);
    manual_seed(8);
    CHECK(hash(kind.run(false)) != seven);
  }
}

// determinism_hashes.txt: lines "instructions core model hash". PLUMB_DETERMINISM_HASHES names a file to write this machine's lines to: to
// add them there, and for tools/nightly.sh to compare builds.
TEST_CASE("determinism: the hashes are those stored for these instructions and this BLAS core") {
  std::map<std::string, std::string> stored;
  const char* source = std::getenv("PLUMB_SOURCE");
  std::ifstream lines(std::string(source ? source : ".") + "/tests/models/determinism_hashes.txt");
  for (std::string instructions, core, model, value; lines >> instructions >> core >> model >> value;)
    stored[instructions + " " + core + " " + model] = value;
  const char* asked = std::getenv("PLUMB_DETERMINISM_HASHES");
  if (!asked) REQUIRE_FALSE(stored.empty());
  std::ofstream out;
  if (asked) out.open(asked);
  std::string without;
  for (const Kind& kind : kinds()) {
    std::string key = machine_key(kind.bf16) + " " + kind.name;
    bool here = stored.contains(key);
    if (!here) without += std::string(" ") + kind.name;
    if (!here && !asked) continue;
    std::string found = hash_of(kind, 1);
    if (asked) out << key << " " << found << "\n";
    INFO(key);
    if (here) CHECK(found == stored[key]);
  }
  if (!without.empty() && !asked)
    MESSAGE("skipped: no hashes are stored on " << machine_key() << " for" << without << "; PLUMB_DETERMINISM_HASHES=FILE writes them");
}
