// The detector forward, its loss, and what it finds.
#include "methods/semi_supervised/consistent_teacher/detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/detection/boxes.h"
#include "models/detection/check_objects.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::consistent_teacher {

using detection::Found;
using detection::Objects;

void DetectorConfig::check() const {
  require_positive("dense_detector",
                   {{"channels", channels}, {"classes", classes}, {"width", width}, {"towers", towers}, {"groups", groups}});
  require(first_level >= 0 && first_level < static_cast<int64_t>(stages.size()),
          fmt::format("dense_detector: first_level must be one of the {} stages, it is {}", stages.size(), first_level));
  for (int64_t c : stages) {
    require_positive("dense_detector", {{"stages", c}});
    require_multiple("dense_detector", "stages", c, "groups", groups);
  }
  require_multiple("dense_detector", "width", width, "groups", groups);
  require_multiple("dense_detector", "width", width, "what FAM-3D divides it by,", 4);
  require(anchor > 0, fmt::format("dense_detector: anchor must be positive, it is {:g}", anchor));
}

namespace {

std::vector<int64_t> level_channels(const DetectorConfig& c) { return {c.stages.begin() + c.first_level, c.stages.end()}; }

// Deltas with deviations 0.1, 0.1, 0.2, 0.2 of the anchor → corners in units of the stride, [B, 4, H, W].
Tensor decoded(const Tensor& deltas, double anchor) {
  const double most = std::log(1000.0 / 16);
  auto at = [&](int64_t e) { return select(deltas, 1, e); };
  Tensor columns = to(arange(deltas.size(3), deltas.dtype()), deltas.device()) + 0.5;
  Tensor rows = to(unsqueeze(arange(deltas.size(2), deltas.dtype()), 1), deltas.device()) + 0.5;
  Tensor x = columns + at(0) * (0.1 * anchor), y = rows + at(1) * (0.1 * anchor);
  Tensor w = exp(clamp(at(2) * 0.2, -most, most)) * (anchor / 2), h = exp(clamp(at(3) * 0.2, -most, most)) * (anchor / 2);
  return stack({x - w, y - h, x + w, y + h}, 1);
}

// Levels [B, C, H_l, W_l] as [B, N, C].
Tensor cells_of(const std::vector<Tensor>& levels) {
  std::vector<Tensor> flat;
  for (const Tensor& x : levels) flat.push_back(transpose(flatten(x, 2), 1, 2));
  return cat(flat, 1);
}

}  // namespace

DenseDetector::Tower::Tower(const DetectorConfig& c) {
  for (int64_t i = 0; i < c.towers; ++i) {
    convs.emplace_back(c.width, c.width, 3, nn::Conv2dOptions{.padding = 1, .bias = false});
    norms.emplace_back(c.groups, c.width);
    nn::init::kaiming_normal(convs.back().weight);
  }
}

std::vector<Tensor> DenseDetector::Tower::operator()(Tensor x) const {
  std::vector<Tensor> maps;
  for (size_t i = 0; i < convs.size(); ++i) maps.push_back(x = relu(norms[i](convs[i](x))));
  return maps;
}

DenseDetector::DenseDetector(const DetectorConfig& c)
    : config_((c.check(), c)),
      convs_(this, "convs"),
      norms_(this, "norms"),
      fpn_(this, "fpn", level_channels(c), c.width),
      class_tower_(c),
      box_tower_(c),
      class_head_(this, "class_head", c.width, c.classes, 3, {.padding = 1}),
      box_head_(this, "box_head", c.width, 4, 3, {.padding = 1}),
      alignment_(this, "alignment", 2 * c.towers * c.width, c.width / 4) {
  register_module("class_tower", class_tower_);
  register_module("box_tower", box_tower_);
  int64_t in = c.channels;
  for (int64_t out : c.stages) {
    convs_.emplace_back(in, out, 3, nn::Conv2dOptions{.stride = 2, .padding = 1, .bias = false});
    nn::init::kaiming_normal(convs_.back().weight);
    norms_.emplace_back(c.groups, out);
    in = out;
  }
  for (nn::Conv2d* head : {&class_head_, &box_head_}) {
    nn::init::normal(head->weight, 0, 0.01);
    nn::init::zeros(head->bias);
  }
  nn::init::constant(class_head_.bias, -std::log((1 - 0.01) / 0.01));
  for (auto l = static_cast<size_t>(c.first_level); l < c.stages.size(); ++l) strides_.push_back(static_cast<double>(int64_t{2} << l));
}

std::vector<Tensor> DenseDetector::pyramid(const Tensor& images) const {
  int64_t last = static_cast<int64_t>(strides_.back());
  if (images.rank() != 4 || images.size(1) != config_.channels || images.size(2) % last != 0 || images.size(3) % last != 0)
    throw ShapeError(fmt::format("dense_detector: takes images [B, {}, H, W] with sides that are multiples of {}, got {}", config_.channels,
                                 last, to_string(images.shape())));
  std::vector<Tensor> maps;
  Tensor x = images;
  for (size_t i = 0; i < convs_.size(); ++i) {
    x = relu(norms_[i](convs_[i](x)));
    if (static_cast<int64_t>(i) >= config_.first_level) maps.push_back(x);
  }
  return fpn_(maps);
}

DenseOutput DenseDetector::operator()(const Tensor& images) const {
  DenseOutput out;
  std::vector<Tensor> logits, boxes, features, centres, scale;
  std::vector<Tensor> levels = pyramid(images);
  for (size_t l = 0; l < levels.size(); ++l) {
    std::vector<Tensor> maps = class_tower_(levels[l]), box_maps = box_tower_(levels[l]);
    logits.push_back(class_head_(maps.back()));
    boxes.push_back(decoded(box_head_(box_maps.back()), config_.anchor));
    maps.insert(maps.end(), box_maps.begin(), box_maps.end());
    features.push_back(cat(maps, 1));
    int64_t h = levels[l].size(2), w = levels[l].size(3);
    Tensor x = expand(arange(w, f32), {h, w}), y = expand(unsqueeze(arange(h, f32), 1), {h, w});
    centres.push_back((reshape(stack({x, y}, -1), {h * w, 2}) + 0.5) * strides_[l]);
    scale.push_back(full({h * w, 1}, strides_[l]));
    out.per_level.push_back(h * w);
    out.strides.insert(out.strides.end(), static_cast<size_t>(h * w), strides_[l]);
  }
  if (config_.alignment) boxes = alignment_(features, boxes, strides_);
  Tensor stride = plumb::to(cat(scale), images.dtype());
  out.logits = cells_of(logits);
  out.probabilities = sigmoid(out.logits);
  out.boxes = cells_of(boxes) * stride;
  out.centres = plumb::to(cat(centres), images.dtype());
  Tensor half = stride * (config_.anchor / 2);
  out.anchors = cat({out.centres - half, out.centres + half}, 1);
  return out;
}

Tensor focal_loss_of_probabilities(const Tensor& p, const Tensor& target, const Tensor& mask, double alpha, double gamma) {
  if (p.shape() != target.shape())
    throw ShapeError("focal_loss: probabilities " + to_string(p.shape()) + " and targets " + to_string(target.shape()) + " differ");
  Tensor t = to(target, p.dtype()), other = 1 - t;
  Tensor cross = log(clamp_min(p, 1e-12)) * t + log(clamp_min(1 - p, 1e-12)) * other;
  Tensor loss = -cross * (t * alpha + other * (1 - alpha)) * pow((1 - p) * t + p * other, gamma);
  return sum(mask.defined() ? loss * to(mask, p.dtype()) : loss);
}

DenseLoss dense_loss(const DenseOutput& out, const Objects& truth, const Assigner& assign, double height, double width) {
  int64_t images = out.probabilities.size(0), cells = out.probabilities.size(1), classes = out.probabilities.size(2);
  detection::check_objects("dense_loss", truth, classes, height, width);
  if (truth.images() != images)
    throw ShapeError(fmt::format("dense_loss: objects of {} images for predictions of {}", truth.images(), images));
  std::vector<int64_t> kind = to_vector<int64_t>(truth.classes), of_cell;
  std::vector<float> box = to_vector<float>(truth.boxes), wanted, target(static_cast<size_t>(images * cells * classes)),
                     counts(static_cast<size_t>(images * cells), 1.0f);
  std::vector<double> weight;
  auto padded = static_cast<size_t>(truth.classes.size(1));
  Tensor probabilities = out.probabilities.detach(), boxes = out.boxes.detach();
  for (int64_t b = 0; b < images; ++b) {
    CellsAndObjects c{select(probabilities, 0, b), select(boxes, 0, b), out.anchors, out.centres, out.strides, out.per_level, {}, {}};
    std::vector<float> mine;
    for (size_t k = 0; k < padded; ++k) {
      size_t at = static_cast<size_t>(b) * padded + k;
      if (kind[at] < 0) continue;
      c.labels.push_back(kind[at]);
      mine.insert(mine.end(), box.begin() + static_cast<int64_t>(4 * at), box.begin() + static_cast<int64_t>(4 * at + 4));
    }
    c.objects = from_vector(mine, {static_cast<int64_t>(c.labels.size()), 4});
    Assignment a = assign(c);
    for (size_t i = 0; i < a.object.size(); ++i) {
      int64_t cell = b * cells + static_cast<int64_t>(i);
      if (a.object[i] == Assignment::kIgnored) counts[static_cast<size_t>(cell)] = 0;
      if (a.object[i] < 0) continue;
      auto g = static_cast<size_t>(a.object[i]);
      target[static_cast<size_t>(cell * classes + c.labels[g])] = 1;
      of_cell.push_back(cell);
      weight.push_back(a.weight[i]);
      wanted.insert(wanted.end(), mine.begin() + static_cast<int64_t>(4 * g), mine.begin() + static_cast<int64_t>(4 * g + 4));
    }
  }
  DenseLoss loss;
  loss.positives = static_cast<int64_t>(of_cell.size());
  double total = 0;
  for (double w : weight) total += w;
  loss.normaliser = std::max(1.0, total);
  Tensor t = from_vector(target, out.probabilities.shape()), mask = from_vector(counts, {images, cells, 1});
  loss.classes = focal_loss_of_probabilities(out.probabilities, t, mask) / loss.normaliser;
  Tensor chosen = index_select(flatten(out.boxes, 0, 1), 0, from_vector(of_cell));
  Tensor objects = to(from_vector(wanted, {loss.positives, 4}), chosen.dtype()), tau = to(from_vector(weight), chosen.dtype());
  loss.boxes = sum(tau * (1 - detection::generalized_box_iou(chosen, objects))) * (2 / loss.normaliser);
  loss.total = loss.classes + loss.boxes;
  return loss;
}

namespace {

// The best per_level (cell, class) pairs of each level above the least score.
std::vector<int64_t> best_pairs(const std::vector<float>& score, const std::vector<int64_t>& per_level, int64_t classes,
                                const InferenceOptions& o) {
  std::vector<int64_t> all;
  int64_t first = 0;
  for (int64_t count : per_level) {
    std::vector<int64_t> level;
    for (int64_t i = first * classes; i < (first + count) * classes; ++i)
      if (score[static_cast<size_t>(i)] > o.least) level.push_back(i);
    std::ranges::stable_sort(level, [&](int64_t a, int64_t b) { return score[static_cast<size_t>(a)] > score[static_cast<size_t>(b)]; });
    if (static_cast<int64_t>(level.size()) > o.per_level) level.resize(static_cast<size_t>(o.per_level));
    all.insert(all.end(), level.begin(), level.end());
    first += count;
  }
  return all;
}

}  // namespace

std::vector<Found> found_boxes(const DenseOutput& out, double height, double width, const InferenceOptions& o) {
  NoGrad off;
  int64_t classes = out.probabilities.size(2);
  std::vector<Found> all;
  for (int64_t b = 0; b < out.probabilities.size(0); ++b) {
    Tensor flat = flatten(select(out.probabilities, 0, b));
    std::vector<int64_t> pairs = best_pairs(to_vector<float>(flat), out.per_level, classes, o), cell, kind;
    for (int64_t i : pairs) cell.push_back(i / classes), kind.push_back(i % classes);
    Tensor boxes = detection::clip_boxes(index_select(select(out.boxes, 0, b), 0, from_vector(cell)), height, width);
    Tensor scores = index_select(flat, 0, from_vector(pairs)), kinds = from_vector(kind);
    Tensor kept = detection::non_maximum_suppression(boxes, scores, o.overlap, kinds);
    kept = narrow(kept, 0, 0, std::min(kept.size(0), o.most));
    all.push_back({index_select(boxes, 0, kept), index_select(scores, 0, kept), index_select(kinds, 0, kept)});
  }
  return all;
}

}  // namespace plumb::methods::consistent_teacher
