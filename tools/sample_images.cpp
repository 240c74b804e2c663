// Pictures from a diffusion U-Net, and their measures by a classifier that was trained apart.
#include "tools/sample_images.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/io/image.h"
#include "models/train/image_grid.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/diffusion_model.h"
#include "tools/image_judge.h"
#include "tools/labelled_images.h"
#include "tools/output_file.h"

namespace plumb::tools {
namespace {

constexpr int64_t kInPicture = 100;  // more would be too small to see

ImageSampling chosen(const DiffusionRun& run, const ImageSampleOptions& o) {
  ImageSampling s = run.sampling;
  s.sampler = o.sampler.value_or(s.sampler), s.steps = o.steps.value_or(s.steps), s.guidance = o.guidance.value_or(s.guidance);
  s.eta = o.eta.value_or(s.eta), s.churn = o.churn.value_or(s.churn);
  s.check();
  return s;
}

void print_measures(const DiffusionRun& run, const ImageSampling& s, const Tensor& samples, const Tensor& labels,
                    const std::string& judge_path) {
  ImageJudge judge(judge_path);
  std::string text = fmt::format("{{\"samples\": {}, \"sampler\": \"{}\", \"steps\": {}, \"guidance\": {}", samples.size(0), s.sampler,
                                 s.steps, s.guidance);
  if (asks_for_classes(labels)) text += fmt::format(", \"as_asked\": {:.4f}", mean(to(judge.answers(samples) == labels, f64)).item());
  for (const auto& [name, value] : measure_samples(judge, load_images(run.data), samples))
    text += fmt::format(", \"{}\": {:.4f}", name, value);
  fmt::print("{}}}\n", text);
}

}  // namespace

void define_image_options(CommandLine& line, ImageSampleOptions& o) {
  line.option("--class", o.label, "images: the class to draw, −1 for none; without it every class in turn");
  line.option("--count", o.count, "images: how many");
  line.option("--steps", o.steps,
              "images: noise levels, or calls of a few-step generator (default: the run's); a vae or gan takes one whatever is given");
  line.option("--levels", o.levels, "images of a few-step generator: the noise level of each step, in the place of --steps");
  line.option("--gamma", o.gamma, "images of ctm: noise put back between steps, 0 none to 1 all");
  line.option("--guidance", o.guidance, "images: how strongly they follow their class (default: the run's)");
  line.option("--sampler", o.sampler, "images: euler, ddim, ancestral, heun or dpmpp_2m (default: the run's)");
  line.option("--eta", o.eta, "images: noise that ddim puts back, 0 to 1");
  line.option("--churn", o.churn, "images: noise that heun and euler add");
  line.option("--truncation", o.truncation, "images of a style-based GAN: below 1, more typical and less varied");
  line.flag("--reconstruct", o.reconstruct, "images of an autoencoder: test images and, under them, their reconstructions");
  line.option("--out", o.out, "images: PNG to write, the first hundred");
  line.option("--judge", o.judge,
              "images: a run of train classifier that tells how good they are: the share that is the class asked for, Fréchet distance, "
              "precision, recall, copies");
}

std::vector<const char*> image_options() {
  return {"--class", "--count", "--steps",      "--levels",      "--gamma", "--guidance", "--sampler",
          "--eta",   "--churn", "--truncation", "--reconstruct", "--out",   "--judge"};
}

void check_request(const ImageSampleOptions& o) {
  require(o.count >= 1, fmt::format("--count must be at least 1, it is {}", o.count));
  require(!o.label || *o.label >= -1, fmt::format("--class must be a class, or -1 for none, it is {}", o.label.value_or(0)));
  require(!o.steps || *o.steps >= 1, fmt::format("--steps must be at least 1, it is {}", o.steps.value_or(1)));
  require(o.judge.empty() || o.count > 3, fmt::format("--judge needs more than 3 images, --count is {}", o.count));
  check_can_write(o.out);
  if (!o.judge.empty()) train::RunDirectory::open(o.judge);
}

Tensor wanted_labels(int64_t classes, const ImageSampleOptions& o) {
  require(o.label < 0 || o.label < classes,
          fmt::format("--class {} is outside [0, {}), the classes of the run", o.label.value_or(0), classes));
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < o.count; ++i) labels.push_back(o.label >= -1 ? *o.label : classes > 0 ? i % classes : -1);
  return from_vector(labels);
}

bool asks_for_classes(const Tensor& labels) { return all(labels >= 0).item<bool>(); }

void save_picture(const ImageSampleOptions& o, const Tensor& images) {
  int64_t count = images.size(0);
  save_png(o.out, train::image_grid(narrow(images, 0, 0, std::min(kInPicture, count)), {.columns = count >= 10 ? 10 : count}));
}

int sample_images(const train::RunDirectory& directory, const ImageSampleOptions& o, uint64_t seed, const CommandLine& line) {
  NoGrad off;
  check_request(o);
  DiffusionRun run = DiffusionRun::from_json(directory.config());
  ImageSampling sampling = chosen(run, o);
  const std::string& sampler = sampling.sampler;
  refuse_unheeded(
      line, {{{"--levels", "--gamma"}, false, "it is for runs of train consistency"},
             {{"--truncation"}, false, "it is for style-based GANs"},
             {{"--reconstruct"}, false, "it is for autoencoders"},
             {{"--guidance"}, run.network.classes > 0, "the run knows no classes to follow"},
             {{"--eta"}, sampler == "ddim", "only --sampler ddim puts noise back by it, this is " + sampler},
             {{"--churn"}, sampler == "heun" || sampler == "euler", "only --sampler heun and euler add noise by it, this is " + sampler}});
  Tensor labels = wanted_labels(run.network.classes, o);
  DiffusionModel model = load_diffusion(directory, run);
  Generator generator(seed);
  Tensor samples = model.sample(labels, sampling, generator, 100, progress_bar("sample", "steps"));
  save_picture(o, samples);
  fmt::print(stderr, "{} images of {} steps of {} with guidance {}: {}\n", o.count, sampling.steps, sampling.sampler, sampling.guidance,
             o.out);
  if (!o.judge.empty()) print_measures(run, sampling, samples, labels, o.judge);
  return 0;
}

}  // namespace plumb::tools
