// What training remembers about single examples, by their index in the data set: running averages, last values, queues of features.
// All of it is outside the graph: nothing here requires or passes a gradient. Copies share their table, as tensors do.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// A table [samples, width] of exponential averages, one row an example, zeros at the start and not bias-corrected: after k visits with a
/// constant value v a row is (1 − β^k) v. Temporal ensembling (Laine & Aila 2017), ELR, and the like.
class PerSampleEma {
 public:
  /// Throws ValueError unless samples and width are positive and 0 ≤ β ≤ 1.
  PerSampleEma(int64_t samples, int64_t width, double beta, DType dtype = f32);
  /// row_i ← β row_i + (1 − β) value_i for the rows i of index (i64 [B]), values [B, width]; returns the new rows, in a tensor of their
  /// own. Throws IndexError for an index outside the table, ValueError for one that occurs twice (which value counted last would depend on
  /// their order), ShapeError for values that do not fit. Nothing is changed then.
  Tensor update(const Tensor& index, const Tensor& values);
  /// The rows of `index`, in a tensor of their own. Throws IndexError.
  Tensor rows(const Tensor& index) const;
  /// The whole table; a handle, for checkpoints and detection.
  const Tensor& table() const { return table_; }
  /// Copies a stored table of the same shape. Throws ShapeError.
  void set_table(const Tensor& table);
  double beta() const { return beta_; }

 private:
  Tensor table_;
  double beta_;
};

/// The newest value of each example, and whether there is one: predictions of the last epoch, cached targets of a frozen teacher.
class PerSampleStore {
 public:
  PerSampleStore(int64_t samples, int64_t width, DType dtype = f32);
  /// Of an index that occurs twice the last value stays. Throws as PerSampleEma::update does.
  void put(const Tensor& index, const Tensor& values);
  /// Throws IndexError, also for an example that has no value yet.
  Tensor rows(const Tensor& index) const;
  bool has(int64_t index) const { return filled_.at(static_cast<size_t>(index)); }
  /// How many examples have a value.
  int64_t filled() const;
  const Tensor& table() const { return table_; }

 private:
  Tensor table_;
  std::vector<bool> filled_;
};

/// The newest `capacity` rows, oldest first: features, or features with labels side by side, of earlier batches (MoCo, SimMatch).
class FeatureQueue {
 public:
  /// Empty at the start. Throws ValueError unless both are positive.
  FeatureQueue(int64_t capacity, int64_t width, DType dtype = f32);
  /// Puts rows [B, width] behind the newest; the oldest make room. Throws ShapeError for another width or more rows than the capacity.
  void push(const Tensor& rows);
  /// The rows there are, [size, width], oldest first, in a tensor of their own.
  Tensor read() const;
  int64_t size() const { return size_; }
  int64_t capacity() const { return table_.size(0); }

 private:
  Tensor table_;
  int64_t start_ = 0, size_ = 0;
};

/// The mean of the last `capacity` pushed rows over ALL slots, zeros where none was pushed yet, as distribution alignment uses it.
/// Σ slots / capacity, [width].
Tensor queue_mean(const FeatureQueue& queue);

}  // namespace plumb::methods
