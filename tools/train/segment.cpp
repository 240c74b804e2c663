// `plumb train segment`: a segmentation U-Net, on rendered shapes whose every pixel's class is known.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "models/nn/placement.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/train/kinds.h"
#include "tools/train/run_config.h"
#include "tools/train/segment_run.h"
#include "tools/train/settings.h"

namespace plumb::tools {
namespace {

constexpr int64_t kEvalBatch = 50;
constexpr int64_t kInPicture = 12;  // three pictures each: a square of six by six, so that they stand side by side

constexpr auto fields = [](auto& r, auto&& f) {
  f("network", r.network), f("size", r.size), f("images", r.images), f("validation", r.validation), f("test", r.test), f("noise", r.noise),
      f("overlap", r.overlap);
  f("data_seed", r.data_seed);
};

}  // namespace

void SegmentRun::check() const {
  training.check();
  network.check();
  for (auto [name, value] : {std::pair{"--images", images}, {"--validation", validation}, {"--test", test}})
    require(value >= 1, fmt::format("{} must be at least 1, it is {}", name, value));
  require(size >= 16 && size >= int64_t{1} << network.depth,
          fmt::format("--size must be at least 16 and 2 to the --depth, it is {}", size));
  require(noise >= 0, fmt::format("--noise must not be negative, it is {}", noise));
  require(!training.recompute, "--recompute: a U-Net keeps its blocks' inputs for the skips; choose a smaller batch or --accumulate");
}

std::string SegmentRun::to_json() const { return run_json("segment", *this, fields).text(); }

SegmentRun SegmentRun::from_json(const std::string& text) {
  SegmentRun run;
  read_run("segment", text, run, fields);
  return run;
}

namespace {

// [B, classes, H, W] against [B, H, W].
Tensor pixel_loss(const Tensor& logits, const Tensor& truth) { return cross_entropy(movedim(logits, 1, -1), truth); }

Tensor logits_of(const unet::SegmentationUnet& model, const Tensor& image) { return model(nn::input_for(model, image)); }

// Images and classes of pixels alone: the other fields of rendered shapes differ in length.
data::Dataset pixels_only(const data::Dataset& images) {
  return images.map([](data::Sample s) {
    data::Sample kept;
    kept.image = s.image, kept.index = s.index;
    kept.set("segmentation", s["segmentation"]);
    return kept;
  });
}

// Loss, mean IoU over classes, and each class's, over all pixels of `images`.
train::Measures measure(const unet::SegmentationUnet& model, const data::Dataset& images, const std::string& part) {
  NoGrad off;
  double loss = 0;
  std::vector<Tensor> answers, truths;
  for (const auto& batch : pixels_only(images).batch(kEvalBatch)) {
    Tensor logits = logits_of(model, batch.image);
    loss += pixel_loss(logits, to(batch["segmentation"], logits.device())).item() * static_cast<double>(batch.size());
    answers.push_back(to(argmax(logits, 1), cpu));
    truths.push_back(batch["segmentation"]);
  }
  auto iou = to_vector(unet::intersection_over_union(cat(answers), cat(truths), model.config().classes));
  train::Measures measures{{part + "_loss", loss / static_cast<double>(images.size())}, {part + "_iou", 0}};
  std::vector<std::string> names = data::shape_names();
  double total = 0, counted = 0;
  for (size_t c = 0; c < iou.size(); ++c) {
    measures.push_back({part + "_iou_" + (c == 0 ? std::string("background") : names[c - 1]), iou[c]});
    if (!std::isnan(iou[c])) total += iou[c], ++counted;
  }
  measures[1].second = total / counted;
  return measures;
}

// Each class as a colour, [B, H, W] → [B, 3, H, W].
Tensor coloured(const Tensor& classes) {
  static constexpr double kColours[][3] = {{0.1, 0.1, 0.1}, {0.9, 0.3, 0.2}, {0.2, 0.6, 0.9}, {0.3, 0.8, 0.3}, {0.95, 0.8, 0.2}};
  std::vector<Tensor> channels;
  for (int k = 0; k < 3; ++k) {
    Tensor c = full(classes.shape(), kColours[0][k]);
    for (int64_t i = 1; i <= data::kShapeKinds; ++i) c = where(classes == i, kColours[i][k], c);
    channels.push_back(c);
  }
  return stack(channels, 1);
}

// Rows of image, truth and answer.
Tensor picture(const unet::SegmentationUnet& model, const data::Dataset& images) {
  data::Batch batch = pixels_only(images).batch(kInPicture).next();
  Tensor image = batch.image.size(1) == 3 ? batch.image : expand(batch.image, {-1, 3, -1, -1});
  return flatten(stack({image, coloured(batch["segmentation"]), coloured(to(argmax(logits_of(model, batch.image), 1), cpu))}, 1), 0, 1);
}

int train_run(const train::RunDirectory& directory, const SegmentRun& run) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  unet::SegmentationUnet model(run.network);
  settings.prepare(model);
  data::Dataset train = run.shapes(run.images, 0), validation = run.shapes(run.validation, 1), test = run.shapes(run.test, 2);
  fmt::print(stderr, "segment: {} parameters, {} classes, images {}×{}, {} to train on, {} to validate, {} to test\n",
             model.num_parameters(), run.network.classes, run.size, run.size, run.images, run.validation, run.test);
  data::StepBatches batches(pixels_only(train).cache(), {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = batches(part.step, part.index, part.count).to(settings.place());
            return pixel_loss(logits_of(model, batch.image), batch["segmentation"]);
          },
      .validate = [&] { return measure(model, validation, "val"); },
      .test = [&] { return measure(model, test, "test"); },
      .images = [&] { return picture(model, validation); },
      .images_title = "Validation images, their truth, and the answer",
      .watched = "val_iou",
      .watched_highest = true,
  };
  return settings.train_model(directory, model, training, static_cast<double>(settings.batch), "images");
}

int start(const SegmentRun& run, const std::string& out) {
  run.check();
  return train_run(train::RunDirectory::create(out, run.to_json()), run);
}

int resume(const train::RunDirectory& directory) {
  SegmentRun run = SegmentRun::from_json(directory.config());
  run.check();
  return train_run(directory, run);
}

Action define(CommandLine& line) {
  auto run = std::make_shared<SegmentRun>();
  line.option("--width", run->network.width, "channels of the first level; each further level has twice as many");
  line.option("--depth", run->network.depth, "how often the image is halved");
  line.flag("--bilinear", run->network.bilinear, "enlarge by interpolation instead of transposed convolutions");
  line.option("--size", run->size, "side of the rendered images in pixels");
  line.option("--images", run->images, "number of training images");
  line.option("--validation", run->validation, "images to validate on");
  line.option("--test", run->test, "images to test on");
  line.option("--noise", run->noise, "standard deviation of the noise on their pixels");
  line.option("--data-seed", run->data_seed, "seed of the rendered images");
  run->training.define(line, "images");
  return start_or_resume(line, "segment", [run](const std::string& out) { return start(*run, out); }, resume);
}

// `plumb eval RUN`: on the run's own test images.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  require(data.empty(), "--data: runs of train segment are measured on rendered shapes alone");
  SegmentRun run = SegmentRun::from_json(directory.config());
  unet::SegmentationUnet model(run.network);
  run.training.prepare(model);
  model.load_state(directory.load_model());
  model.eval();
  JsonObject json;
  for (const auto& [name, value] : measure(model, run.shapes(run.test, 2), "test")) json.set(name, value);
  fmt::print("{}\n", json.text());
  return 0;
}

}  // namespace

extern const TrainingKind segment_kind;
const TrainingKind segment_kind{{"segment", "a segmentation U-Net, on rendered shapes", define}, evaluate};

}  // namespace plumb::tools
