// Settings, measures and pictures of autoencoders.
#include "tools/autoencoder_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "models/nn/placement.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/labelled_images.h"
#include "tools/train/run_config.h"

namespace plumb::tools {
namespace {

constexpr int64_t kBatch = 250;
constexpr int64_t kColumns = 8;  // of pictures

}  // namespace

static constexpr auto fields = [](auto& r, auto&& f) {
  f("model", r.model), f("network", r.network), f("beta", r.beta), f("free_bits", r.free_bits), f("quantizer", r.quantizer),
      f("data", r.data), f("data_sha256", r.data_sha256);
  f("validation", r.validation), f("image", r.image);
};

AutoencoderRun::AutoencoderRun() {
  network.width = 16;
  network.multipliers = {1, 2, 2};
  network.latent = 16;
  network.vector = true;
  training.batch = 64;
  training.steps = 2000;
  training.warmup = 100;
  training.lr = 1e-3;
  training.min_lr = 1e-5;
  training.weight_decay = 0;
  training.beta2 = 0.999;
  training.clip = 0;
  training.eval_every = 500;
}

std::string AutoencoderRun::to_json() const { return run_json("vae", *this, fields).text(); }

AutoencoderRun AutoencoderRun::from_json(const std::string& text) {
  AutoencoderRun run;
  read_run("vae", text, run, fields);
  return run;
}

void AutoencoderRun::check() const {
  training.check();
  require(model == "ae" || model == "vae" || model == "vqvae", "--model " + model + " is unknown; choose ae, vae or vqvae");
  network.check();
  if (model == "vae") autoencoder::VaeConfig{network, beta, free_bits}.check();
  if (model == "vqvae") autoencoder::VqVaeConfig{network, quantizer}.check();
  require(validation > 0 && validation < 1, fmt::format("--validation must lie in (0, 1), it is {}", validation));
  require(!training.recompute, "--recompute: autoencoders have no blocks to compute again; choose a smaller batch or --accumulate");
  if (image.size() == 3)
    require(image[1] == image[2], fmt::format("autoencoders take square images, those of {} are {}×{}", data[0], image[1], image[2]));
}

std::unique_ptr<autoencoder::Autoencoder> make_autoencoder(const AutoencoderRun& run) {
  std::unique_ptr<autoencoder::Autoencoder> model;
  if (run.model == "ae") model = std::make_unique<autoencoder::Autoencoder>(run.network);
  else if (run.model == "vae") model = std::make_unique<autoencoder::Vae>(autoencoder::VaeConfig{run.network, run.beta, run.free_bits});
  else model = std::make_unique<autoencoder::VqVae>(autoencoder::VqVaeConfig{run.network, run.quantizer});
  run.training.prepare(*model);
  return model;
}

train::Measures measure(const autoencoder::Autoencoder& model, const AutoencoderRun& run, const data::Dataset& images) {
  NoGrad off;
  Autocast cast(run.training.autocast_type());
  Generator random(0);
  double loss = 0, reconstruction = 0, regulariser = 0, count = static_cast<double>(images.size());
  std::vector<Tensor> codes;
  for (const auto& batch : images.batch(kBatch)) {
    Tensor x = nn::input_for(model, batch.image);
    autoencoder::AutoencoderLoss l = model.loss(x, random);
    double share = static_cast<double>(batch.size()) / count;
    loss += share * l.loss.item(), reconstruction += share * l.reconstruction.item(), regulariser += share * l.regulariser.item();
    if (const auto* quantised = dynamic_cast<const autoencoder::VqVae*>(&model)) codes.push_back(flatten(quantised->codes(x)));
  }
  train::Measures measures{{"loss", loss}, {"reconstruction", reconstruction}};
  if (run.model == "vae") measures.insert(measures.end(), {{"kl", regulariser}, {"elbo", -reconstruction - regulariser}});
  if (run.model == "vqvae")
    measures.insert(measures.end(),
                    {{"quantisation", regulariser}, {"perplexity", autoencoder::perplexity(cat(codes), run.quantizer.codes)}});
  return measures;
}

TrainedAutoencoder load_autoencoder(const train::RunDirectory& directory) {
  TrainedAutoencoder trained{AutoencoderRun::from_json(directory.config()), nullptr, {}};
  trained.model = make_autoencoder(trained.run);
  trained.model->load_state(directory.load_model());
  trained.model->eval();
  std::string path = directory.file(kLatentSpaceFile);
  if (path_exists(path)) trained.latent_space.emplace(*trained.model, load_safetensors(path));
  else trained.latent_space.emplace(autoencoder::LatentSpace::measured(*trained.model, load_images(trained.run.data).train));
  return trained;
}

// The images that `decode` makes of latents z, a batch at a time.
static Tensor decoded(const Tensor& z, const ProgressFunction& progress, const std::function<Tensor(const Tensor&)>& decode) {
  std::vector<Tensor> images;
  for (int64_t i = 0, count = z.size(0); i < count; i += kBatch) {
    int64_t size = std::min(kBatch, count - i);
    images.push_back(to(decode(narrow(z, 0, i, size)), cpu));
    if (progress) progress(i + size, count);
  }
  return clamp(to(cat(images), f32), 0, 1);
}

Tensor sample_prior(const autoencoder::Autoencoder& model, const AutoencoderRun& run, int64_t count, Generator& random,
                    const ProgressFunction& progress) {
  NoGrad off;
  Autocast cast(run.training.autocast_type());
  Shape shape{count};
  for (int64_t size : model.config().latent_shape()) shape.push_back(size);
  Tensor z = randn(shape, {.generator = &random});
  return decoded(z, progress, [&](const Tensor& some) { return model.decode(nn::input_for(model, some)); });
}

Tensor sample(const TrainedAutoencoder& trained, int64_t count, Generator& random, const ProgressFunction& progress) {
  if (trained.run.model == "vae") return sample_prior(*trained.model, trained.run, count, random, progress);
  Autocast cast(trained.run.training.autocast_type());
  Tensor z = trained.latent_space->sample(count, random);
  return decoded(z, progress, [&](const Tensor& some) { return trained.latent_space->decode(some); });
}

Tensor with_reconstructions(const autoencoder::Autoencoder& model, const AutoencoderRun& run, const Tensor& images) {
  NoGrad off;
  Autocast cast(run.training.autocast_type());
  Tensor again = clamp(to(to(model.reconstruct(nn::input_for(model, images)), f32), cpu), 0, 1);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i + kColumns <= images.size(0); i += kColumns)
    for (const Tensor& row : {images, again}) rows.push_back(narrow(row, 0, i, kColumns));
  return cat(rows);
}

}  // namespace plumb::tools
