// `plumb train gan`: a generator against a discriminator, DCGAN or style-based, on images.
#include <fmt/format.h>

#include <memory>

#include "engine/autograd/autocast.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "models/metrics/sliced_wasserstein.h"
#include "models/nn/placement.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/gan_model.h"
#include "tools/image_judge.h"
#include "tools/labelled_images.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

constexpr int64_t kCompared = 1000;  // images that samples are compared with
constexpr int64_t kInPicture = 64;

// A network's optimiser; with a penalty that takes a step of its own every so often, at rates that make up for it.
std::unique_ptr<optim::Optimizer> optimizer_of(const TrainingSettings& settings, const nn::Module& network, double penalty, int64_t every) {
  TrainingSettings own = settings;
  if (penalty > 0) {
    gan::LazyRates rates = gan::lazy_rates({settings.lr, settings.beta1, settings.beta2}, every);
    own.lr = rates.lr, own.beta1 = rates.beta1, own.beta2 = rates.beta2;
  }
  return own.make_optimizer(network);
}

int train_run(const train::RunDirectory& directory, const GanRun& run, const LabelledImages& images) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  auto pair = make_gan(run);
  std::vector<data::Dataset> parts = images.train.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
  fmt::print(stderr, "{}: generator of {} and discriminator of {} parameters, images {}, {} to train on\n", run.model,
             pair->generator().num_parameters(), pair->discriminator().num_parameters(), to_string(images.shape), parts[0].size());
  auto generator = optimizer_of(settings, pair->generator(), run.options.path_length, run.options.path_every);
  auto discriminator = optimizer_of(settings, pair->discriminator(), run.options.r1, run.options.r1_every);
  data::StepBatches batches(parts[0], {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  gan::GanTraining steps(*pair, *generator, *discriminator, run.options, [&](int64_t step, int64_t i) {
    return nn::input_for(*pair, batches(step * run.options.critic_steps + i).image) * 2 - 1;
  });
  Tensor held_out = all_images(parts[1].take(kCompared)), unseen = all_images(images.test.take(kCompared));
  train::Training training{
      .model = pair.get(),
      .optimizer = generator.get(),
      .schedule = settings.schedule(),
      .validate = [&] { return train::Measures{{"val_sliced_wasserstein", distance_to(*pair, run, held_out)}}; },
      .test = [&] { return train::Measures{{"test_sliced_wasserstein", distance_to(*pair, run, unseen)}}; },
      .images =
          [&] {
            Generator random(settings.seed);
            return sample(*pair, run, kInPicture, random);
          },
      .watched = "val_sliced_wasserstein",
      .step =
          [&](int64_t step) {
            Autocast cast(settings.autocast_type());
            return steps.step(step);
          },
      .more_optimizers = {discriminator.get()},
  };
  return train::train(directory, training,
                      settings.train_options(static_cast<double>(settings.batch * run.options.critic_steps), "images"));
}

void refuse_unheeded_options(const CommandLine& line, const GanRun& run) {
  refuse_unheeded(line, {{{"--widest", "--style", "--mapping-layers", "--mixing", "--deviation-group"},
                          run.model == "style",
                          "only --model style has it, this is " + run.model},
                         {{"--r1-every"}, run.options.r1 > 0, "without --r1 there is no such penalty"},
                         {{"--path-every"}, run.options.path_length > 0, "without --path-length there is no such penalty"}});
}

int start(GanRun& run, const CommandLine& line, const std::string& out) {
  run.options.loss = gan::gan_loss_named(run.loss);
  run.options.clip = run.training.clip;
  run.check();
  refuse_unheeded_options(line, run);
  LabelledImages images = load_images(run.data);
  run.data = lasting_names(run.data);
  run.data_sha256 = fingerprint(images);
  run.image.assign(images.shape.begin(), images.shape.end());
  run.dcgan.channels = run.style.channels = images.shape[0];
  run.dcgan.side = run.style.side = images.shape[1];
  run.check();
  return train_run(train::RunDirectory::create(out, run.to_json()), run, images);
}

int resume(const train::RunDirectory& directory) {
  GanRun run = GanRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, load_same_images(run.data, run.data_sha256));
}

// `plumb eval RUN`: how far its samples are from test images, and those from training images.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  GanRun run = GanRun::from_json(directory.config());
  auto pair = load_gan(directory, run);
  LabelledImages images = images_to_measure(data, run.data, run.data_sha256, Shape(run.image), false);
  Tensor unseen = all_images(images.test.take(kCompared)), training = all_images(images.train.take(unseen.size(0)));
  Generator directions(2);
  JsonObject json;
  json.set("samples", unseen.size(0));
  json.set("sliced_wasserstein", distance_to(*pair, run, unseen));
  json.set("sliced_wasserstein_of_real", metrics::sliced_wasserstein(flatten(unseen, 1), flatten(training, 1), {.generator = &directions}));
  fmt::print("{}\n", json.text());
  return 0;
}

// What was not given takes the defaults of --model style.
template <typename T>
void take_unless_given(const CommandLine& line, const char* name, T& value, const T& other) {
  if (!line.given(name)) value = other;
}

void take_style_defaults(const CommandLine& line, GanRun& run, int64_t& width) {
  GanRun style = GanRun::for_style();
  take_unless_given(line, "--width", width, style.style.width);
  take_unless_given(line, "--r1", run.options.r1, style.options.r1);
  take_unless_given(line, "--r1-every", run.options.r1_every, style.options.r1_every);
  take_unless_given(line, "--path-length", run.options.path_length, style.options.path_length);
  take_unless_given(line, "--batch", run.training.batch, style.training.batch);
  take_unless_given(line, "--lr", run.training.lr, style.training.lr);
  take_unless_given(line, "--beta1", run.training.beta1, style.training.beta1);
  take_unless_given(line, "--beta2", run.training.beta2, style.training.beta2);
  take_unless_given(line, "--ema", run.training.ema, style.training.ema);
}

Action define(CommandLine& line) {
  struct Options {
    GanRun run;
    int64_t width = 32, latent = 64;
  };
  auto o = std::make_shared<Options>();
  GanRun& r = o->run;
  r.style = GanRun::for_style().style;
  line.option("--model", r.model,
              "dcgan or style; style has other defaults: --batch 32 --lr 0.002 --beta1 0 --beta2 0.99 --ema 0.998 --width 16 --r1 10 "
              "--r1-every 8 --path-length 1");
  line.option("--data", r.data, "a directory of MNIST's, CIFAR's or class folders' form, such files, or digits (8×8, carried inside)");
  line.option("--width", o->width, "channels at the largest resolution; each halving has twice as many");
  line.option("--widest", r.style.widest, "style: but never more channels than these");
  line.option("--latent", o->latent, "random numbers an image is made of");
  line.option("--style", r.style.style, "style: width of what they are mapped to");
  line.option("--mapping-layers", r.style.mapping_layers, "style: of the mapping");
  line.option("--mixing", r.style.mixing, "style: share of training batches that mix two styles");
  line.option("--deviation-group", r.style.deviation_group, "style: images whose differences the discriminator sees");
  line.option("--loss", r.loss, "non_saturating, hinge, least_squares or wasserstein");
  line.option("--r1", r.options.r1, "weight of the discriminator's squared slope at real images; 0: none");
  line.option("--r1-every", r.options.r1_every, "steps between these penalties");
  line.option("--gradient-penalty", r.options.gradient_penalty, "weight of (slope − 1)² between real and drawn images; 0: none");
  line.option("--path-length", r.options.path_length, "weight of the generator's path lengths' variance; 0: none");
  line.option("--path-every", r.options.path_every, "steps between these penalties");
  line.option("--critic-steps", r.options.critic_steps, "discriminator steps for each generator step");
  line.option("--validation", r.validation, "share of the training part to compare samples with");
  r.training.define(line, "images");
  auto begin = [o, line](const std::string& out) {
    GanRun& run = o->run;
    if (run.model == "style") take_style_defaults(line, run, o->width);
    if (!line.given("--min-lr")) run.training.min_lr = 0.1 * run.training.lr;
    run.dcgan.width = run.style.width = o->width;
    run.dcgan.latent = run.style.latent = o->latent;
    return start(run, line, out);
  };
  return start_or_resume(line, "gan", begin, resume);
}

}  // namespace

extern const TrainingKind gan_kind;
const TrainingKind gan_kind{{"gan", "a generator of images against a discriminator: DCGAN or style-based", define}, evaluate};

}  // namespace plumb::tools
