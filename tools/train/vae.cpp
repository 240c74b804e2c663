// `plumb train vae`: an autoencoder, plain, variational or vector-quantised, on images.
#include <fmt/format.h>

#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "engine/io/safetensors.h"
#include "models/nn/placement.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/autoencoder_model.h"
#include "tools/cli/heeded_options.h"
#include "tools/labelled_images.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

constexpr int64_t kValidationImages = 1000;
constexpr int64_t kBoundImages = 500, kBoundSamples = 16;  // of the importance bound, which decodes so many times

train::Measures prefixed(const std::string& prefix, train::Measures measures) {
  for (auto& [name, value] : measures) name = prefix + name;
  return measures;
}

// Images over their reconstructions; of a vae, half of the picture is drawn from the prior.
Tensor picture(const autoencoder::Autoencoder& model, const AutoencoderRun& run, const data::Dataset& images) {
  bool draws = run.model == "vae";
  Tensor pairs = with_reconstructions(model, run, images.batch(draws ? 16 : 32).next().image);
  if (!draws) return pairs;
  Generator random(run.training.seed);
  return cat({pairs, sample_prior(model, run, 32, random)});
}

int train_run(const train::RunDirectory& directory, const AutoencoderRun& run, const LabelledImages& images) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  auto model = make_autoencoder(run);
  std::vector<data::Dataset> parts = images.train.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
  fmt::print(stderr, "{}: {} parameters, images {}, latents {}, {} to train on, {} to validate\n", run.model, model->num_parameters(),
             to_string(images.shape), to_string(run.network.latent_shape()), parts[0].size(), parts[1].size());
  data::StepBatches batches(parts[0], {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  data::Dataset held_out = parts[1].take(kValidationImages);
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            return model->loss(nn::input_for(*model, batches(part.step, part.index, part.count).image), default_generator()).loss;
          },
      .validate = [&] { return prefixed("val_", measure(*model, run, held_out)); },
      .test =
          [&] {  // the weights are the final ones here
            save_safetensors(directory.file(kLatentSpaceFile), autoencoder::LatentSpace::measured(*model, parts[0]).state());
            return prefixed("test_", measure(*model, run, images.test));
          },
      .images = [&] { return picture(*model, run, held_out); },
      .images_title = run.model == "vae" ? "Validation images and their reconstructions; samples from the prior"
                                         : "Validation images and their reconstructions",
  };
  return settings.train_model(directory, *model, training, static_cast<double>(settings.batch), "images");
}

void refuse_unheeded_options(const CommandLine& line, const AutoencoderRun& run) {
  refuse_unheeded(
      line, {{{"--beta", "--free-bits"}, run.model == "vae", "only --model vae has a divergence, this is " + run.model},
             {{"--codes", "--commitment", "--codebook-decay", "--restart"},
              run.model == "vqvae",
              "only --model vqvae has a codebook, this is " + run.model},
             {{"--sigma"}, run.network.likelihood == autoencoder::Likelihood::gaussian, "only --likelihood gaussian has a deviation"}});
}

int start(AutoencoderRun& run, const CommandLine& line, const std::string& out) {
  run.network.channels = 1, run.network.side = int64_t{1} << (run.network.levels() - 1);  // any that fits, before the images are known
  if (run.model == "vqvae") run.network.vector = false;
  run.check();
  refuse_unheeded_options(line, run);
  LabelledImages images = load_images(run.data);
  run.data = lasting_names(run.data);
  run.data_sha256 = fingerprint(images);
  run.image.assign(images.shape.begin(), images.shape.end());
  run.network.channels = images.shape[0];
  run.network.side = images.shape[1];
  run.check();
  return train_run(train::RunDirectory::create(out, run.to_json()), run, images);
}

int resume(const train::RunDirectory& directory) {
  AutoencoderRun run = AutoencoderRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, load_same_images(run.data, run.data_sha256));
}

// `plumb eval RUN`: on the test part of the run's own images, or of others.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  TrainedAutoencoder trained = load_autoencoder(directory);
  LabelledImages images = images_to_measure(data, trained.run.data, trained.run.data_sha256, Shape(trained.run.image), false);
  JsonObject json;
  for (const auto& [name, value] : measure(*trained.model, trained.run, images.test)) json.set(name, value);
  if (const auto* vae = dynamic_cast<const autoencoder::Vae*>(trained.model.get())) {
    NoGrad off;
    Generator random(0);
    data::Dataset some = images.test.take(kBoundImages);
    double bound = 0;
    for (const auto& batch : some.batch(100))
      for (double b : to_vector(vae->importance_bound(nn::input_for(*vae, batch.image), kBoundSamples, random)))
        bound += b / static_cast<double>(some.size());
    json.set("importance_bound", bound);
    json.set("importance_samples", kBoundSamples);
    json.set("importance_images", some.size());
  }
  fmt::print("{}\n", json.text());
  return 0;
}

Action define(CommandLine& line) {
  struct Options {
    AutoencoderRun run;
    std::string likelihood = "bernoulli";
    bool map = false, no_attention = false;
  };
  auto o = std::make_shared<Options>();
  AutoencoderRun& r = o->run;
  line.option("--model", r.model, "ae, vae or vqvae");
  line.option("--data", r.data, "a directory of MNIST's, CIFAR's or class folders' form, such files, or digits (8×8, carried inside)");
  line.option("--width", r.network.width, "channels of the first level");
  line.option("--multipliers", r.network.multipliers, "channels of each level, times the width; every further level halves the image");
  line.option("--blocks", r.network.blocks, "residual blocks a level");
  line.flag("--no-attention", o->no_attention, "none in the middle");
  line.option("--groups", r.network.groups, "groups of group norms");
  line.option("--dropout", r.network.dropout, "probability");
  line.option("--latent", r.network.latent, "numbers of the latent vector, or channels of the latent map");
  line.flag("--map", o->map, "the latent is a map of the innermost resolution, as latent diffusion takes it (always so for vqvae)");
  line.option("--likelihood", o->likelihood, "likelihood of pixels: bernoulli or gaussian");
  line.option("--sigma", r.network.sigma, "standard deviation of the gaussian likelihood, of pixels in [0, 1]; 0: learned");
  line.option("--beta", r.beta, "vae: weight of the KL divergence");
  line.option("--free-bits", r.free_bits, "vae: nats of KL that each latent has for nothing");
  line.option("--codes", r.quantizer.codes, "vqvae: of the codebook");
  line.option("--commitment", r.quantizer.commitment, "vqvae: how strongly the encoder is drawn to its codes");
  line.option("--codebook-decay", r.quantizer.decay, "vqvae: of the running means that the codes follow; 0: codes are learned by the loss");
  line.option("--restart", r.quantizer.restart, "vqvae: uses a batch below which a code starts again from the data; 0: never");
  line.option("--validation", r.validation, "share of the training part to measure the loss on");
  r.training.define(line, "images");
  auto begin = [o, line](const std::string& out) {
    require(o->likelihood == "bernoulli" || o->likelihood == "gaussian",
            "--likelihood " + o->likelihood + " is unknown; choose bernoulli or gaussian");
    o->run.network.likelihood = o->likelihood == "gaussian" ? autoencoder::Likelihood::gaussian : autoencoder::Likelihood::bernoulli;
    o->run.network.vector = !o->map;
    o->run.network.attention = !o->no_attention;
    return start(o->run, line, out);
  };
  return start_or_resume(line, "vae", begin, resume);
}

}  // namespace

extern const TrainingKind vae_kind;
const TrainingKind vae_kind{{"vae", "an autoencoder of images: plain, variational or vector-quantised", define}, evaluate};

}  // namespace plumb::tools
