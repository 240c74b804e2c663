// Average precision: matching image by image, then one curve a class and threshold.
#include "models/detection/average_precision.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "models/detection/boxes.h"
#include "ops/shape.h"

namespace plumb::detection {
namespace {

double threshold(size_t i) { return 0.5 + 0.05 * static_cast<double>(i); }

// The average of the falling precision at 101 recalls; answers best first.
double averaged(const std::vector<char>& right, int64_t objects) {
  std::vector<double> precision, recall;
  int64_t found = 0;
  for (size_t i = 0; i < right.size(); ++i) {
    found += right[i];
    precision.push_back(static_cast<double>(found) / static_cast<double>(i + 1));
    recall.push_back(static_cast<double>(found) / static_cast<double>(objects));
  }
  for (size_t i = precision.size(); i > 1; --i) precision[i - 2] = std::max(precision[i - 2], precision[i - 1]);
  double total = 0;
  for (int k = 0; k <= 100; ++k) {
    auto at = std::lower_bound(recall.begin(), recall.end(), k / 100.0) - recall.begin();
    if (at < static_cast<int64_t>(precision.size())) total += precision[static_cast<size_t>(at)];
  }
  return total / 101;
}

double mean_of(const std::vector<double>& values) {
  double total = 0, count = 0;
  for (double v : values)
    if (!std::isnan(v)) total += v, ++count;
  return count > 0 ? total / count : NAN;
}

}  // namespace

AveragePrecision::AveragePrecision(int64_t classes) {
  if (classes < 1) throw ValueError("average_precision: needs at least one class, not " + std::to_string(classes));
  classes_.resize(static_cast<size_t>(classes));
}

void AveragePrecision::add(const Found& found, const Objects& truth, int64_t image) {
  NoGrad off;
  Tensor boxes = to(select(truth.boxes, 0, image), cpu),
         overlaps = to(pairwise_box_iou(to(to(found.boxes, cpu), f64), to(boxes, f64)), f64);
  std::vector<double> score = to_vector(found.scores), iou = to_vector(overlaps);
  std::vector<int64_t> kind = to_vector<int64_t>(found.classes), wanted = to_vector<int64_t>(select(truth.classes, 0, image));
  if (score.size() != kind.size() || found.boxes.size(0) != found.scores.numel())
    throw ShapeError("average_precision: boxes " + to_string(found.boxes.shape()) + ", scores " + to_string(found.scores.shape()) +
                     " and classes " + to_string(found.classes.shape()) + " do not fit [n, 4] and [n]");
  for (const auto* all : {&kind, &wanted})
    for (int64_t c : *all)
      if (c < (all == &wanted ? -1 : 0) || c >= static_cast<int64_t>(classes_.size()))
        throw IndexError("average_precision: class " + std::to_string(c) + " is outside [0, " + std::to_string(classes_.size()) + ")");
  std::vector<size_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score[a] > score[b]; });
  for (size_t c = 0; c < classes_.size(); ++c) {
    std::vector<size_t> mine;
    for (size_t i : order)
      if (kind[i] == static_cast<int64_t>(c) && mine.size() < kMostPerImage) mine.push_back(i);
    classes_[c].objects += std::count(wanted.begin(), wanted.end(), static_cast<int64_t>(c));
    size_t first = classes_[c].answers.size();
    for (size_t i : mine) classes_[c].answers.push_back({score[i], {}});
    for (size_t t = 0; t < kThresholds; ++t) {
      std::vector<char> taken(wanted.size());
      for (size_t n = 0; n < mine.size(); ++n) {
        double best = threshold(t) - 1e-10;
        size_t chosen = wanted.size();
        for (size_t g = 0; g < wanted.size(); ++g)
          if (wanted[g] == static_cast<int64_t>(c) && !taken[g] && iou[mine[n] * wanted.size() + g] >= best)
            best = iou[mine[n] * wanted.size() + g], chosen = g;
        if (chosen == wanted.size()) continue;
        taken[chosen] = 1;
        classes_[c].answers[first + n].right[t] = true;
      }
    }
  }
}

AveragePrecision::Result AveragePrecision::result() const {
  std::array<std::vector<double>, kThresholds> ap;
  for (const ClassAnswers& c : classes_) {
    std::vector<Answer> answers = c.answers;
    std::stable_sort(answers.begin(), answers.end(), [](const Answer& a, const Answer& b) { return a.score > b.score; });
    for (size_t t = 0; t < kThresholds; ++t) {
      std::vector<char> right;
      for (const Answer& a : answers) right.push_back(a.right[t]);
      ap[t].push_back(c.objects > 0 ? averaged(right, c.objects) : NAN);
    }
  }
  std::vector<double> means;
  for (const auto& of_threshold : ap) means.push_back(mean_of(of_threshold));
  return {mean_of(means), means[0], means[5], ap[0]};
}

}  // namespace plumb::detection
