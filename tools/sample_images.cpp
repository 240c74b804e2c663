// Pictures from a diffusion U-Net, and their measures by a classifier that was trained apart.
#include "tools/sample_images.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/io/image.h"
#include "models/metrics/frechet.h"
#include "models/metrics/neighbours.h"
#include "models/train/image_grid.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/diffusion_model.h"
#include "tools/image_classifier.h"
#include "tools/labelled_images.h"

namespace plumb::tools {
namespace {

constexpr int64_t kInPicture = 100;  // more would be too small to see
constexpr int64_t kBatch = 500;
constexpr double kCopyShare = 0.01;

ImageSampling chosen(const DiffusionRun& run, const ImageSampleOptions& o) {
  ImageSampling s = run.sampling;
  s.sampler = o.sampler.value_or(s.sampler), s.steps = o.steps.value_or(s.steps), s.guidance = o.guidance.value_or(s.guidance);
  s.eta = o.eta.value_or(s.eta), s.churn = o.churn.value_or(s.churn);
  s.check();
  return s;
}

// The class asked for, or every class in turn.
Tensor wanted_labels(const DiffusionRun& run, const ImageSampleOptions& o) {
  int64_t classes = run.network.classes;
  require(o.label < 0 || o.label < classes, fmt::format("--class {} is outside [0, {}), the classes of the run", o.label, classes));
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < o.count; ++i) labels.push_back(o.label > -2 ? o.label : classes > 0 ? i % classes : -1);
  return from_vector(labels);
}

// The judge's last features of all images of `part`, or its logits where it has no features of its own.
class Judge {
 public:
  explicit Judge(const std::string& path) : Judge(train::RunDirectory::open(path)) {}
  Tensor features(const Tensor& images) const {
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < images.size(0); i += kBatch) rows.push_back(classifier_.features(narrow(images, 0, i, std::min(kBatch, images.size(0) - i))));
    return cat(rows);
  }
  Tensor answers(const Tensor& images) const {
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < images.size(0); i += kBatch) rows.push_back(argmax(classifier_(narrow(images, 0, i, std::min(kBatch, images.size(0) - i))), -1));
    return cat(rows);
  }

 private:
  explicit Judge(const train::RunDirectory& directory) : classifier_(ClassifierRun::from_json(directory.config())) {
    classifier_.module().load_state(directory.load_model());
    classifier_.module().eval();
  }
  ImageClassifier classifier_;
};

Tensor all_images(const data::Dataset& images) {
  std::vector<Tensor> parts;
  for (const auto& batch : images.batch(kBatch)) parts.push_back(batch.image);
  return cat(parts);
}

void print_measures(const DiffusionRun& run, const ImageSampling& s, const Tensor& samples, const Tensor& labels, const std::string& judge_path) {
  Judge judge(judge_path);
  LabelledImages data = load_labelled_images(run.data);
  Tensor training = all_images(data.train), unseen = all_images(data.test.take(samples.size(0)));
  double accuracy = mean(to(judge.answers(samples) == labels, f64)).item();
  Tensor real = judge.features(unseen), drawn = judge.features(samples);
  metrics::PrecisionRecall pr = metrics::precision_recall(real, drawn);
  double threshold = metrics::copy_threshold(flatten(unseen, 1), flatten(training, 1), kCopyShare);
  fmt::print("{{\"samples\": {}, \"sampler\": \"{}\", \"steps\": {}, \"guidance\": {}, \"as_asked\": {:.4f}, \"precision\": {:.4f}, \"recall\": {:.4f}, \"density\": {:.4f}, \"coverage\": {:.4f}, "
             "\"frechet\": {:.4f}, \"frechet_of_real\": {:.4f}, \"copies\": {:.4f}, \"copies_of_unseen\": {}}}\n",
             samples.size(0), s.sampler, s.steps, s.guidance, accuracy, pr.precision, pr.recall, pr.density, pr.coverage, metrics::frechet_distance(real, drawn),
             metrics::frechet_distance(real, judge.features(narrow(training, 0, 0, unseen.size(0)))), metrics::share_of_copies(flatten(samples, 1), flatten(training, 1), threshold), kCopyShare);
}

}  // namespace

void define_image_options(CommandLine& line, ImageSampleOptions& o) {
  line.option("--class", o.label, "images: the class to draw, −1 for none; without it every class in turn");
  line.option("--count", o.count, "images: how many");
  line.option("--steps", o.steps, "images: noise levels (default: the run's)");
  line.option("--guidance", o.guidance, "images: how strongly they follow their class (default: the run's)");
  line.option("--sampler", o.sampler, "images: euler, ddim, ancestral, heun or dpmpp_2m (default: the run's)");
  line.option("--eta", o.eta, "images: noise that ddim puts back, 0 to 1");
  line.option("--churn", o.churn, "images: noise that heun and euler add");
  line.option("--out", o.out, "images: PNG to write, the first hundred");
  line.option("--judge", o.judge, "images: a run of train classifier that tells how good they are: the share that is the class asked for, precision, recall, copies");
}

int sample_images(const train::RunDirectory& directory, const ImageSampleOptions& o, uint64_t seed) {
  NoGrad off;
  DiffusionRun run = DiffusionRun::from_json(directory.config());
  ImageSampling sampling = chosen(run, o);
  require(o.count >= 1, fmt::format("--count must be at least 1, it is {}", o.count));
  require(o.judge.empty() || o.count > 3, fmt::format("--judge needs more than 3 images, --count is {}", o.count));
  Tensor labels = wanted_labels(run, o);
  DiffusionModel model = load_diffusion(directory, run);
  Generator generator(seed);
  Tensor samples = model.sample(labels, sampling, generator);
  save_png(o.out, train::image_grid(narrow(samples, 0, 0, std::min(kInPicture, o.count)), {.columns = o.count >= 10 ? 10 : o.count}));
  fmt::print(stderr, "{} images of {} steps of {} with guidance {}: {}\n", o.count, sampling.steps, sampling.sampler, sampling.guidance, o.out);
  if (!o.judge.empty()) print_measures(run, sampling, samples, labels, o.judge);
  return 0;
}

}  // namespace plumb::tools
