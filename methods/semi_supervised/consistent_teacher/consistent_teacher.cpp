// Views, pseudo-boxes, and the step.
#include "methods/semi_supervised/consistent_teacher/consistent_teacher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/augment/rand_augment.h"
#include "models/detection/boxes.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::consistent_teacher {

using augment::Change;
using detection::Found;
using detection::Objects;

namespace {

double between(double low, double high, Generator& g) { return low + (high - low) * g.next_double(); }

struct Sides {
  double height, width;
};
Sides sides_of(const Tensor& images) {
  if (images.rank() != 4) throw ShapeError("consistent_teacher: images are to be [B, C, H, W], got " + to_string(images.shape()));
  return {static_cast<double>(images.size(2)), static_cast<double>(images.size(3))};
}

BoxTransform flip_and_zoom(const Sides& s, const ViewOptions& o, Generator& g) {
  BoxTransform map = g.next_double() < o.flip ? BoxTransform::mirrored(s.width) : BoxTransform();
  return map.then(BoxTransform::scaled(between(1 - o.zoom, 1 + o.zoom, g), s.height, s.width));
}

BoxTransform one_warp(const Sides& s, Generator& g) {
  switch (g.next_below(3)) {
    case 0: {
      double dx = between(-0.1, 0.1, g) * s.width;
      return BoxTransform::moved(dx, between(-0.1, 0.1, g) * s.height);
    }
    case 1:
      return BoxTransform::turned(between(-30, 30, g), s.height, s.width);
    default: {
      double slant = between(-30, 30, g);
      return g.next_double() < 0.5 ? BoxTransform::slanted(slant, 0, s.height, s.width)
                                   : BoxTransform::slanted(0, slant, s.height, s.width);
    }
  }
}

Tensor one_colour(const Tensor& images, Generator& g) {
  static const augment::RandAugmentPolicy policy{.changes = {{Change::identity},
                                                             {Change::auto_contrast},
                                                             {Change::equalize},
                                                             {Change::brightness, 0.6, 1.4},
                                                             {Change::contrast, 0.6, 1.4},
                                                             {Change::sharpness, 0.1, 1.9},
                                                             {Change::posterize, 4, 8},
                                                             {Change::solarize, 192, 256}},
                                                 .n = 1};
  return augment::rand_augment(images, policy, g);
}

// Squares of up to a fifth of the side set to the middle grey.
Tensor erased(const Tensor& images, Generator& g) {
  Tensor out = clone(images);
  int64_t h = images.size(2), w = images.size(3);
  for (int64_t b = 0; b < images.size(0); ++b) {
    auto count = 1 + g.next_below(5);
    for (uint64_t k = 0; k < count; ++k) {
      auto side = static_cast<int64_t>(between(0.05, 0.2, g) * static_cast<double>(std::min(h, w)));
      auto top = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(h - side + 1))),
           left = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(w - side + 1)));
      Tensor patch = narrow(narrow(select(out, 0, b), 1, top, side), 2, left, side);
      fill_(patch, 0.5);
    }
  }
  return out;
}

template <typename Draw>
View viewed(const Tensor& images, Draw&& draw) {
  View v;
  for (int64_t b = 0; b < images.size(0); ++b) v.maps.push_back(draw());
  v.images = warp_images(images, v.maps);
  return v;
}

}  // namespace

View weak_view(const Tensor& images, Generator& g, const ViewOptions& o) {
  NoGrad off;
  Sides s = sides_of(images);
  return viewed(images, [&] { return flip_and_zoom(s, o, g); });
}

View labelled_view(const Tensor& images, Generator& g, const ViewOptions& o) {
  NoGrad off;
  View v = weak_view(images, g, o);
  v.images = one_colour(clamp(v.images, 0, 1), g);
  return v;
}

View strong_view(const Tensor& images, Generator& g, const ViewOptions& o) {
  NoGrad off;
  Sides s = sides_of(images);
  View v = viewed(images, [&] {
    BoxTransform first = flip_and_zoom(s, o, g);
    return first.then(one_warp(s, g));
  });
  v.images = erased(one_colour(clamp(v.images, 0, 1), g), g);
  return v;
}

Objects objects_in_view(const Objects& objects, const std::vector<BoxTransform>& maps, double height, double width, double least) {
  if (objects.images() != static_cast<int64_t>(maps.size()))
    throw ShapeError(fmt::format("objects_in_view: {} maps for objects of {} images", maps.size(), objects.images()));
  std::vector<float> boxes;
  std::vector<int64_t> kind = to_vector<int64_t>(objects.classes);
  for (size_t b = 0; b < maps.size(); ++b) {
    std::vector<float> mapped = to_vector<float>(maps[b].boxes(select(objects.boxes, 0, static_cast<int64_t>(b)), height, width));
    boxes.insert(boxes.end(), mapped.begin(), mapped.end());
  }
  for (size_t i = 0; i < kind.size(); ++i)
    if (boxes[4 * i + 2] - boxes[4 * i] < least || boxes[4 * i + 3] - boxes[4 * i + 1] < least) kind[i] = -1;
  return {from_vector(boxes, objects.boxes.shape()), from_vector(kind, objects.classes.shape())};
}

double teacher_momentum(int64_t step, double most) { return std::min(most, 1 - 1 / (static_cast<double>(step) + 1)); }

namespace {

Found those(const Found& f, const std::vector<int64_t>& kept) {
  Tensor index = from_vector(kept);
  return {index_select(f.boxes, 0, index), index_select(f.scores, 0, index), index_select(f.classes, 0, index)};
}

// Places of the scores for which keep(score, class) holds.
template <typename Keep>
Found filtered(const Found& f, Keep&& keep) {
  std::vector<double> score = to_vector(f.scores);
  std::vector<int64_t> kind = to_vector<int64_t>(f.classes), kept;
  for (size_t i = 0; i < score.size(); ++i)
    if (keep(score[i], kind[i])) kept.push_back(static_cast<int64_t>(i));
  return those(f, kept);
}

}  // namespace

std::vector<Found> believed_boxes(const std::vector<Found>& found, ScoreThreshold& thresholds, const PseudoBoxOptions& o) {
  NoGrad off;
  std::vector<Found> kept;
  if (o.fixed_threshold) {
    for (const Found& f : found) kept.push_back(filtered(f, [&](double score, int64_t) { return score > *o.fixed_threshold; }));
    return kept;
  }
  std::vector<double> scores;
  std::vector<int64_t> kinds;
  for (const Found& f : found) {
    double bound = expected_count_bound(to_vector(f.scores));
    kept.push_back(filtered(f, [&](double score, int64_t) { return score > bound; }));
    for (double s : to_vector(kept.back().scores)) scores.push_back(s);
    for (int64_t c : to_vector<int64_t>(kept.back().classes)) kinds.push_back(c);
  }
  std::vector<double> least = thresholds.update(kinds, scores);
  for (Found& f : kept) f = filtered(f, [&](double score, int64_t c) { return score > least[static_cast<size_t>(c)]; });
  return kept;
}

Objects pseudo_objects(const std::vector<Found>& boxes, const std::vector<BoxTransform>& from, const std::vector<BoxTransform>& to,
                       double height, double width) {
  if (boxes.size() != from.size() || boxes.size() != to.size())
    throw ShapeError(fmt::format("pseudo_objects: boxes of {} images, {} and {} maps", boxes.size(), from.size(), to.size()));
  int64_t padded = 0;
  for (const Found& f : boxes) padded = std::max(padded, f.scores.numel());
  auto width_of = static_cast<size_t>(padded);
  std::vector<float> corners(boxes.size() * width_of * 4);
  std::vector<int64_t> kind(boxes.size() * width_of, -1);
  std::vector<BoxTransform> maps;
  for (size_t b = 0; b < boxes.size(); ++b) {
    maps.push_back(from[b].inverse().then(to[b]));
    std::vector<float> mine = to_vector<float>(boxes[b].boxes);
    std::vector<int64_t> classes = to_vector<int64_t>(boxes[b].classes);
    std::ranges::copy(mine, corners.begin() + static_cast<int64_t>(b * width_of * 4));
    std::ranges::copy(classes, kind.begin() + static_cast<int64_t>(b * width_of));
  }
  auto images = static_cast<int64_t>(boxes.size());
  return objects_in_view({from_vector(corners, {images, padded, 4}), from_vector(kind, {images, padded})}, maps, height, width);
}

StepReport ssod_step(const DenseDetector& student, optim::Ema<DenseDetector>& teacher, const View& labelled, const Objects& truth,
                     const View& weak, const View& strong, ScoreThreshold& thresholds, const StepOptions& o, int64_t step) {
  StepReport r;
  Sides s = sides_of(labelled.images);
  if (weak.images.defined() &&
      (weak.images.shape() != strong.images.shape() || sides_of(weak.images).height != s.height || sides_of(weak.images).width != s.width))
    throw ShapeError("ssod_step: labelled images " + to_string(labelled.images.shape()) + ", weak " + to_string(weak.images.shape()) +
                     " and strong views " + to_string(strong.images.shape()) + " differ");
  if (weak.images.defined() && weak.images.size(0) == 0) throw ValueError("ssod_step: there are no unlabelled images");
  teacher.update(student, teacher_momentum(step, o.momentum));
  DenseLoss supervised = dense_loss(student(labelled.images), truth, o.assign, s.height, s.width);
  r.loss = supervised.total;
  r.supervised = supervised.total.item();
  if (!weak.images.defined()) return r;
  std::vector<Found> believed;
  {
    NoGrad off;
    believed = believed_boxes(found_boxes(teacher.model(weak.images), s.height, s.width, o.pseudo.inference), thresholds, o.pseudo);
  }
  auto images = static_cast<double>(believed.size());
  for (const Found& f : believed) {
    r.boxes += static_cast<double>(f.scores.numel()) / images;
    r.images_with_boxes += (f.scores.numel() > 0) / images;
  }
  if (step < o.warmup) return r;
  Objects pseudo = pseudo_objects(believed, weak.maps, strong.maps, s.height, s.width);
  DenseLoss unsupervised = dense_loss(student(strong.images), pseudo, o.assign, s.height, s.width);
  r.unsupervised = unsupervised.total.item();
  r.loss = r.loss + unsupervised.total * (o.unsupervised_weight * (r.images_with_boxes < 0.5 ? o.background_weight : 1.0));
  return r;
}

void Inconsistency::add(const Found& before, const Found& after, double least) {
  auto sure = [&](double score, int64_t) { return score > least; };
  Found a = filtered(before, sure), b = filtered(after, sure);
  auto rows = static_cast<size_t>(a.scores.numel()), columns = static_cast<size_t>(b.scores.numel());
  std::vector<double> iou = to_vector(detection::pairwise_box_iou(to(a.boxes, f64), to(b.boxes, f64)));
  std::vector<int64_t> kind = to_vector<int64_t>(a.classes), other = to_vector<int64_t>(b.classes);
  struct Pair {
    double iou;
    size_t row, column;
  };
  std::vector<Pair> pairs;
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j)
      if (kind[i] == other[j] && iou[i * columns + j] > 0) pairs.push_back({iou[i * columns + j], i, j});
  std::ranges::stable_sort(pairs, [](const Pair& x, const Pair& y) { return x.iou > y.iou; });
  std::vector<char> row_taken(rows), column_taken(columns);
  int64_t matched = 0;
  for (const Pair& p : pairs) {
    if (row_taken[p.row] || column_taken[p.column]) continue;
    row_taken[p.row] = column_taken[p.column] = 1;
    sum += 1 - p.iou;
    ++matched;
  }
  auto alone = static_cast<int64_t>(rows + columns) - 2 * matched;
  sum += static_cast<double>(alone);
  terms += matched + alone;
}

}  // namespace plumb::methods::consistent_teacher
