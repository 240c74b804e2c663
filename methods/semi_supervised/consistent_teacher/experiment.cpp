// Digits on photographs, sixty scenes with boxes and many without: what each of the three parts of Consistent-Teacher adds to a mean
// teacher, and how often the detector changes its mind.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/digit_scenes.h"
#include "methods/semi_supervised/consistent_teacher/consistent_teacher.h"
#include "models/detection/average_precision.h"
#include "models/detection/draw.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::consistent_teacher {

Experiment experiment();

namespace {

constexpr int64_t kClasses = 3, kSize = 32;
constexpr ViewOptions kViews{.flip = 0};  // a mirrored digit is another one

// Three stages; levels of stride 4 and 8 with anchors of 8 and 16 pixels.
DetectorConfig config_of(bool alignment) { return {.classes = kClasses, .stages = {16, 32, 32}, .first_level = 1, .alignment = alignment}; }

struct Data {
  Scenes labelled, unlabelled, test;
  std::string source;
  uint64_t seed;
};

Data make_data(const Cell& cell) {
  Generator g(default_generator().next_u64());
  Backgrounds backgrounds = cell.budget() == Budget::smoke ? generated_backgrounds(g) : scene_backgrounds(g);
  SceneOptions o{.size = kSize,
                 .max_digits = 3,
                 .min_side = 10,
                 .max_side = 18,
                 .class_of_digit = {0, 1, -1, -1, -1, -1, -1, 2, -1, -1},
                 .clutter = 1,
                 .background = 0.35,
                 .noise = 0.03};
  auto digits = data::digits();
  auto scenes = [&](int64_t n, const data::Dataset& glyphs, const Tensor& pictures) { return digit_scenes(n, glyphs, pictures, o, g); };
  return {scenes(cell.pick<int64_t>(8, 60, 60), digits.train(), backgrounds.train),
          scenes(cell.pick<int64_t>(16, 1000, 1500), digits.train(), backgrounds.train),
          scenes(cell.pick<int64_t>(8, 200, 200), digits.test(), backgrounds.test), backgrounds.source, g.next_u64()};
}

// What a variant is made of.
struct Arm {
  bool unlabelled = false, alignment = false, mixture = false;
  Assigner assign = [](const CellsAndObjects& c) { return max_iou_assign(c); };
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all{
      {"supervised", "the labelled scenes alone, cells assigned by the IoU of their anchors"},
      {"supervised, ASA + FAM-3D", "the labelled scenes alone, assignment by cost and aligned boxes"},
      {"mean teacher", "an averaged teacher's boxes with a score above 0.5, cells assigned by the IoU of their anchors"},
      {"mean teacher, ATSS", "the same, cells assigned by ATSS"},
      {"+ ASA", "mean teacher with assignment by cost"},
      {"+ ASA + GMM", "thresholds of the score by a mixture for each class, too"},
      {"Consistent-Teacher", "aligned boxes (FAM-3D), too"}};
  return all;
}

Arm arm_of(const Cell& cell) {
  Arm arm;
  arm.unlabelled = !cell.variant().starts_with("supervised");
  bool full = cell.is("Consistent-Teacher");
  arm.alignment = full || cell.is("supervised, ASA + FAM-3D");
  arm.mixture = full || cell.is("+ ASA + GMM");
  if (cell.is("mean teacher, ATSS"))
    arm.assign = [](const CellsAndObjects& c) { return atss_assign(c); };
  else if (arm.alignment || arm.mixture || cell.is("+ ASA"))
    arm.assign = [](const CellsAndObjects& c) { return dynamic_soft_assign(c, {.topk = 9}); };
  return arm;
}

std::vector<detection::Found> detect(const DenseDetector& model, const Tensor& images) {
  NoGrad off;
  std::vector<detection::Found> all;
  for (const Tensor& part : split(images, 50))
    for (detection::Found& f : found_boxes(model(part), static_cast<double>(images.size(2)), static_cast<double>(images.size(3))))
      all.push_back(f);
  return all;
}

detection::AveragePrecision::Result measured(const DenseDetector& model, const Scenes& test) {
  detection::AveragePrecision ap(kClasses);
  std::vector<detection::Found> found = detect(model, test.images);
  for (size_t i = 0; i < found.size(); ++i) ap.add(found[i], test.truth, static_cast<int64_t>(i));
  return ap.result();
}

// How the teacher's answers to the same unlabelled images change from checkpoint to checkpoint; means over the second half of training.
class Checkpoints {
 public:
  explicit Checkpoints(Tensor images) : images_(std::move(images)) {}
  // Gives this checkpoint's inconsistency with the last one and its number of boxes an image.
  std::pair<double, double> add(const DenseDetector& model, bool counts) {
    std::vector<detection::Found> now = detect(model, images_);
    Inconsistency change;
    double boxes = 0;
    for (size_t i = 0; i < now.size(); ++i) {
      for (double s : to_vector(now[i].scores)) boxes += (s > 0.5) / static_cast<double>(now.size());
      if (!before_.empty()) change.add(before_[i], now[i]);
    }
    before_ = std::move(now);
    if (counts) total_.sum += change.sum, total_.terms += change.terms, boxes_ += boxes, ++count_;
    return {change.mean(), boxes};
  }
  double inconsistency() const { return total_.mean(); }
  double boxes() const { return count_ > 0 ? boxes_ / count_ : 0; }

 private:
  Tensor images_;
  std::vector<detection::Found> before_;
  Inconsistency total_;
  double boxes_ = 0, count_ = 0;
};

// Endless random batches of scenes.
class Batches {
 public:
  Batches(const Scenes& scenes, int64_t size, uint64_t seed) : scenes_(scenes), size_(size), generator(seed) {}
  Scenes next() { return select_scenes(scenes_, randint(0, scenes_.images.size(0), {size_}, {.dtype = i64, .generator = &generator})); }

 private:
  const Scenes& scenes_;
  int64_t size_;

 public:
  Generator generator;  ///< of the views too
};

void show(Cell& cell, const DenseDetector& model, const Data& data) {
  int64_t shown = std::min<int64_t>(8, data.test.images.size(0));
  std::vector<detection::Found> found = detect(model, narrow(data.test.images, 0, 0, shown));
  std::vector<Tensor> pictures;
  for (int64_t i = 0; i < shown; ++i) {
    const detection::Found& f = found[static_cast<size_t>(i)];
    pictures.push_back(detection::draw_boxes(select(data.test.images, 0, i), f.boxes, f.classes, 2, f.scores));
  }
  cell.picture("test scenes on " + data.source + ": boxes found, the fainter the less sure",
               train::image_grid(stack(pictures), {.columns = 4, .zoom = 1}));
}

void run(Cell& cell) {
  auto data = cell.shared("scenes", [&] { return make_data(cell); });
  auto initial = cell.shared("initial weights", [&] { return DenseDetector(config_of(true)); });
  Arm arm = arm_of(cell);
  DenseDetector student(config_of(arm.alignment));
  student.load_state(initial->state());
  optim::Ema<DenseDetector> teacher(student, {.decay = 0.99});
  optim::AdamW adamw(student.parameters(), {.lr = 2e-3, .weight_decay = 1e-4});
  int64_t steps = cell.pick<int64_t>(4, 700, 4000), every = std::max<int64_t>(1, steps / 14);
  auto size = static_cast<double>(kSize);
  StepOptions options{.warmup = cell.pick<int64_t>(1, 250, 800), .momentum = 0.99, .assign = arm.assign};
  if (!arm.mixture) options.pseudo.fixed_threshold = 0.5;
  ScoreThreshold thresholds(kClasses);
  Batches labelled(data->labelled, 8, data->seed), unlabelled(data->unlabelled, 8, data->seed + 1);
  Checkpoints checkpoints(narrow(data->unlabelled.images, 0, 0, std::min<int64_t>(60, data->unlabelled.images.size(0))));
  auto schedule = optim::cosine_with_warmup(std::max<int64_t>(1, steps / 20), steps, 0.1);
  double believed = 0;
  for (int64_t step = 0; step < steps; ++step) {
    Scenes batch = labelled.next();
    View view = labelled_view(batch.images, labelled.generator, kViews), weak, strong;
    if (arm.unlabelled) {
      Tensor images = unlabelled.next().images;
      weak = weak_view(images, unlabelled.generator, kViews);
      strong = strong_view(images, unlabelled.generator, kViews);
    }
    adamw.zero_grad();
    StepReport report =
        ssod_step(student, teacher, view, objects_in_view(batch.truth, view.maps, size, size), weak, strong, thresholds, options, step);
    report.loss.backward();
    optim::clip_grad_norm(student.parameters(), 20);
    adamw.set_lr_scale(schedule(step));
    adamw.step();
    believed += report.boxes / static_cast<double>(every);
    if ((step + 1) % every == 0) {
      auto at = static_cast<double>(step + 1);
      auto [change, boxes] = checkpoints.add(teacher.model, 2 * (step + 1) > steps);
      if (step + 1 > every) cell.point("inconsistency of successive checkpoints", "steps", at, change);
      cell.point("boxes an unlabelled image, score above 0.5", "steps", at, boxes);
      if (arm.unlabelled) cell.point("boxes believed, an unlabelled image", "steps", at, believed);
      believed = 0;
    }
    if (step % 10 == 0) cell.progress(static_cast<double>(step) / static_cast<double>(steps));
  }
  detection::AveragePrecision::Result result = measured(teacher.model, data->test);
  cell.metric("mAP (%)", 100 * result.ap);
  cell.metric("AP50 (%)", 100 * result.ap50);
  cell.metric("inconsistency", checkpoints.inconsistency());
  cell.metric("boxes an image", checkpoints.boxes());
  show(cell, teacher.model, *data);
}

}  // namespace

Experiment experiment() {
  return {.title = "Consistent-Teacher",
          .paper =
              "Wang, Yang, Zhang, Li, Feng, Fang, Lyu, Chen, Zhang: Consistent-Teacher: Towards Reducing Inconsistent Pseudo-targets in "
              "Semi-supervised Object Detection, CVPR 2023",
          .claim =
              "assignment by cost, aligned boxes and thresholds that follow the scores make a mean teacher's targets consistent and its "
              "detector better",
          .metrics = {{"mAP (%)"}, {"AP50 (%)"}, {"inconsistency", Better::lower}, {"boxes an image", Better::neither}},
          .variants = variants(),
          .baseline = "supervised, ASA + FAM-3D",
          .method = "Consistent-Teacher",
          .run = run};
}

}  // namespace plumb::methods::consistent_teacher
