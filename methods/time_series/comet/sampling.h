// Batches of windows that hold several of a recording, and splits that keep a patient on one side.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::comet {

/// Windows in batches for losses of groups: those of a group in random order, the groups in random order one after another, cut into
/// batches as they stand, each mixed within itself. A fully random order would leave most windows without one of their group.
class GroupedBatches {
 public:
  /// groups i64 [n]: of each window. Throws ValueError for no windows or batch < 3 (a batch of two may have one window of each of two
  /// groups), ShapeError, DTypeError.
  GroupedBatches(const Tensor& groups, int64_t batch);
  /// One epoch: the windows' places, i64, every one once. A last batch of fewer than three goes to the one before, so that, where every
  /// group has two windows, every batch has two of one.
  std::vector<Tensor> epoch(Generator& generator) const;

 private:
  std::vector<std::vector<int64_t>> groups_;
  int64_t windows_, batch_;
};

/// Places of the windows of each part, which has all windows of as many patients as `counts` says. Patients are drawn at random, class by
/// class in turn, so that the parts are as balanced as the classes are. patients and labels i64 [n]. Throws ValueError for a patient with
/// two labels or more patients wanted than there are, ShapeError, DTypeError.
std::vector<std::vector<int64_t>> patient_split(const Tensor& patients, const Tensor& labels, const std::vector<int64_t>& counts,
                                                Generator& generator);

}  // namespace plumb::methods::comet
