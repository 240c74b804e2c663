// Assignments of cells to objects.
#include "methods/semi_supervised/consistent_teacher/assignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "models/detection/boxes.h"
#include "ops/shape.h"

namespace plumb::methods::consistent_teacher {
namespace {

struct Matrix {
  size_t rows, columns;
  std::vector<double> v;
  double& operator()(size_t r, size_t c) { return v[r * columns + c]; }
  double operator()(size_t r, size_t c) const { return v[r * columns + c]; }
};

Matrix overlaps(const Tensor& boxes, const Tensor& objects) {
  NoGrad off;
  return {static_cast<size_t>(boxes.size(0)), static_cast<size_t>(objects.size(0)),
          to_vector(detection::pairwise_box_iou(to(boxes.detach(), f64), to(objects.detach(), f64)))};
}

// Middles and sides as plain numbers.
struct Places {
  std::vector<double> centre, object;
  explicit Places(const CellsAndObjects& c) : centre(to_vector(c.centres)), object(to_vector(c.objects)) {}
  bool inside(size_t cell, size_t g) const {
    double x = centre[2 * cell], y = centre[2 * cell + 1];
    return x > object[4 * g] && x < object[4 * g + 2] && y > object[4 * g + 1] && y < object[4 * g + 3];
  }
  double distance(size_t cell, size_t g) const {
    return std::hypot(centre[2 * cell] - (object[4 * g] + object[4 * g + 2]) / 2,
                      centre[2 * cell + 1] - (object[4 * g + 1] + object[4 * g + 3]) / 2);
  }
};

CellCost cost_of(const std::vector<double>& p, size_t classes, size_t cell, int64_t label, double iou, double distance, double stride,
                 const SoftAssignOptions& o) {
  CellCost cost{0, -std::log(iou + 1e-7), 0.001 * std::pow(10.0, distance / stride)};
  for (size_t k = 0; k < classes; ++k) {
    double q = std::clamp(p[cell * classes + k], 1e-12, 1 - 1e-12);
    bool own = static_cast<int64_t>(k) == label;
    double missing = own ? 1 - q : q;
    cost.focal += -std::log(own ? q : 1 - q) * (own ? o.alpha : 1 - o.alpha) * std::pow(missing, o.gamma);
  }
  return cost;
}

Assignment all_background(size_t cells) { return {std::vector<int64_t>(cells, Assignment::kBackground), std::vector<double>(cells, 0.0)}; }

Assignment with_unit_weights(std::vector<int64_t> object) {
  Assignment a{std::move(object), {}};
  for (int64_t g : a.object) a.weight.push_back(g >= 0 ? 1.0 : 0.0);
  return a;
}

int64_t takers(const Matrix& iou, const std::vector<size_t>& candidates, size_t g, int64_t topk) {
  std::vector<double> column;
  for (size_t i : candidates) column.push_back(iou(i, g));
  std::ranges::sort(column, std::greater<>());
  auto end = column.begin() + std::min<int64_t>(topk, static_cast<int64_t>(column.size()));
  auto k = static_cast<int64_t>(std::floor(std::accumulate(column.begin(), end, 0.0)));
  return std::clamp<int64_t>(k, 1, static_cast<int64_t>(candidates.size()));
}

// The object of least cost in a row.
size_t cheapest(const Matrix& cost, size_t cell) {
  size_t best = 0;
  for (size_t g = 1; g < cost.columns; ++g)
    if (cost(cell, g) < cost(cell, best)) best = g;
  return best;
}

}  // namespace

double Assignment::weights() const { return std::accumulate(weight.begin(), weight.end(), 0.0); }

void CellsAndObjects::check(const char* op) const {
  int64_t n = probabilities.rank() == 2 ? probabilities.size(0) : -1, g = static_cast<int64_t>(labels.size());
  bool fits = n >= 0 && boxes.shape() == Shape{n, 4} && anchors.shape() == Shape{n, 4} && centres.shape() == Shape{n, 2} &&
              static_cast<int64_t>(strides.size()) == n && objects.shape() == Shape{g, 4} &&
              std::accumulate(per_level.begin(), per_level.end(), int64_t{0}) == n;
  if (!fits)
    throw ShapeError(
        fmt::format("{}: probabilities {}, boxes {}, anchors {}, centres {} and {} strides of cells, objects {} and {} labels do not fit",
                    op, to_string(probabilities.shape()), to_string(boxes.shape()), to_string(anchors.shape()), to_string(centres.shape()),
                    strides.size(), to_string(objects.shape()), g));
  for (int64_t label : labels)
    if (label < 0 || label >= probabilities.size(1))
      throw IndexError(fmt::format("{}: label {} is outside [0, {})", op, label, probabilities.size(1)));
  std::vector<double> v = to_vector(objects);
  for (size_t i = 0; i < v.size(); i += 4)
    if (!(v[i + 2] > v[i] && v[i + 3] > v[i + 1]))
      throw ValueError(fmt::format("{}: box [{:g}, {:g}, {:g}, {:g}] has no width or height", op, v[i], v[i + 1], v[i + 2], v[i + 3]));
}

CellCost cell_cost(const CellsAndObjects& c, int64_t cell, int64_t object, const SoftAssignOptions& o) {
  c.check("cell_cost");
  auto i = static_cast<size_t>(cell), g = static_cast<size_t>(object);
  return cost_of(to_vector(c.probabilities), static_cast<size_t>(c.probabilities.size(1)), i, c.labels.at(g),
                 overlaps(c.boxes, c.objects)(i, g), Places(c).distance(i, g), c.strides.at(i), o);
}

Assignment dynamic_soft_assign(const CellsAndObjects& c, const SoftAssignOptions& o) {
  c.check("dynamic_soft_assign");
  if (o.topk < 1) throw ValueError(fmt::format("dynamic_soft_assign: topk must be at least 1, it is {}", o.topk));
  size_t cells = c.strides.size(), objects = c.labels.size();
  Assignment a = all_background(cells);
  Places places(c);
  std::vector<size_t> candidates;
  for (size_t i = 0; i < cells; ++i)
    for (size_t g = 0; g < objects; ++g)
      if (places.inside(i, g)) {
        candidates.push_back(i);
        break;
      }
  if (candidates.empty()) return a;
  Matrix iou = overlaps(c.boxes, c.objects), cost{cells, objects, std::vector<double>(cells * objects)};
  std::vector<double> p = to_vector(c.probabilities);
  auto classes = static_cast<size_t>(c.probabilities.size(1));
  for (size_t i : candidates)
    for (size_t g = 0; g < objects; ++g)
      cost(i, g) = cost_of(p, classes, i, c.labels[g], iou(i, g), places.distance(i, g), c.strides[i], o).total(o.iou_weight);
  std::vector<int> taken(cells);
  for (size_t g = 0; g < objects; ++g) {
    std::vector<size_t> order = candidates;
    std::ranges::stable_sort(order, [&](size_t x, size_t y) { return cost(x, g) < cost(y, g); });
    order.resize(static_cast<size_t>(takers(iou, candidates, g, o.topk)));
    for (size_t i : order) {
      if (taken[i]++ == 0)
        a.object[i] = static_cast<int64_t>(g);
      else
        a.object[i] = static_cast<int64_t>(cheapest(cost, i));
    }
  }
  std::vector<double> best(objects);
  for (size_t i = 0; i < cells; ++i)
    if (a.object[i] >= 0)
      best[static_cast<size_t>(a.object[i])] = std::max(best[static_cast<size_t>(a.object[i])], iou(i, static_cast<size_t>(a.object[i])));
  for (size_t i = 0; i < cells; ++i)
    if (a.object[i] >= 0) {
      auto g = static_cast<size_t>(a.object[i]);
      a.weight[i] = iou(i, g) / (best[g] + 1e-7) * best[g];
    }
  return a;
}

Assignment max_iou_assign(const CellsAndObjects& c, double positive, double negative) {
  c.check("max_iou_assign");
  if (!(negative >= 0 && negative <= positive && positive <= 1))
    throw ValueError(fmt::format("max_iou_assign: needs 0 ≤ negative ≤ positive ≤ 1, got {:g} and {:g}", negative, positive));
  size_t cells = c.strides.size(), objects = c.labels.size();
  if (objects == 0) return all_background(cells);
  Matrix iou = overlaps(c.anchors, c.objects);
  std::vector<int64_t> object(cells, Assignment::kBackground);
  for (size_t i = 0; i < cells; ++i) {
    size_t best = 0;
    for (size_t g = 1; g < objects; ++g)
      if (iou(i, g) > iou(i, best)) best = g;
    if (iou(i, best) >= positive)
      object[i] = static_cast<int64_t>(best);
    else if (iou(i, best) >= negative)
      object[i] = Assignment::kIgnored;
  }
  for (size_t g = 0; g < objects; ++g) {
    double best = 0;
    for (size_t i = 0; i < cells; ++i) best = std::max(best, iou(i, g));
    for (size_t i = 0; i < cells && best > 0; ++i)
      if (iou(i, g) == best) object[i] = static_cast<int64_t>(g);
  }
  return with_unit_weights(std::move(object));
}

Assignment atss_assign(const CellsAndObjects& c, int64_t topk) {
  c.check("atss_assign");
  if (topk < 1) throw ValueError(fmt::format("atss_assign: topk must be at least 1, it is {}", topk));
  size_t cells = c.strides.size(), objects = c.labels.size();
  if (objects == 0) return all_background(cells);
  Matrix iou = overlaps(c.anchors, c.objects);
  Places places(c);
  std::vector<int64_t> object(cells, Assignment::kBackground);
  for (size_t g = 0; g < objects; ++g) {
    std::vector<size_t> near;
    size_t first = 0;
    for (int64_t count : c.per_level) {
      std::vector<size_t> level(static_cast<size_t>(count));
      std::iota(level.begin(), level.end(), first);
      first += level.size();
      std::ranges::stable_sort(level, [&](size_t x, size_t y) { return places.distance(x, g) < places.distance(y, g); });
      level.resize(std::min(level.size(), static_cast<size_t>(topk)));
      near.insert(near.end(), level.begin(), level.end());
    }
    double mean = 0, square = 0;
    for (size_t i : near) mean += iou(i, g) / static_cast<double>(near.size());
    for (size_t i : near) square += (iou(i, g) - mean) * (iou(i, g) - mean);
    double least = mean + std::sqrt(square / std::max(1.0, static_cast<double>(near.size()) - 1));
    for (size_t i : near)
      if (iou(i, g) >= least && places.inside(i, g) && (object[i] < 0 || iou(i, g) > iou(i, static_cast<size_t>(object[i]))))
        object[i] = static_cast<int64_t>(g);
  }
  return with_unit_weights(std::move(object));
}

}  // namespace plumb::methods::consistent_teacher
