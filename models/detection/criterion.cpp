// Matching and loss of detections.
#include "models/detection/criterion.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/detection/boxes.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::detection {
namespace {

void check(const Prediction& p, const Objects& truth) {
  const Shape &l = p.logits.shape(), &b = p.boxes.shape(), &t = truth.boxes.shape();
  bool fits = l.rank() == 3 && b == Shape{l[0], l[1], 4} && t.rank() == 3 && t[0] == l[0] && t[2] == 4 &&
              truth.classes.shape() == Shape{t[0], t[1]};
  if (!fits)
    throw ShapeError("detection_loss: logits " + to_string(l) + ", boxes " + to_string(b) + ", true boxes " + to_string(t) +
                     " and classes " + to_string(truth.classes.shape()) + " do not fit [B, P, classes], [B, P, 4], [B, K, 4] and [B, K]");
}

// Which columns of the padded truth are objects, image by image.
std::vector<std::vector<int64_t>> present(const Objects& truth, int64_t classes) {
  std::vector<std::vector<int64_t>> columns(static_cast<size_t>(truth.images()));
  std::vector<int64_t> c = to_vector<int64_t>(truth.classes);
  auto padded = static_cast<size_t>(truth.classes.size(1));
  for (size_t i = 0; i < c.size(); ++i) {
    if (c[i] < -1 || c[i] >= classes)
      throw IndexError("detection_loss: class " + std::to_string(c[i]) + " is outside [0, " + std::to_string(classes) +
                       "), and not −1 for no object");
    if (c[i] >= 0) columns[i / padded].push_back(static_cast<int64_t>(i % padded));
  }
  return columns;
}

// [B, P, K]: of saying each object's class.
Tensor class_cost(const Tensor& logits, const Tensor& classes, const CriterionOptions& o) {
  Tensor p = sigmoid(logits);
  Tensor said = pow(1 - p, o.gamma) * log(p + 1e-8) * -o.alpha, denied = pow(p, o.gamma) * log(1 - p + 1e-8) * -(1 - o.alpha);
  Tensor of_object = expand(unsqueeze(clamp_min(classes, 0), 1), {logits.size(0), logits.size(1), classes.size(1)});
  return gather(said - denied, 2, of_object);
}

// + 100 where a prediction's centre lies outside the object, + 10,000 where it lies outside all.
Tensor outside_cost(const Tensor& boxes, const Objects& truth) {
  Tensor c = unsqueeze(to_centres(boxes), 2), t = unsqueeze(truth.boxes, 1);
  auto at = [](const Tensor& x, int64_t i) { return select(x, -1, i); };
  Tensor inside = logical_and(logical_and(at(c, 0) > at(t, 0), at(c, 0) < at(t, 2)), logical_and(at(c, 1) > at(t, 1), at(c, 1) < at(t, 3)));
  inside = logical_and(inside, unsqueeze(truth.classes >= 0, 1));
  return to(logical_not(inside), boxes.dtype()) * 100 + to(logical_not(any(inside, {2}, true)), boxes.dtype()) * 10000;
}

}  // namespace

std::vector<Pairs> match_objects(const Prediction& p, const Objects& given, int64_t height, int64_t width, const CriterionOptions& o) {
  NoGrad off;
  check(p, given);
  std::vector<std::vector<int64_t>> columns = present(given, p.logits.size(2));
  std::vector<Pairs> pairs(columns.size());
  if (given.classes.size(1) == 0) return pairs;
  Objects truth{to(given.boxes, p.boxes.dtype()), given.classes};
  Tensor scale = image_sides(p.boxes, height, width);
  Tensor distance = sum(abs(unsqueeze(p.boxes / scale, 2) - unsqueeze(truth.boxes / scale, 1)), {3});
  Tensor cost = class_cost(to(p.logits, p.boxes.dtype()), truth.classes, o) * o.class_weight + distance * o.l1_weight -
                pairwise_generalized_box_iou(p.boxes, truth.boxes) * o.giou_weight;
  Tensor iou;
  if (!o.one_to_one) {
    cost = cost + outside_cost(p.boxes, truth);
    iou = pairwise_box_iou(p.boxes, truth.boxes);
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].empty()) continue;
    if (static_cast<int64_t>(columns[i].size()) > p.logits.size(1))
      throw ValueError("detection_loss: image " + std::to_string(i) + " has " + std::to_string(columns[i].size()) + " objects, more than " +
                       std::to_string(p.logits.size(1)) + " predictions");
    auto of_image = [&](const Tensor& x) {
      return index_select(select(x, 0, static_cast<int64_t>(i)), 1, to(from_vector(columns[i]), x.device()));
    };
    pairs[i] = o.one_to_one ? linear_assignment(of_image(cost)) : dynamic_k_assignment(of_image(cost), of_image(iou), o.top);
    for (auto& [prediction, object] : pairs[i]) object = columns[i][static_cast<size_t>(object)];
  }
  return pairs;
}

namespace {

struct Terms {
  Tensor classes, l1, giou;
};

Terms stage_terms(const Prediction& p, const Objects& truth, int64_t height, int64_t width, const CriterionOptions& o) {
  std::vector<Pairs> pairs = match_objects(p, truth, height, width, o);
  int64_t predictions = p.logits.size(1), classes = p.logits.size(2), objects = truth.classes.size(1);
  std::vector<int64_t> kind = to_vector<int64_t>(truth.classes), of_prediction, of_object;
  std::vector<double> target(static_cast<size_t>(p.logits.numel()));
  for (size_t i = 0; i < pairs.size(); ++i)
    for (auto [prediction, object] : pairs[i]) {
      of_prediction.push_back(static_cast<int64_t>(i) * predictions + prediction);
      of_object.push_back(static_cast<int64_t>(i) * objects + object);
      target[static_cast<size_t>(of_prediction.back() * classes + kind[static_cast<size_t>(of_object.back())])] = 1;
    }
  double count = std::max<double>(1, static_cast<double>(of_prediction.size()));
  Tensor targets = to(to(from_vector(target, p.logits.shape()), p.logits.dtype()), p.logits.device());
  Terms t;
  t.classes = sigmoid_focal_loss(p.logits, targets, {.gamma = o.gamma, .alpha = o.alpha, .reduction = Reduction::sum}) / count;
  auto rows = [](const Tensor& x, const std::vector<int64_t>& chosen) {
    return index_select(flatten(x, 0, 1), 0, to(from_vector(chosen), x.device()));
  };
  Tensor found = rows(p.boxes, of_prediction), wanted = rows(to(truth.boxes, p.boxes.dtype()), of_object);
  t.l1 = sum(abs((found - wanted) / image_sides(found, height, width))) / count;
  t.giou = sum(1 - generalized_box_iou(found, wanted)) / count;
  return t;
}

}  // namespace

DetectionLoss detection_loss(const std::vector<Prediction>& stages, const Objects& truth, int64_t height, int64_t width,
                             const CriterionOptions& o) {
  if (stages.empty()) throw ValueError("detection_loss: there is no prediction");
  std::vector<Tensor> classes, l1, giou;
  for (const Prediction& p : stages) {
    Terms t = stage_terms(p, truth, height, width, o);
    classes.push_back(t.classes), l1.push_back(t.l1), giou.push_back(t.giou);
  }
  DetectionLoss loss{{}, sum(stack(classes)), sum(stack(l1)), sum(stack(giou))};
  loss.total = loss.classes * o.class_weight + loss.l1 * o.l1_weight + loss.giou * o.giou_weight;
  return loss;
}

}  // namespace plumb::detection
