// Two networks that choose each other's examples by small loss (Han et al., Co-teaching, NeurIPS 2018): what co-teaching and its successors
// are made of.
#pragma once
#include <array>
#include <tuple>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "engine/core/tensor.h"
#include "models/nn/module.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/loss.h"

namespace plumb::methods {

/// The places of the ⌊(1 − rate) n + 10⁻⁹⌋ smallest of losses [n], i64, smallest first; of equal ones the first. Throws ShapeError for
/// another rank, ValueError unless 0 ≤ rate < 1, or if nothing is left.
Tensor small_loss_select(const Tensor& losses, double forget_rate);

/// The share of examples to forget in `epoch` (0, 1, …): from 0 to `rate` over the first `gradual` epochs, evenly spaced with both ends;
/// then, and always with gradual = 0, `rate`. Throws ValueError unless 0 ≤ rate < 1 and gradual ≥ 0.
double forget_schedule(int64_t epoch, double rate, int64_t gradual = 0);

/// The first and the second half of rows [n, ..]. Throws ValueError for an odd n.
std::pair<Tensor, Tensor> halves(const Tensor& rows);

/// Every batch norm in evaluation mode and without gradient: its running statistics are used, its weight and bias stay. To be called after
/// each train().
void freeze_batch_norms(nn::Module& model);

struct CoTeachingOptions {
  bool halves = false;        ///< each network chooses from a half of its own and learns what the other chose from the other half; else
                              ///< both see the whole batch (the original)
  bool freeze_norms = false;  ///< batch norms keep still
};

/// Two networks, each with an optimiser of its own. Model: any module; how it makes logits is said at each step.
template <typename Model>
class CoTeachingTrainer {
 public:
  CoTeachingTrainer(const Model& first, const Model& second, CoTeachingOptions options, const optim::SgdOptions& sgd)
      : options_(options), sides_{Side(first, sgd), Side(second, sgd)} {}

  /// One step of both on inputs x [B, ..] with labels i64 [B]. judge(model, x) gives the logits by which examples are chosen, computed in
  /// evaluation mode without a graph; learn(model, x) those that are trained. Returns the two losses. Throws as small_loss_select and
  /// halves, before anything is changed.
  template <typename Judge, typename Learn>
  std::array<double, 2> step(const Tensor& x, const Tensor& labels, double forget_rate, Judge&& judge, Learn&& learn) {
    std::array<Tensor, 2> part{x, x}, truth{labels, labels}, chosen;
    if (options_.halves) {
      std::tie(part[0], part[1]) = plumb::methods::halves(x);
      std::tie(truth[0], truth[1]) = plumb::methods::halves(labels);
    }
    for (size_t s : {0, 1}) {
      NoGrad no_grad;
      sides_[s].network.eval();
      chosen[s] =
          small_loss_select(cross_entropy(judge(sides_[s].network, part[s]), truth[s], {.reduction = Reduction::none}), forget_rate);
    }
    std::array<double, 2> losses{};
    for (size_t s : {0, 1}) {
      Side& side = sides_[s];
      size_t from = 1 - s;
      side.network.train();
      if (options_.freeze_norms) freeze_batch_norms(side.network);
      Tensor logits = learn(side.network, index_select(part[from], 0, chosen[from]));
      Tensor loss = cross_entropy(logits, index_select(truth[from], 0, chosen[from]));
      side.sgd.zero_grad();
      loss.backward();
      side.sgd.step();
      losses[s] = loss.item();
    }
    return losses;
  }

  Model& network(int which) { return sides_[static_cast<size_t>(which)].network; }
  optim::SGD& optimizer(int which) { return sides_[static_cast<size_t>(which)].sgd; }

 private:
  struct Side {
    Side(const Model& from, const optim::SgdOptions& options) : network(from), sgd(network.parameters(), options) {}
    Model network;
    optim::SGD sgd;
  };
  CoTeachingOptions options_;
  std::array<Side, 2> sides_;
};

}  // namespace plumb::methods
