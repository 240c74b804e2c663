// Correcting masks pixel by pixel on the host.
#include "methods/robust/adele/label_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/robust/adele/onset.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::adele {

LabelStore::LabelStore(const Tensor& labels, int64_t classes, int64_t ignore) : classes_(classes), ignore_(ignore) {
  if (labels.rank() != 3) throw ShapeError("adele: labels must be [n, H, W], they are " + to_string(labels.shape()));
  if (classes < 2) throw ValueError(fmt::format("adele: {} classes; at least 2 are needed", classes));
  for (int64_t y : to_vector<int64_t>(labels))
    if (y != ignore && (y < 0 || y >= classes))
      throw IndexError(fmt::format("adele: label {} is outside [0, {}) and not {}, which is ignored", y, classes, ignore));
  original_ = to(labels, i64);
  labels_ = clone(original_);
}

int64_t LabelStore::correct(int64_t image, const Tensor& probabilities, const std::vector<int64_t>& corrected, const CorrectionOptions& o) {
  int64_t height = labels_.size(1), width = labels_.size(2), n = height * width;
  if (image < 0 || image >= labels_.size(0)) throw IndexError(fmt::format("adele: image {} is outside [0, {})", image, labels_.size(0)));
  if (probabilities.shape() != Shape{classes_, height, width})
    throw ShapeError(fmt::format("adele: probabilities {} for {} classes and labels [{}, {}]", to_string(probabilities.shape()), classes_,
                                 height, width));
  if (!(o.tau >= 0 && o.tau <= 1)) throw ValueError(fmt::format("adele: tau must lie in [0, 1], it is {}", o.tau));
  std::vector<bool> chosen(static_cast<size_t>(classes_)), present(static_cast<size_t>(classes_));
  chosen[0] = present[0] = true;
  for (int64_t c : corrected) {
    if (c < 1 || c >= classes_) throw IndexError(fmt::format("adele: class {} to be corrected is outside [1, {})", c, classes_));
    chosen[static_cast<size_t>(c)] = true;
  }
  NoGrad no_grad;
  Tensor place = select(labels_, 0, image);
  auto label = to_vector<int64_t>(place);
  auto p = to_vector(probabilities);
  int64_t foreground = 0;
  bool occurs = false;
  for (int64_t y : label) {
    if (y == ignore_ || y == 0) continue;
    ++foreground;
    present[static_cast<size_t>(y)] = true;
    occurs = occurs || chosen[static_cast<size_t>(y)];
  }
  if (!occurs && !(o.background_images && foreground == 0)) return 0;

  std::vector<int64_t> next = label;
  int64_t changed = 0, foreground_after = 0;
  for (int64_t i = 0; i < n; ++i) {
    auto at = static_cast<size_t>(i);
    auto prob = [&](int64_t c) { return p[static_cast<size_t>(c * n + i)]; };
    int64_t best = 0, best_object = 1;
    for (int64_t c = 1; c < classes_; ++c) {
      if (prob(c) > prob(best)) best = c;
      if (prob(c) > prob(best_object)) best_object = c;
    }
    bool confident = prob(best_object) > o.tau || prob(0) > o.tau;
    bool source = label[at] != ignore_ && (o.any_source || chosen[static_cast<size_t>(label[at])]);
    if (confident && source && chosen[static_cast<size_t>(best)] && present[static_cast<size_t>(best)]) next[at] = best;
    changed += next[at] != label[at];
    foreground_after += next[at] != 0 && next[at] != ignore_;
  }
  bool wiped = 2 * foreground_after < foreground && 20 * (n - foreground_after) > 19 * n;
  if (changed == 0 || (o.protect_foreground && wiped)) return 0;
  copy_(place, from_vector(next, {height, width}));
  return changed;
}

void LabelStore::reset() { labels_ = clone(original_); }

OnsetSchedule::OnsetSchedule(int64_t classes, OnsetOptions options)
    : options_(options), history_(static_cast<size_t>(std::max<int64_t>(0, classes))), onset_(history_.size()), done_(history_.size()) {
  if (classes < 2) throw ValueError(fmt::format("adele: {} classes; at least 2 are needed", classes));
  if (options.every < 1 || options.wait < 0)
    throw ValueError(fmt::format("adele: a correction every {} entries, {} after the onset", options.every, options.wait));
  memorization_epoch({}, options.r, options.entries);  // the checks
}

void OnsetSchedule::record(const std::vector<double>& iou) {
  if (iou.size() != history_.size()) throw ValueError(fmt::format("adele: {} IoUs for {} classes", iou.size(), history_.size()));
  for (size_t c = 0; c < iou.size(); ++c) history_[c].push_back(std::isnan(iou[c]) ? 0 : iou[c]);
  ++entries_;
}

std::vector<int64_t> OnsetSchedule::due() {
  if (entries_ / options_.every != forgotten_) {
    forgotten_ = entries_ / options_.every;
    std::fill(done_.begin(), done_.end(), false);
  }
  std::vector<int64_t> now;
  for (size_t c = 1; c < history_.size(); ++c) {
    if (!onset_[c]) {
      auto at = memorization_epoch(history_[c], options_.r, options_.entries);
      if (!at || entries_ - options_.wait < *at) continue;
      onset_[c] = entries_;
    }
    if (done_[c]) continue;
    done_[c] = true;
    now.push_back(static_cast<int64_t>(c));
  }
  return now;
}

}  // namespace plumb::methods::adele
