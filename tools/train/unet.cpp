// `plumb train unet`: a class-conditional diffusion U-Net trained on labelled images, as EDM (Karras et al. 2022).
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "ops/create.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "tools/cli/heeded_options.h"
#include "tools/diffusion_model.h"
#include "tools/labelled_images.h"
#include "tools/train/kinds.h"
#include "tools/train/settings.h"
#include "tools/train/unet_options.h"

namespace plumb::tools {
namespace {

constexpr int64_t kValidationBatch = 250;

struct Options {
  DiffusionRun run;
  bool unconditional = false;
};

// The part that is held back is the same at every seed.
std::vector<data::Dataset> split(const DiffusionRun& run, const LabelledImages& images) {
  return images.train.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
}

Tensor labels_of(const DiffusionRun& run, const data::Batch& batch) {
  return run.network.classes > 0 ? batch.label : full(batch.label.shape(), -1, i64, batch.label.device());
}

// The mean loss over `images` with the same noise every time.
double mean_loss(const DiffusionModel& model, const DiffusionRun& run, const data::Dataset& images) {
  Generator generator(0);
  double total = 0;
  for (const auto& batch : images.batch(kValidationBatch)) total += sum(model.losses(batch.image, labels_of(run, batch), generator)).item();
  return total / static_cast<double>(images.size());
}

// A row for each class, at most ten of them: a square, which is how they are laid out.
Tensor samples(const DiffusionModel& model, const DiffusionRun& run) {
  Generator generator(run.training.seed);
  int64_t rows = run.network.classes > 0 ? std::min<int64_t>(run.network.classes, 10) : 8;
  Tensor labels = run.network.classes > 0 ? repeat_interleave(arange(rows), rows, 0) : full({rows * rows}, -1, i64);
  return model.sample(labels, run.sampling, generator);
}

int train_run(const train::RunDirectory& directory, const DiffusionRun& run, const LabelledImages& images) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  DiffusionModel model(run);
  std::vector<data::Dataset> parts = split(run, images);
  fmt::print(stderr, "unet: {} parameters, {} classes, images {}, {} to train on, {} to validate\n", model.network().num_parameters(),
             run.network.classes, to_string(images.shape), parts[0].size(), parts[1].size());
  data::StepBatches batches(parts[0], {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  data::Dataset held_out = parts[1].take(4 * kValidationBatch);
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = batches(part.step, part.index, part.count);
            return mean(model.losses(batch.image, labels_of(run, batch), default_generator()));
          },
      .validate = [&] { return train::Measures{{"val_loss", mean_loss(model, run, held_out)}}; },
      .images = [&] { return samples(model, run); },
      .images_title = fmt::format("Samples: {}, {} steps, guidance {}", run.sampling.sampler, run.sampling.steps, run.sampling.guidance),
  };
  return settings.train_model(directory, model.network(), training, static_cast<double>(settings.batch), "images");
}

int start(Options& o, const CommandLine& line, const std::string& out) {
  DiffusionRun& run = o.run;
  run.check();  // before images are read, which takes its time
  refuse_unheeded(line, {{{"--class-dropout", "--guidance"}, !o.unconditional, "--unconditional has no classes"}});
  LabelledImages images = o.unconditional ? load_images(run.data) : load_labelled_images(run.data);
  run.data = lasting_names(run.data);
  run.data_sha256 = fingerprint(images);
  run.class_names = images.class_names;
  run.image.assign(images.shape.begin(), images.shape.end());
  run.network.in_channels = run.network.out_channels = images.shape[0];
  run.network.classes = o.unconditional ? 0 : images.classes;
  if (o.unconditional) run.sampling.guidance = 1;
  run.check();
  auto directory = train::RunDirectory::create(out, run.to_json());
  return train_run(directory, run, images);
}

int resume(const train::RunDirectory& directory) {
  DiffusionRun run = DiffusionRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, load_same_images(run.data, run.data_sha256));
}

// `plumb eval RUN`: the weighted denoising error on images that were not trained on.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  DiffusionRun run = DiffusionRun::from_json(directory.config());
  bool labelled = run.network.classes > 0;
  LabelledImages given = images_to_measure(data, run.data, run.data_sha256, Shape(run.image), labelled);
  std::string source = data.empty() ? run.data[0] : data[0];
  require(!labelled || given.classes <= run.network.classes,
          fmt::format("{}: has {} classes, the run {}", source, given.classes, run.network.classes));
  data::Dataset images = labelled ? labelled_as(given, run.class_names, source) : given.test;
  DiffusionModel model = load_diffusion(directory, run);
  NoGrad off;
  fmt::print("{{\"loss\": {}, \"images\": {}}}\n", mean_loss(model, run, images), images.size());
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  DiffusionRun& r = o->run;
  unet::UnetConfig& n = r.network;
  line.option("--data", r.data, "a directory of MNIST's, CIFAR's or class folders' form, such files, or digits (8×8, carried inside)");
  define_unet(line, n);
  line.option("--dropout", n.dropout, "probability");
  line.flag("--self-condition", n.self_condition, "the network sees its own last estimate");
  line.flag("--unconditional", o->unconditional, "without classes");
  line.option("--class-dropout", r.class_dropout, "share of images shown without their class, for guidance");
  line.option("--sigma-data", r.sigma_data, "standard deviation of the images in [−1, 1] that the network expects");
  line.option("--sigma-min", r.sigma_min, "lowest noise level of samplers");
  line.option("--sigma-max", r.sigma_max, "highest noise level of samplers");
  line.option("--noise-mean", r.noise_mean, "mean of ln σ in training");
  line.option("--noise-std", r.noise_std, "standard deviation of ln σ in training");
  line.option("--guidance", r.sampling.guidance, "how strongly samples follow their class; 1: as learned");
  line.option("--sampler", r.sampling.sampler, "euler, ddim, ancestral, heun or dpmpp_2m");
  line.option("--sample-steps", r.sampling.steps, "noise levels of a sample");
  line.option("--validation", r.validation, "share of the training part to measure the loss on");
  r.training.define(line, "images");
  return start_or_resume(line, "unet", [o, line](const std::string& out) { return start(*o, line, out); }, resume);
}

}  // namespace

extern const TrainingKind unet_kind;
const TrainingKind unet_kind{{"unet", "a diffusion U-Net that draws images of a class", define}, evaluate};

}  // namespace plumb::tools
