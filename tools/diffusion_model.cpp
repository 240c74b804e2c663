// Settings, losses and samples of diffusion U-Nets.
#include "tools/diffusion_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "models/diffusion/loss.h"
#include "models/nn/placement.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto sampling_fields = [](auto& s, auto&& f) {
  f("sampler", s.sampler), f("steps", s.steps), f("guidance", s.guidance), f("eta", s.eta), f("churn", s.churn);
};
static constexpr auto fields = [](auto& r, auto&& f) {
  f("network", r.network), f("data", r.data), f("data_sha256", r.data_sha256), f("sigma_data", r.sigma_data), f("sigma_min", r.sigma_min),
      f("sigma_max", r.sigma_max), f("noise_mean", r.noise_mean);
  f("noise_std", r.noise_std), f("class_dropout", r.class_dropout), f("validation", r.validation), f("image", r.image),
      f("class_names", r.class_names), f("sampling", r.sampling);
};

std::string ImageSampling::to_json() const { return fields_to_json(*this, sampling_fields); }
ImageSampling ImageSampling::from_json(const std::string& text) {
  return fields_from_json<ImageSampling>("sampling", text, sampling_fields);
}

void ImageSampling::check() const {
  try {
    diffusion::sampler_from_name(sampler);
  } catch (const ValueError& error) {
    throw ConfigError(std::string("--sampler: ") + error.what());
  }
  require(steps >= 1, fmt::format("--sample-steps must be at least 1, it is {}", steps));
  require(guidance >= 0, fmt::format("--guidance must not be negative, it is {}", guidance));
  require(eta >= 0 && eta <= 1, fmt::format("--eta must lie in [0, 1], it is {}", eta));
  require(churn >= 0, fmt::format("--churn must not be negative, it is {}", churn));
}

DiffusionRun::DiffusionRun() {
  network = {.width = 32, .multipliers = {1, 2, 2}, .blocks = 1, .attention_levels = {2}, .heads = 2, .groups = 8, .time_scale = 1000};
  training.batch = 64;
  training.steps = 2000;
  training.warmup = 100;
  training.lr = 1e-3;
  training.min_lr = 1e-5;
  training.weight_decay = 0;
  training.ema = 0.995;
  training.eval_every = 500;
}

std::string DiffusionRun::to_json() const { return run_json("unet", *this, fields).text(); }

DiffusionRun DiffusionRun::from_json(const std::string& text) {
  DiffusionRun run;
  read_run("unet", text, run, fields);
  require_image_sizes(run.image);
  return run;
}

void DiffusionRun::check() const {
  training.check();
  network.check();
  sampling.check();
  require(class_dropout >= 0 && class_dropout < 1, fmt::format("--class-dropout must lie in [0, 1), it is {}", class_dropout));
  require(validation > 0 && validation < 1, fmt::format("--validation must lie in (0, 1), it is {}", validation));
  require(sigma_min > 0 && sigma_max > sigma_min,
          fmt::format("--sigma-min {} and --sigma-max {} are no range of noise levels", sigma_min, sigma_max));
  require(noise_std > 0, fmt::format("--noise-std must be positive, it is {}", noise_std));
  require(!training.recompute, "--recompute: a U-Net keeps its blocks' inputs for the skips; choose a smaller batch or --accumulate");
  int64_t factor = int64_t{1} << (network.levels() - 1);
  if (image.size() == 3)
    require(image[1] % factor == 0 && image[2] % factor == 0,
            fmt::format("--multipliers: {} levels need images whose sides are multiples of {}, they are {}×{}", network.levels(), factor,
                        image[1], image[2]));
}

DiffusionModel::DiffusionModel(const DiffusionRun& run) : run_(run), network_(run.network), precondition_(run.sigma_data) {
  run.training.prepare(network_);
}

// A self-conditioned network sees what it said in the call before.
diffusion::Denoiser DiffusionModel::denoiser(const Tensor& labels) const {
  auto last = std::make_shared<Tensor>();
  return [this, labels, last](const Tensor& x, const Tensor& sigma) {
    unet::UnetInputs inputs;
    if (run_.network.classes > 0) inputs.labels = labels;
    if (run_.network.self_condition && last->defined()) inputs.self_condition = *last;
    Tensor clean = precondition_.denoise([&](const Tensor& y, const Tensor& t) { return network_(y, t, inputs); }, x, sigma);
    *last = clean.detach();
    return clean;
  };
}

Tensor DiffusionModel::losses(const Tensor& images, const Tensor& labels, Generator& generator) const {
  Autocast cast(run_.training.autocast_type());
  Tensor clean = nn::input_for(network_, images * 2 - 1), shown = labels;
  bool training = network_.training();
  if (training)
    shown = where(bernoulli(labels.shape(), run_.class_dropout, {.dtype = boolean, .device = labels.device(), .generator = &generator}), -1,
                  labels);
  shown = to(shown, clean.device());
  Tensor sigma = to(diffusion::lognormal_sigmas(clean.size(0), run_.noise_mean, run_.noise_std, generator),
                    clean.dtype());  // on the host, which weighs by it
  Tensor noise = randn_like(clean, &generator);
  diffusion::Denoiser denoise = denoiser(shown);
  if (run_.network.self_condition && training && generator.next_double() < 0.5) {
    NoGrad off;
    denoise(clean + diffusion::per_example(sigma, clean) * noise, sigma);
  }
  return diffusion::denoising_losses(denoise, clean, noise, sigma, {.sigma_data = run_.sigma_data});
}

Tensor DiffusionModel::sample_batch(const Tensor& labels, const ImageSampling& o, Generator& generator,
                                    const std::function<void(int64_t step)>& done) const {
  Shape shape{labels.size(0), run_.image[0], run_.image[1], run_.image[2]};
  Tensor like = network_.parameters()[0],
         x = randn(shape, {.dtype = like.dtype(), .device = like.device(), .generator = &generator}) * run_.sigma_max;
  auto sigmas =
      o.steps == 1 ? std::vector<double>{run_.sigma_max, 0} : diffusion::karras_sigmas_to_zero(o.steps, run_.sigma_min, run_.sigma_max);
  diffusion::Denoiser guided = diffusion::classifier_free(
      denoiser(labels), denoiser(cat({labels, full(labels.shape(), -1, i64, labels.device())})), {.scale = o.guidance});
  diffusion::SamplerOptions options{.sampler = diffusion::sampler_from_name(o.sampler),
                                    .eta = o.eta,
                                    .churn = o.churn,
                                    .sigma_min = run_.sigma_min,
                                    .generator = &generator,
                                    .on_step = [&](int64_t step, const Tensor&) { done(step + 1); }};
  Tensor y = diffusion::sample(guided, x, sigmas, options);
  return clamp((y + 1) * 0.5, 0, 1);
}

Tensor DiffusionModel::sample(const Tensor& labels, const ImageSampling& options, Generator& generator, int64_t batch,
                              const ProgressFunction& progress) const {
  NoGrad off;
  Autocast cast(run_.training.autocast_type());
  std::vector<Tensor> parts;
  Tensor wanted = nn::input_for(network_, labels);
  int64_t steps = (labels.size(0) + batch - 1) / batch * options.steps;
  for (int64_t i = 0; i < labels.size(0); i += batch) {
    auto done = [&](int64_t step) {
      if (progress) progress(i / batch * options.steps + step, steps);
    };
    parts.push_back(to(sample_batch(narrow(wanted, 0, i, std::min(batch, labels.size(0) - i)), options, generator, done), cpu));
  }
  return to(cat(parts), f32);
}

DiffusionModel load_diffusion(const train::RunDirectory& directory, const DiffusionRun& run) {
  DiffusionModel model(run);
  model.network().load_state(directory.load_model());
  model.network().eval();
  return model;
}

}  // namespace plumb::tools
