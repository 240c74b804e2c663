// `plumb train detector`: a set-prediction detector, on rendered shapes whose every box is known.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "models/detection/average_precision.h"
#include "models/detection/draw.h"
#include "models/nn/placement.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/train/detector_run.h"
#include "tools/train/kinds.h"
#include "tools/train/run_config.h"
#include "tools/train/settings.h"

namespace plumb::tools {
namespace {

constexpr int64_t kEvalBatch = 50;
constexpr int64_t kInPicture =
    18;                         // two pictures each, the truth and what was found: a square of six by six, so that they stand side by side
constexpr double kShown = 0.3;  // the least score that is drawn
constexpr int64_t kPictureSide = 128;  // pixels, about

constexpr auto fields = [](auto& r, auto&& f) {
  f("network", r.network), f("size", r.size), f("shapes", r.shapes), f("images", r.images), f("validation", r.validation),
      f("test", r.test), f("noise", r.noise);
  f("overlap", r.overlap), f("denoising_steps", r.denoising_steps), f("data_seed", r.data_seed);
};

}  // namespace

void DetectorRun::check() const {
  training.check();
  network.check();
  for (auto [name, value] : {std::pair{"--images", images},
                             {"--validation", validation},
                             {"--test", test},
                             {"--shapes", shapes},
                             {"--denoising-steps", denoising_steps}})
    require(value >= 1, fmt::format("{} must be at least 1, it is {}", name, value));
  require(shapes <= network.proposals, fmt::format("--shapes {} are more than --proposals {}", shapes, network.proposals));
  require(size >= 16, fmt::format("--size must be at least 16, it is {}", size));
  require(noise >= 0, fmt::format("--noise must not be negative, it is {}", noise));
}

std::string DetectorRun::to_json() const { return run_json("detector", *this, fields).text(); }

DetectorRun DetectorRun::from_json(const std::string& text) {
  DetectorRun run;
  read_run("detector", text, run, fields);
  return run;
}

namespace {

// Images, boxes and classes alone, padded to `shapes` objects: every batch has one form.
data::Dataset objects_only(const data::Dataset& images, int64_t shapes) {
  return images.map([shapes](data::Sample s) {
    data::Sample kept;
    kept.image = s.image, kept.index = s.index;
    Tensor boxes = zeros({shapes, 4}), classes = full({shapes}, -1, i64);
    int64_t count = s["classes"].numel();
    kept.set("boxes", slice_assign(boxes, s["boxes"], 0, 0, count));
    kept.set("classes", slice_assign(classes, s["classes"], 0, 0, count));
    return kept;
  });
}

detection::Objects truth_of(const data::Batch& batch) { return {batch["boxes"], batch["classes"]}; }
Tensor images_of(const detection::Detector& model, const data::Batch& batch) { return nn::input_for(model, batch.image); }

// Average precision, and each class's at IoU 0.5.
train::Measures measure(const DetectorRun& run, const detection::Detector& model, const data::Dataset& images, const std::string& part) {
  NoGrad off;
  detection::AveragePrecision score(run.network.classes);
  for (const auto& batch : objects_only(images, run.shapes).batch(kEvalBatch)) {
    std::vector<detection::Found> found = model.detect(images_of(model, batch), {.steps = run.denoising_steps});
    for (int64_t i = 0; i < batch.size(); ++i) score.add(found[static_cast<size_t>(i)], truth_of(batch), i);
  }
  detection::AveragePrecision::Result r = score.result();
  train::Measures measures{{part + "_map", r.ap}, {part + "_ap50", r.ap50}, {part + "_ap75", r.ap75}};
  std::vector<std::string> names = data::shape_names();
  for (size_t c = 0; c < r.class_ap50.size(); ++c) measures.push_back({part + "_ap50_" + names[c], r.class_ap50[c]});
  return measures;
}

// Side by side: the image with its true boxes, and with the boxes found, the fainter the less sure.
Tensor picture(const DetectorRun& run, const detection::Detector& model, const data::Dataset& images) {
  data::Batch batch = objects_only(images, run.shapes).batch(kInPicture).next();
  detection::Objects truth = truth_of(batch);
  std::vector<detection::Found> found = model.detect(images_of(model, batch), {.steps = run.denoising_steps, .least = kShown});
  int64_t zoom = std::max<int64_t>(1, kPictureSide / run.size);
  std::vector<Tensor> pictures;
  for (int64_t i = 0; i < batch.size(); ++i) {
    Tensor image = select(batch.image, 0, i), classes = select(truth.classes, 0, i), there = flatten(nonzero(classes >= 0));
    const detection::Found& f = found[static_cast<size_t>(i)];
    pictures.push_back(
        detection::draw_boxes(image, index_select(select(truth.boxes, 0, i), 0, there), index_select(classes, 0, there), zoom));
    pictures.push_back(detection::draw_boxes(image, f.boxes, f.classes, zoom, f.scores));
  }
  return stack(pictures);
}

int train_run(const train::RunDirectory& directory, const DetectorRun& run) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  detection::Detector model(run.network);
  settings.prepare(model);
  model.recompute(settings.recompute);
  data::Dataset train = run.part(run.images, 0), validation = run.part(run.validation, 1), test = run.part(run.test, 2);
  fmt::print(stderr, "detector: {} parameters, {} classes, {} boxes from {}, images {}×{}, {} to train on, {} to validate, {} to test\n",
             model.num_parameters(), run.network.classes, run.network.proposals, run.network.start, run.size, run.size, run.images,
             run.validation, run.test);
  data::StepBatches batches(objects_only(train, run.shapes).cache(),
                            {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = batches(part.step, part.index, part.count).to(settings.place());
            return model.loss(images_of(model, batch), truth_of(batch)).total;
          },
      .validate = [&] { return measure(run, model, validation, "val"); },
      .test = [&] { return measure(run, model, test, "test"); },
      .images = [&] { return picture(run, model, validation); },
      .images_title = "Validation images with their true boxes, and with those found",
      .watched = "val_map",
      .watched_highest = true,
  };
  return settings.train_model(directory, model, training, static_cast<double>(settings.batch), "images");
}

int start(const DetectorRun& run, const CommandLine& line, const std::string& out) {
  run.check();
  refuse_unheeded(line,
                  {{{"--denoising-steps"}, run.network.start == "noise", "learned boxes are not denoised, only those of --start noise"}});
  return train_run(train::RunDirectory::create(out, run.to_json()), run);
}

int resume(const train::RunDirectory& directory) {
  DetectorRun run = DetectorRun::from_json(directory.config());
  run.check();
  return train_run(directory, run);
}

Action define(CommandLine& line) {
  auto run = std::make_shared<DetectorRun>();
  line.option("--start", run->network.start, "where boxes come from: learned (queries) or noise (they are denoised)");
  line.option("--matching", run->network.matching, "how boxes are matched to objects: one_to_one or dynamic_k");
  line.option("--proposals", run->network.proposals, "boxes an image");
  line.option("--stages", run->network.stages, "how often boxes are refined");
  line.option("--width", run->network.width, "channels of the pyramid and of a box's features");
  line.option("--dynamic", run->network.dynamic, "hidden width of the layers that each box makes for itself");
  line.option("--roi-size", run->network.roi_size, "bins a side in which a box sees the image");
  line.option("--backbone-width", run->network.backbone_width, "channels of the ResNet's first stage");
  line.option("--blocks", run->network.blocks, "residual blocks of each stage of the ResNet");
  line.option("--first-level", run->network.first_level, "the first stage that the pyramid is built on");
  line.option("--denoising-steps", run->denoising_steps, "sampling steps of an evaluation, with --start noise");
  line.option("--size", run->size, "side of the rendered images in pixels");
  line.option("--shapes", run->shapes, "most shapes in an image");
  line.flag("--overlap", run->overlap, "shapes may hide parts of each other");
  line.option("--images", run->images, "number of training images");
  line.option("--validation", run->validation, "images to validate on");
  line.option("--test", run->test, "images to test on");
  line.option("--noise", run->noise, "standard deviation of the noise on their pixels");
  line.option("--data-seed", run->data_seed, "seed of the rendered images");
  run->training.define(line, "images");
  return start_or_resume(
      line, "detector", [run, line](const std::string& out) { return start(*run, line, out); }, resume);
}

// `plumb eval RUN`: on the run's own test images.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  require(data.empty(), "--data: runs of train detector are measured on rendered shapes alone");
  DetectorRun run = DetectorRun::from_json(directory.config());
  detection::Detector model(run.network);
  run.training.prepare(model);
  model.load_state(directory.load_model());
  model.eval();
  JsonObject json;
  for (const auto& [name, value] : measure(run, model, run.part(run.test, 2), "test")) json.set(name, value);
  fmt::print("{}\n", json.text());
  return 0;
}

}  // namespace

extern const TrainingKind detector_kind;
const TrainingKind detector_kind{{"detector", "a set-prediction detector, on rendered shapes", define}, evaluate};

}  // namespace plumb::tools
