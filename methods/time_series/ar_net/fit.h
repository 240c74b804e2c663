// Two ways to the coefficients of an autoregression: exact least squares, and training AR-Net step by step.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "methods/time_series/ar_net/ar_net.h"

namespace plumb::methods::ar_net {

struct ArFit {
  Tensor coefficients;  ///< f64 [h, p], lag 1 first
  Tensor intercept;     ///< f64 [h]
  /// lags [B, p] → [B, h], in f64.
  Tensor operator()(const Tensor& lags) const;
};

enum class LeastSquares { qr, normal_equations };
/// The minimiser of Σ ‖y − b − w x‖², the paper's Classic-AR: lags [n, p], targets [n, h], any floating type, in f64. By Householder's QR,
/// or by Cholesky's factor of XᵀX, which costs O(p² n) too but runs at the speed of matrix products and doubles the digits that are lost.
/// Throws ShapeError for shapes that do not fit, ValueError where the columns of lags (and ones) are linearly dependent, n ≤ p included.
ArFit fit_ar_least_squares(const Tensor& lags, const Tensor& targets, LeastSquares how = LeastSquares::qr);

enum class Penalty { none, sparsity, l1, square_root };
enum class Ramp { linear, quadratic };

/// The defaults are the released code's first version: Adam, the learning rate × 0.9 an epoch, λ growing over the first ten epochs, the
/// very first without it.
struct ArTraining {
  int64_t epochs = 10, batch = 128;
  double lr = 2e-4;
  double decay = 0.9;      ///< of the learning rate, an epoch
  bool one_cycle = false;  ///< a cycle in its place: up from lr / 25 over a quarter of the steps, then down to lr / 10⁴
  bool huber = false;      ///< the Huber loss with δ = 1 in place of the squared error
  Penalty penalty = Penalty::none;
  double lambda = 0;         ///< its weight in full: ar_lambda(s, c)
  Ramp ramp = Ramp::linear;  ///< how the weight grows: straight, from epoch to epoch; or quadratic_ramp within the first half
  double ramp_epochs = 10;   ///< of Ramp::linear
  SparsityForm form = {};
  std::function<void(int64_t epoch)> each_epoch = {};  ///< after epoch 1, 2, …
};
/// The released code's second version, but for the highest learning rate, which it looks for by itself: 20 epochs of batches of 32, one
/// cycle, Huber's loss, c1 = c2 = 2, a quadratic ramp.
ArTraining second_version(double lr);

/// Minimises mean (ŷ − y)² + λ R(w) from where the network is, in batches in random order; the last one of an epoch may be smaller. Lags
/// and targets are in the network's type. Throws ShapeError for shapes that do not fit, ValueError for no rows or a setting out of range.
void train_ar_net(ArNet& net, const Tensor& lags, const Tensor& targets, const ArTraining& training, Generator& generator);

/// The regulariser that `training` names, of the network's weight; undefined for Penalty::none.
Tensor penalty_of(const ArNet& net, const ArTraining& training);

}  // namespace plumb::methods::ar_net
