// A pass in training mode that leaves nothing behind but statistics.
#include "models/nn/recalibrate.h"

#include "engine/autograd/grad_mode.h"
#include "models/nn/modes.h"
#include "models/nn/norm.h"
#include "ops/pointwise.h"

namespace plumb::nn {
namespace {

void forget(BatchNorm& norm) {
  if (!norm.running_mean.defined()) return;
  Tensor mean = norm.running_mean, variance = norm.running_var, count = norm.num_batches_tracked;
  fill_(mean, 0), fill_(variance, 1), fill_(count, 0);
}

}  // namespace

void recalibrate_batch_norm(Module& module, const std::function<Tensor(const Tensor&)>& forward, const std::vector<Tensor>& batches) {
  if (batches.empty()) throw ValueError("recalibrate_batch_norm: there are no batches");
  NoGrad off;
  Modes modes(module);
  module.eval();
  for (auto& [name, m] : module.named_modules())
    if (auto* norm = dynamic_cast<BatchNorm*>(m)) forget(*norm), norm->train();
  for (const Tensor& batch : batches) forward(batch);
}

}  // namespace plumb::nn
