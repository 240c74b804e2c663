// DMM: targets from datamodels, and matching them.
#include "methods/continual/datamodel_matching/datamodel_matching.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::datamodel_matching {

Tensor datamodel_targets(const Tensor& logits, const DatamodelRegression& datamodels, const std::vector<int64_t>& forget,
                         double multiplier) {
  NoGrad no_grad;
  Tensor change = datamodels.predict_removal(forget);
  if (change.rank() != 2 || logits.rank() < 2 || logits.shape().slice(logits.rank() - 2, logits.rank()) != change.shape())
    throw ShapeError(
        fmt::format("datamodel_targets: logits {} for datamodels of outputs {}", to_string(logits.shape()), to_string(change.shape())));
  return logits.detach() + to(multiplier * change, logits.dtype());
}

int64_t datamodel_matching(const UnlearningModel& model, const UnlearningTask& task, const DatamodelRegression& datamodels,
                           const UnlearningOptions& options) {
  Tensor logits;
  {
    NoGrad no_grad;
    logits = model.logits(task.x);
  }
  return oracle_matching(model, task, datamodel_targets(logits, datamodels, task.forget), options);
}

}  // namespace plumb::methods::datamodel_matching
