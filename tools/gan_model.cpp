// Settings, samples and measures of adversarial pairs.
#include "tools/gan_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "models/metrics/sliced_wasserstein.h"
#include "models/nn/placement.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr int64_t kBatch = 100;

static constexpr auto fields = [](auto& r, auto&& f) {
  f("model", r.model), f("dcgan", r.dcgan), f("style", r.style), f("loss", r.loss), f("r1", r.options.r1),
      f("r1_every", r.options.r1_every);
  f("gradient_penalty", r.options.gradient_penalty), f("path_length", r.options.path_length), f("path_every", r.options.path_every);
  f("critic_steps", r.options.critic_steps), f("data", r.data), f("data_sha256", r.data_sha256), f("validation", r.validation),
      f("image", r.image);
};

GanRun::GanRun() {
  training.batch = 64;
  training.steps = 3000;
  training.warmup = 0;
  training.lr = 1e-3;
  training.min_lr = 1e-4;
  training.beta1 = 0.5;
  training.beta2 = 0.999;
  training.weight_decay = 0;
  training.clip = 0;
  training.ema = 0.99;
  training.eval_every = 500;
}

GanRun GanRun::for_style() {
  GanRun run;
  run.model = "style";
  run.style.width = 16;
  run.style.widest = 64;
  run.options.r1 = 10;
  run.options.r1_every = 8;
  run.options.path_length = 1;
  run.style.mixing = 0;  // few layers to mix, and short runs
  run.training.batch = 32;
  run.training.lr = 2e-3;
  run.training.min_lr = 2e-4;
  run.training.beta1 = 0;
  run.training.beta2 = 0.99;
  run.training.ema = 0.998;
  return run;
}

std::string GanRun::to_json() const { return run_json("gan", *this, fields).text(); }

GanRun GanRun::from_json(const std::string& text) {
  GanRun run;
  read_run("gan", text, run, fields);
  run.options.loss = gan::gan_loss_named(run.loss);
  run.options.clip = run.training.clip;
  return run;
}

void GanRun::check() const {
  training.check();
  require(model == "dcgan" || model == "style", "--model " + model + " is unknown; choose dcgan or style");
  gan::gan_loss_named(loss);
  options.check();
  if (model == "dcgan") dcgan.check();
  else style.check();
  require(validation > 0 && validation < 1, fmt::format("--validation must lie in (0, 1), it is {}", validation));
  require(training.accumulate == 1, "--accumulate: a GAN's batches are not taken apart; choose a smaller --batch");
  require(training.dtype != "f16", "--dtype f16: a GAN's losses are not scaled, which f16 needs; choose bf16");
  require(!training.capture && !training.shard_optimizer,
          "--capture and --shard-optimizer: a GAN's two optimisers take turns in steps of their own; leave them out");
  require(!training.recompute, "--recompute: a GAN has no blocks to compute again; choose a smaller --batch");
  if (image.size() == 3)
    require(image[1] == image[2], fmt::format("GANs draw square images, those of {} are {}×{}", data[0], image[1], image[2]));
}

std::unique_ptr<gan::Gan> make_gan(const GanRun& run) {
  std::unique_ptr<gan::Gan> pair;
  if (run.model == "dcgan") pair = std::make_unique<gan::Dcgan>(run.dcgan);
  else pair = std::make_unique<gan::StyleGan>(run.style);
  run.training.prepare(*pair);
  return pair;
}

std::unique_ptr<gan::Gan> load_gan(const train::RunDirectory& directory, const GanRun& run) {
  auto pair = make_gan(run);
  pair->load_state(directory.load_model());
  pair->eval();
  return pair;
}

Tensor sample(const gan::Gan& pair, const GanRun& run, int64_t count, Generator& random, const ProgressFunction& progress) {
  NoGrad off;
  Autocast cast(run.training.autocast_type());
  Tensor z = randn({count, pair.latent()}, {.generator = &random});
  std::vector<Tensor> images;
  for (int64_t i = 0; i < count; i += kBatch) {
    int64_t size = std::min(kBatch, count - i);
    images.push_back(to(pair.generate(nn::input_for(pair, narrow(z, 0, i, size)), random), cpu));
    if (progress) progress(i + size, count);
  }
  return clamp((to(cat(images), f32) + 1) * 0.5, 0, 1);
}

double distance_to(const gan::Gan& pair, const GanRun& run, const Tensor& images) {
  Generator random(1), directions(2);
  return metrics::sliced_wasserstein(flatten(images, 1), flatten(sample(pair, run, images.size(0), random), 1), {.generator = &directions});
}

}  // namespace plumb::tools
