// What the trainer of continual learning does whatever the network.
#include "methods/common/continual_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/continual_losses.h"
#include "models/nn/init.h"
#include "models/optim/transforms.h"
#include "ops/join.h"
#include "ops/random.h"

namespace plumb::methods {

Tensor competing_cross_entropy(const Tensor& logits, const ContinualExamples& batch, const TaskContext& context) {
  const ContinualStream& stream = context.stream;
  auto tasks = to_vector<int64_t>(batch.task);
  bool one_range =
      stream.scenario != Scenario::task || std::ranges::all_of(tasks, [&](int64_t t) { return static_cast<size_t>(t) == context.number; });
  if (one_range) return local_cross_entropy(logits, batch.labels, context.competing().begin, context.competing().end);
  std::vector<ClassRange> ranges;
  for (const ContinualTask& task : stream.tasks) ranges.push_back(task.classes);
  return ranged_cross_entropy(logits, batch.labels, batch.task, ranges);
}

void start_without_norms(nn::Module& model, Generator& generator) {
  NoGrad off;
  for (nn::NamedTensor& p : model.named_parameters()) {
    if (p.tensor.rank() >= 2)
      nn::init::kaiming_normal(p.tensor, p.name.starts_with("head.") ? 1 : std::sqrt(2.0), nn::init::Fan::in, generator);
    else if (p.name.ends_with("bias"))
      nn::init::zeros(p.tensor);
  }
}

namespace detail {

// Vectors in a group without weight decay, unless all are to have it.
template <typename Options>
static std::vector<optim::Group<Options>> decay_groups(std::vector<Tensor> parameters, const Options& options, bool decay_vectors) {
  std::vector<optim::Group<Options>> groups{{{}, options}, {{}, options}};
  groups[1].options.weight_decay = 0;
  for (Tensor& p : parameters) groups[!decay_vectors && p.rank() < 2 ? 1 : 0].parameters.push_back(std::move(p));
  return groups;
}

std::unique_ptr<optim::Optimizer> continual_optimizer(std::vector<Tensor> parameters, const ContinualTrainOptions& o) {
  std::unique_ptr<optim::Optimizer> optimizer;
  if (o.adam)
    optimizer = std::make_unique<optim::Adam>(decay_groups(std::move(parameters), *o.adam, o.decay_vectors));
  else
    optimizer = std::make_unique<optim::SGD>(decay_groups(std::move(parameters), o.sgd, o.decay_vectors));
  if (o.clip > 0) optimizer->add_transform(optim::clip_norm(o.clip));
  return optimizer;
}

std::vector<Tensor> epoch_batches(int64_t examples, int64_t batch, Generator& order) {
  return split(randperm(examples, {.dtype = i64, .generator = &order}), batch);
}

void check(const ContinualTrainOptions& o) {
  if (o.epochs < 1 || o.batch < 1) throw ValueError(fmt::format("continual: {} epochs of batches of {}", o.epochs, o.batch));
  if (!(o.clip >= 0)) throw ValueError(fmt::format("continual: gradients cannot be clipped at {}", o.clip));
}

}  // namespace detail
}  // namespace plumb::methods
