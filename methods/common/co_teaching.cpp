// The parts of co-teaching that know nothing of networks.
#include "methods/common/co_teaching.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/core/error.h"
#include "models/nn/norm.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods {
namespace {

void check_rate(double rate) {
  if (!(rate >= 0 && rate < 1)) throw ValueError(fmt::format("co_teaching: the share to forget must lie in [0, 1), it is {}", rate));
}

}  // namespace

Tensor small_loss_select(const Tensor& losses, double forget_rate) {
  if (losses.rank() != 1) throw ShapeError("co_teaching: losses must be [n], they are " + to_string(losses.shape()));
  check_rate(forget_rate);
  int64_t n = losses.size(0);
  auto kept = static_cast<int64_t>(std::floor((1 - forget_rate) * static_cast<double>(n) + 1e-9));
  if (kept < 1) throw ValueError(fmt::format("co_teaching: of {} examples none is left after forgetting a share of {}", n, forget_rate));
  return narrow(argsort(losses.detach(), 0), 0, 0, kept);
}

double forget_schedule(int64_t epoch, double rate, int64_t gradual) {
  check_rate(rate);
  if (gradual < 0) throw ValueError(fmt::format("co_teaching: the share rises over {} epochs", gradual));
  if (epoch >= gradual) return rate;
  return gradual == 1 ? 0 : rate * static_cast<double>(epoch) / static_cast<double>(gradual - 1);
}

std::pair<Tensor, Tensor> halves(const Tensor& rows) {
  int64_t n = rows.size(0);
  if (n % 2 != 0) throw ValueError(fmt::format("co_teaching: a batch of {} examples has no equal halves", n));
  return {narrow(rows, 0, 0, n / 2), narrow(rows, 0, n / 2, n / 2)};
}

void freeze_batch_norms(nn::Module& model) {
  model.apply([](nn::Module& part) {
    if (auto* norm = dynamic_cast<nn::BatchNorm*>(&part)) {
      norm->eval();
      norm->requires_grad_(false);
    }
  });
}

}  // namespace plumb::methods
