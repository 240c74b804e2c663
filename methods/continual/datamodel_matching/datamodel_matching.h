// DMM: Attribute-to-Delete: Machine Unlearning via Datamodel Matching (Georgiev, Rinberg, Park, Garg, Ilyas, Madry & Neel, ICLR 2025,
// arXiv 2410.23232). Data attribution predicts what a model retrained without the forget set would answer; the model is fine-tuned to
// answer that.
//
//   once:    β from m models trained on random subsets (methods/common/datamodel.h)
//   forget:  h(x) = f_x(θ0) − Σ_{i ∈ F} β_i(x);     min_θ mean over F and a sample R' of R of ‖f_x(θ) − h(x)‖²
#pragma once
#include "methods/common/datamodel.h"
#include "methods/common/unlearning.h"

namespace plumb::methods::datamodel_matching {

/// h = f(θ0) + multiplier · (datamodels' change when F is removed): logits [.., q, C] of the original model, datamodels of outputs [q, C],
/// of the same points. Outside the graph, in the logits' type. It is also DM-Direct (algorithm C.2), an answer without fine-tuning that
/// needs β for each query. F may be empty here: then h = f(θ0). Throws ShapeError where logits and datamodels are of other points; else as
/// DatamodelRegression::predict_removal.
Tensor datamodel_targets(const Tensor& logits, const DatamodelRegression& datamodels, const std::vector<int64_t>& forget,
                         double multiplier = 1);

/// Algorithm C.3, in place: targets of the model as it is now, then oracle_matching with them. `datamodels` are of outputs [n, C], the
/// logits of the task's n examples in their order. Returns the cost, as the functions of methods/common/unlearning.h do; that of the
/// datamodels, which serve every forget set, is not in it.
int64_t datamodel_matching(const UnlearningModel& model, const UnlearningTask& task, const DatamodelRegression& datamodels,
                           const UnlearningOptions& options);

}  // namespace plumb::methods::datamodel_matching
