// The detector: forward, noising of true boxes, and sampling.
#include "models/detection/detector.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/detection/boxes.h"
#include "models/diffusion/noise_schedule.h"
#include "models/require.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::detection {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("channels", c.channels), f("classes", c.classes), f("small_images", c.small_images), f("backbone_width", c.backbone_width),
      f("blocks", c.blocks);
  f("first_level", c.first_level), f("width", c.width);
  f("proposals", c.proposals), f("stages", c.stages), f("heads", c.heads), f("inner", c.inner), f("dynamic", c.dynamic);
  f("roi_size", c.roi_size), f("roi_sampling", c.roi_sampling), f("roi_cells", c.roi_cells), f("start", c.start), f("matching", c.matching);
  f("signal_scale", c.signal_scale), f("noise_steps", c.noise_steps);
};

std::string DetectorConfig::to_json() const { return fields_to_json(*this, fields); }
DetectorConfig DetectorConfig::from_json(const std::string& text) { return fields_from_json<DetectorConfig>("detector", text, fields); }

void DetectorConfig::check() const {
  require_positive("detector", {{"channels", channels},
                                {"classes", classes},
                                {"--backbone-width", backbone_width},
                                {"--width", width},
                                {"--proposals", proposals},
                                {"--stages", stages},
                                {"heads", heads},
                                {"inner", inner},
                                {"--dynamic", dynamic},
                                {"--roi-size", roi_size},
                                {"roi_sampling", roi_sampling},
                                {"noise_steps", noise_steps}});
  require_multiple("detector", "--backbone-width", backbone_width, "the groups of its norm,", 4);
  require_multiple("detector", "--width", width, "the heads of attention,", heads);
  require(width % 2 == 0, "detector: --width must be even, it is " + std::to_string(width));
  require(!blocks.empty() && blocks.size() <= 4,
          "detector: --blocks must be given for one to four stages, they are for " + std::to_string(blocks.size()));
  for (int64_t n : blocks) require_positive("detector", {{"--blocks", n}});
  require(first_level >= 0 && first_level < static_cast<int64_t>(blocks.size()),
          "detector: --first-level must be one of the " + std::to_string(blocks.size()) + " stages, it is " + std::to_string(first_level));
  require(roi_cells > 0 && signal_scale > 0, "detector: roi_cells and signal_scale must be positive");
  require(start == "noise" || start == "learned", "detector: --start \"" + start + "\" is unknown; choose noise or learned");
  require(matching == "one_to_one" || matching == "dynamic_k",
          "detector: --matching \"" + matching + "\" is unknown; choose one_to_one or dynamic_k");
}

namespace {

resnet::ResNetConfig backbone(const DetectorConfig& c) {
  return {.small_images = c.small_images,
          .blocks = c.blocks,
          .width = c.backbone_width,
          .channels = c.channels,
          .classes = 0,
          .norm = "group",
          .groups = 4};
}

std::vector<int64_t> stage_widths(const DetectorConfig& c) {
  std::vector<int64_t> widths;
  for (auto i = static_cast<size_t>(c.first_level); i < c.blocks.size(); ++i) widths.push_back(c.backbone_width << i);
  return widths;
}

BoxDecoderOptions decoder(const DetectorConfig& c) {
  return {.classes = c.classes,
          .width = c.width,
          .stages = c.stages,
          .heads = c.heads,
          .inner = c.inner,
          .dynamic = c.dynamic,
          .timed = c.start == "noise",
          .roi = {.size = c.roi_size, .sampling = c.roi_sampling, .cells = c.roi_cells}};
}

/// `count` boxes as shares of the image, in rows from the top, half as wide again as their distance: [count, 4] centres.
Tensor box_grid(int64_t count) {
  auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count)))), rows = (count + columns - 1) / columns;
  auto wide = static_cast<float>(columns), high = static_cast<float>(rows);
  std::vector<float> v;
  for (int64_t i = 0; i < count; ++i)
    for (float e :
         {(static_cast<float>(i % columns) + 0.5f) / wide, (static_cast<float>(i / columns) + 0.5f) / high, 1.5f / wide, 1.5f / high})
      v.push_back(e);
  return from_vector(v, {count, 4});
}

}  // namespace

Detector::Detector(const DetectorConfig& c)
    : config_((c.check(), c)), backbone_(backbone(c)), fpn_(this, "fpn", stage_widths(c), c.width), head_(this, "head", decoder(c)) {
  register_module("backbone", backbone_);
  auto schedule = diffusion::VpSchedule::cosine(c.noise_steps);
  for (int64_t t = 0; t < c.noise_steps; ++t) alpha_bars_.push_back(schedule.alpha_bar(t));
  for (auto i = static_cast<size_t>(c.first_level); i < c.blocks.size(); ++i)
    strides_.push_back(static_cast<double>((c.small_images ? int64_t{1} : int64_t{4}) << i));
  if (c.start == "noise") return;
  register_parameter("proposal_boxes", proposal_boxes_, box_grid(c.proposals));
  register_parameter("proposal_features", proposal_features_, randn({c.proposals, c.width}));
}

Detector::Pyramid Detector::pyramid(const Tensor& images) const {
  if (images.rank() != 4 || images.size(1) != config_.channels)
    throw ShapeError("detector: takes images [B, " + std::to_string(config_.channels) + ", H, W], got " + to_string(images.shape()));
  std::vector<Tensor> stages = backbone_.stages(images);
  stages.erase(stages.begin(), stages.begin() + config_.first_level);
  return {fpn_(stages), images.size(2), images.size(3)};
}

std::vector<Prediction> Detector::decoded(const Pyramid& p, const Tensor& boxes, const Tensor& time) const {
  if (config_.start == "noise") return head_(p.levels, strides_, boxes, time);
  int64_t images = p.levels[0].size(0);
  Tensor learned = to_corners(proposal_boxes_) * image_sides(proposal_boxes_, p.height, p.width);
  return head_(p.levels, strides_, expand(learned, {images, -1, -1}), {}, expand(proposal_features_, {images, -1, -1}));
}

std::vector<Prediction> Detector::operator()(const Tensor& images, const Tensor& boxes, const Tensor& time) const {
  bool noise = config_.start == "noise";
  if (boxes.defined() != noise || time.defined() != noise)
    throw ValueError(std::string("detector: boxes and a time ") + (noise ? "are to be given" : "are for detectors that start from noise"));
  return decoded(pyramid(images), boxes, time);
}

// What was noised, kept within ±s, back as corners in pixels.
Tensor Detector::corners_of(const Tensor& noisy, int64_t height, int64_t width) const {
  Tensor share = clamp(noisy, -config_.signal_scale, config_.signal_scale) * (0.5 / config_.signal_scale) + 0.5;
  return to_corners(share) * image_sides(noisy, height, width);
}

// The objects of an image first, then boxes drawn about the middle with deviation 1/6, their sides at least a little.
Tensor Detector::noised(const Objects& truth, const Tensor& alpha_bar, int64_t height, int64_t width) const {
  int64_t images = truth.images(), padded = truth.classes.size(1), count = config_.proposals;
  std::vector<float> filled = to_vector<float>(randn({images, count, 4}));
  std::vector<double> centres =
      to_vector(to_centres(plumb::to(plumb::to(truth.boxes, cpu), f64)) / image_sides(zeros({1}, f64), height, width));
  std::vector<int64_t> kind = to_vector<int64_t>(truth.classes);
  for (size_t i = 0; i < filled.size(); ++i) {
    filled[i] = filled[i] / 6 + 0.5f;
    if (i % 4 >= 2) filled[i] = std::max(filled[i], 1e-4f);
  }
  for (int64_t b = 0; b < images; ++b)
    for (int64_t k = 0, at = 0; k < padded && at < count; ++k) {
      if (kind[static_cast<size_t>(b * padded + k)] < 0) continue;
      for (int64_t e = 0; e < 4; ++e)
        filled[static_cast<size_t>((b * count + at) * 4 + e)] = static_cast<float>(centres[static_cast<size_t>((b * padded + k) * 4 + e)]);
      ++at;
    }
  Tensor x = (from_vector(filled, {images, count, 4}) * 2 - 1) * config_.signal_scale,
         a = unsqueeze(unsqueeze(alpha_bar, 1), 1);  // on the host, as all here
  return corners_of(sqrt(a) * x + sqrt(1 - a) * randn(x.shape()), height, width);
}

DetectionLoss Detector::loss(const Tensor& images, const Objects& truth) const {
  CriterionOptions criterion{.one_to_one = config_.matching == "one_to_one"};
  Pyramid p = pyramid(images);
  if (config_.start != "noise") return detection_loss(decoded(p, {}, {}), truth, p.height, p.width, criterion);
  Tensor boxes, time;
  {
    NoGrad off;
    time = randint(0, config_.noise_steps, {images.size(0)});
    std::vector<float> alpha_bar;
    for (int64_t t : to_vector<int64_t>(time)) alpha_bar.push_back(static_cast<float>(alpha_bars_[static_cast<size_t>(t)]));
    boxes = plumb::to(plumb::to(noised(truth, from_vector(alpha_bar), p.height, p.width), images.dtype()), images.device());
    time = plumb::to(time, images.device());
  }
  return detection_loss(decoded(p, boxes, time), truth, p.height, p.width, criterion);
}

namespace {

/// The answers of all steps to one image.
struct Answers {
  std::vector<Tensor> logits, boxes;
};

// The best (box, class) pairs, doubles removed.
Found best_of(const Tensor& logits, const Tensor& boxes, double height, double width, const DetectOptions& o) {
  int64_t classes = logits.size(1);
  Tensor scores = sigmoid(flatten(logits));
  Tensor best = topk(scores, std::min<int64_t>(o.most, scores.numel()), 0).indices;
  Tensor of_box = clip_boxes(index_select(boxes, 0, floor_divide(best, scalar_tensor(classes, i64, best.device()))), height, width);
  Tensor kind = remainder(best, scalar_tensor(classes, i64, best.device())), score = index_select(scores, 0, best);
  Tensor kept = to(non_maximum_suppression(of_box, score, o.overlap, kind), best.device());
  Found found{index_select(of_box, 0, kept), index_select(score, 0, kept), index_select(kind, 0, kept)};
  int64_t enough = sum(to(found.scores >= o.least, i64)).item<int64_t>();  // scores fall
  return {narrow(found.boxes, 0, 0, enough), narrow(found.scores, 0, 0, enough), narrow(found.classes, 0, 0, enough)};
}

}  // namespace

// DDIM with η = 1 (as DiffusionDet): from x_t and the boxes found, as x₀, the noise that stands between them, and a step to the next time,
//   x' = √ᾱ' x₀ + √(1 − ᾱ' − σ²) ε + σ z,   σ² = (1 − ᾱ/ᾱ')(1 − ᾱ')/(1 − ᾱ).
std::vector<Found> Detector::detect(const Tensor& images, const DetectOptions& o) const {
  if (o.steps < 1) throw ValueError("detect: needs at least one step, not " + std::to_string(o.steps));
  NoGrad off;
  Pyramid p = pyramid(images);
  int64_t batch = images.size(0), steps = config_.start == "noise" ? o.steps : 1;
  Generator generator(o.seed);
  RandomOptions draw{.dtype = images.dtype(), .device = images.device(), .generator = &generator};
  Shape shape{config_.proposals, 4}, all{batch, config_.proposals, 4};
  std::vector<Answers> answers(static_cast<size_t>(batch));
  Tensor x = expand(randn(shape, draw), all);
  for (int64_t i = 0; i < steps; ++i) {
    int64_t t = (config_.noise_steps - 1) * (steps - i) / steps;
    Tensor time = full({batch}, t, i64, images.device());
    Prediction last = decoded(p, corners_of(x, p.height, p.width), config_.start == "noise" ? time : Tensor{}).back();
    for (int64_t b = 0; b < batch; ++b) {
      answers[static_cast<size_t>(b)].logits.push_back(select(last.logits, 0, b));
      answers[static_cast<size_t>(b)].boxes.push_back(select(last.boxes, 0, b));
    }
    if (i + 1 == steps) break;
    double now = alpha_bars_[static_cast<size_t>(t)],
           next = alpha_bars_[static_cast<size_t>((config_.noise_steps - 1) * (steps - i - 1) / steps)];
    double variance = (1 - now / next) * (1 - next) / (1 - now), s = config_.signal_scale;
    Tensor clean = clamp((to_centres(last.boxes) / image_sides(last.boxes, p.height, p.width) * 2 - 1) * s, -s, s);
    Tensor noise = (x - clean * std::sqrt(now)) * (1 / std::sqrt(1 - now));
    x = clean * std::sqrt(next) + noise * std::sqrt(std::max(0.0, 1 - next - variance)) + randn(shape, draw) * std::sqrt(variance);
    Tensor kept = any(sigmoid(last.logits) > o.keep, {2}, true);
    x = where(kept, x, expand(randn(shape, draw), all));
  }
  std::vector<Found> found;
  for (const Answers& a : answers)
    found.push_back(best_of(cat(a.logits), cat(a.boxes), static_cast<double>(p.height), static_cast<double>(p.width), o));
  return found;
}

}  // namespace plumb::detection
