// Many checkpoints of one run, and their linear combinations: averages of weights of every kind.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::optim {

/// Which steps are kept: those from `first` on, every `interval`-th; of more than `most` the newest.
struct BankWindow {
  int64_t first = 0, interval = 1, most = 0;  ///< most = 0: all
  void check() const;
};

/// Weights of one run in the order of time, each a row of all parameters in f32. Buffers (running statistics) are not part of it: models
/// with group or layer norm have none; others measure theirs anew after combining. Of low-rank adapters give it the changes up · down, not
/// the factors, whose combination is another matrix.
class CheckpointBank {
 public:
  explicit CheckpointBank(BankWindow window = {});

  /// Keeps the parameters if the window wants this step; says whether. Throws ShapeError if they are not those of the rows before.
  bool offer(int64_t step, const std::vector<Tensor>& parameters);
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  int64_t parameters() const { return rows_.empty() ? 0 : rows_.front().numel(); }
  /// [size(), parameters()]: θ_1 … θ_K.
  Tensor matrix() const;

  /// Σ_i a_i θ_i, in f64 and rounded once, as θ_p + Σ_i a_i (θ_i − θ_p), p the place of the largest |a|: equal rows give themselves and
  /// one-hot coefficients a row, bit for bit. Throws ValueError for another number of coefficients, fewer than two rows, or, unless
  /// `any_sum`, a sum that is not 1 to 1e-6.
  Tensor combined(const std::vector<double>& coefficients, bool any_sum = false) const;
  /// The same, written into tensors of the shapes that were kept. Throws ShapeError for others.
  void combine(const std::vector<double>& coefficients, const std::vector<Tensor>& into, bool any_sum = false) const;

 private:
  BankWindow window_;
  std::vector<Tensor> rows_;
};

/// What an average that starts as θ_1 and moves by θ̄ ← g θ̄ + (1 − g) θ_i gives to each of K checkpoints: g^(K−1), then (1 − g) g^(K−i). A
/// decay m for each step of training is g = m^interval. Throws ValueError unless K ≥ 2 and 0 < g < 1.
std::vector<double> ema_coefficients(int64_t count, double decay);

}  // namespace plumb::optim
