// Small scenes of digits on photographs: does training on pairs of neighbouring noise levels make a detector that needs one step, where one
// trained by diffusion needs several?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/digit_scenes.h"
#include "methods/vision/consistencydet/consistencydet.h"
#include "models/detection/average_precision.h"
#include "models/detection/draw.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::consistencydet {

Experiment experiment();

namespace {

constexpr int64_t kClasses = 3, kSize = 32;
constexpr double kKeep = 0.5;  // between steps; at 0.9 small networks would begin anew every time

struct Data {
  Scenes train, test;
  std::string source;
  uint64_t seed;
};

Data make_data(const Cell& cell) {
  Generator g(default_generator().next_u64());
  Backgrounds backgrounds = cell.budget() == Budget::smoke ? generated_backgrounds(g) : scene_backgrounds(g);
  SceneOptions o{.size = kSize,
                 .max_digits = 3,
                 .min_side = 9,
                 .max_side = 16,
                 .class_of_digit = {0, 1, -1, -1, -1, -1, -1, 2, -1, -1},
                 .clutter = 0,
                 .background = 0.4,
                 .noise = 0.03};
  auto digits = data::digits();
  Scenes train = digit_scenes(cell.pick<int64_t>(16, 2000, 2000), digits.train(), backgrounds.train, o, g);
  return {train, digit_scenes(cell.pick<int64_t>(6, 150, 300), digits.test(), backgrounds.test, o, g), backgrounds.source, g.next_u64()};
}

detection::DetectorConfig config_of(const std::string& start, int64_t proposals = 30) {
  return {.channels = 1,
          .classes = kClasses,
          .backbone_width = 8,
          .blocks = {1, 1, 1},
          .first_level = 2,
          .width = 32,
          .proposals = proposals,
          .stages = 2,
          .heads = 4,
          .inner = 64,
          .dynamic = 12,
          .roi_size = 5,
          .roi_sampling = 1,
          .start = start};
}

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all{
      {"learned boxes", "Sparse R-CNN's start: boxes and queries are learned, one step whatever is asked for"},
      {"DiffusionDet", "variance-preserving noise over 1000 steps, DDIM"},
      {"one level", "Karras' noise, the loss at one level alone"},
      {"ConsistencyDet, skipped form", "the pair of levels, f = c_skip x + c_out F as in the paper's text"},
      {"ConsistencyDet", "the pair of levels, the decoder's boxes as they are, as in the released code"}};
  return all;
}

// One of the three kinds of detector behind one face.
class Candidate {
 public:
  Candidate(const Cell& cell, const detection::Detector& initial)
      : kind_(cell.variant()),
        learned_(cell.is("learned boxes")),
        diffusion_(cell.is("DiffusionDet")),
        model(config_of(learned_ ? "learned" : "noise")) {
    loss_.pair = !cell.is("one level");
    loss_.form = cell.is("ConsistencyDet, skipped form") ? BoxForm::skipped : BoxForm::direct;
    model.load_state(initial.state(), false);  // the learned start has its boxes besides, and no times
  }
  Tensor loss(const Scenes& batch, Generator& g) const {
    if (learned_ || diffusion_) return model.loss(batch.images, batch.truth).total;
    return consistency_loss(model, batch.images, batch.truth, loss_, g).total;
  }
  std::vector<detection::Found> detect(const Tensor& images, int64_t steps, int64_t proposals, uint64_t seed) const {
    if (!learned_ && !diffusion_)
      return consistency_detect(model, images, {.steps = steps, .keep = kKeep, .proposals = proposals, .form = loss_.form, .seed = seed});
    detection::DetectOptions o{.steps = steps, .keep = kKeep, .overlap = steps == 1 ? 0.5 : 0.6, .seed = seed};
    if (learned_ || proposals == 0) return model.detect(images, o);
    detection::Detector other(config_of("noise", proposals));
    other.load_state(model.state());
    other.eval();
    return other.detect(images, o);
  }
  bool learned() const { return learned_; }

 private:
  std::string kind_;
  bool learned_, diffusion_;
  LossOptions loss_;

 public:
  detection::Detector model;
};

struct Judged {
  double ap = 0, ap50 = 0, error = 0;  // means over draws of the first boxes, and the standard error of ap's mean
};

Judged judge(const Candidate& candidate, const Scenes& test, int64_t steps, int64_t proposals, int64_t draws) {
  std::vector<double> ap;
  Judged j;
  if (candidate.learned()) draws = 1;
  for (int64_t d = 0; d < draws; ++d) {
    detection::AveragePrecision measure(kClasses);
    int64_t at = 0;
    for (const Tensor& part : split(test.images, 75))
      for (const detection::Found& f : candidate.detect(part, steps, proposals, static_cast<uint64_t>(d))) measure.add(f, test.truth, at++);
    auto r = measure.result();
    ap.push_back(100 * r.ap);
    j.ap += 100 * r.ap / static_cast<double>(draws), j.ap50 += 100 * r.ap50 / static_cast<double>(draws);
  }
  double square = 0;
  for (double v : ap) square += (v - j.ap) * (v - j.ap);
  if (draws > 1) j.error = std::sqrt(square / static_cast<double>(draws * (draws - 1)));
  return j;
}

void show(Cell& cell, const Candidate& candidate, const Data& data) {
  int64_t shown = std::min<int64_t>(6, data.test.images.size(0));
  Tensor images = narrow(data.test.images, 0, 0, shown);
  std::vector<Tensor> rows;
  for (int64_t steps : {1, 4}) {
    auto found = candidate.detect(images, steps, 0, 0);
    for (int64_t i = 0; i < shown; ++i) {
      const auto& f = found[static_cast<size_t>(i)];
      rows.push_back(detection::draw_boxes(select(images, 0, i), f.boxes, f.classes, 3, f.scores));
    }
  }
  cell.picture("test scenes on " + data.source + ": boxes after one step (above) and four, the fainter the less sure",
               train::image_grid(stack(rows), {.columns = shown, .zoom = 1}));
}

void run(Cell& cell) {
  auto data = cell.shared("scenes", [&] { return make_data(cell); });
  auto initial = cell.shared("initial weights", [&] { return detection::Detector(config_of("noise")); });
  Candidate candidate(cell, *initial);
  int64_t steps = cell.pick<int64_t>(2, 700, 6000), batch = cell.pick<int64_t>(2, 8, 16);
  optim::AdamW adamw(candidate.model.parameters(), {.lr = 1e-3, .weight_decay = 1e-4});
  auto schedule = optim::cosine_with_warmup(std::max<int64_t>(1, steps / 20), steps, 0.05);
  Generator order(data->seed), noise(data->seed + 1);
  double recent = 0;
  for (int64_t step = 0; step < steps; ++step) {
    Scenes scenes = select_scenes(data->train, randint(0, data->train.images.size(0), {batch}, {.dtype = i64, .generator = &order}));
    adamw.set_lr_scale(schedule(step));
    adamw.zero_grad();
    Tensor loss = candidate.loss(scenes, noise);
    loss.backward();
    optim::clip_grad_norm(candidate.model.parameters(), 1);
    adamw.step();
    recent = step == 0 ? loss.item() : 0.95 * recent + 0.05 * loss.item();
    if ((step + 1) % std::max<int64_t>(1, steps / 25) == 0) cell.point("training loss", "steps", static_cast<double>(step + 1), recent);
    if (step % 10 == 0) cell.progress(0.8 * static_cast<double>(step) / static_cast<double>(steps));
  }
  candidate.model.eval();
  int64_t draws = cell.pick<int64_t>(2, 4, 10);
  Judged one = judge(candidate, data->test, 1, 0, draws);
  cell.metric("AP50, 1 step (%)", one.ap50);
  cell.metric("mAP, 1 step (%)", one.ap);
  cell.metric("standard error over first boxes (%)", one.error);
  cell.progress(0.85);
  for (int64_t n : {2, 4}) {
    Judged j = candidate.learned() ? one : judge(candidate, data->test, n, 0, draws);
    cell.metric(fmt::format("mAP, {} steps (%)", n), j.ap);
    cell.progress(0.85 + 0.02 * static_cast<double>(n));
  }
  for (int64_t proposals : {10, 100})
    cell.metric(fmt::format("mAP, 1 step, {} boxes (%)", proposals),
                candidate.learned() ? one.ap : judge(candidate, data->test, 1, proposals, std::max<int64_t>(1, draws / 2)).ap);
  show(cell, candidate, *data);
}

}  // namespace

Experiment experiment() {
  return {.title = "ConsistencyDet",
          .paper =
              "Jiang, Wang, Wang, Li, Leng, Wu: ConsistencyDet: Robust Object Detector with Denoising Paradigm of Consistency Model, arXiv "
              "2404.07773, 2024",
          .claim =
              "boxes noised as in consistency models, judged at two neighbouring levels, are found in one step as well as in several, and "
              "better than by diffusion",
          .metrics = {{"AP50, 1 step (%)"},
                      {"mAP, 1 step (%)"},
                      {"standard error over first boxes (%)", Better::neither},
                      {"mAP, 2 steps (%)"},
                      {"mAP, 4 steps (%)"},
                      {"mAP, 1 step, 10 boxes (%)"},
                      {"mAP, 1 step, 100 boxes (%)"}},
          .variants = variants(),
          .baseline = "DiffusionDet",
          .method = "ConsistencyDet",
          .run = run};
}

}  // namespace plumb::methods::consistencydet
