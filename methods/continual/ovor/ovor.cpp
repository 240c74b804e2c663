// OVOR: the prompted tower, and what its two stages share.
#include "methods/continual/ovor/ovor.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::methods::ovor {
namespace {

std::shared_ptr<const transformer::VisionTransformer> frozen(const transformer::VisionTransformer& tower) {
  auto copy = std::make_shared<transformer::VisionTransformer>(tower);
  copy->requires_grad_(false);
  copy->eval();
  return copy;
}

}  // namespace

PromptedVision::PromptedVision(const transformer::VisionTransformer& tower, const PromptOptions& options, int64_t outputs)
    : prompts(options, tower.config().width), head(tower.config().width, outputs), tower_(frozen(tower)) {
  register_module("prompts", prompts);
  register_module("head", head);
  for (const PromptPlace* place : {&options.general, &options.expert})
    for (int64_t layer : place->layers)
      if (layer >= tower.config().layers)
        throw ValueError(fmt::format("ovor: a prompt for block {} of a tower of {}", layer, tower.config().layers));
}

Tensor PromptedVision::query(const Tensor& images) const {
  NoGrad off;
  return select(tower_->hidden(images), 1, 0);
}

PromptedFeatures PromptedVision::prompted(const Tensor& images, const Tensor& query_of_images) const {
  bool known = query_of_images.defined();
  if (!prompts.begun() || prompts.options().kind == PromptKind::none) return {known ? query_of_images : query(images), {}};
  Prompted chosen = prompts(known || !prompts.wants_query() ? query_of_images : query(images));
  return {select(tower_->hidden(images, chosen.prefixes), 1, 0), chosen.key_loss};
}

void OvorOptions::check() const {
  if (epochs < 1 || head_epochs < 0) throw ValueError(fmt::format("ovor: stages of {} and {} epochs", epochs, head_epochs));
  vor.check();
}

std::function<optim::Schedule(int64_t steps)> stage_one_schedule(int64_t epochs, int64_t head_epochs) {
  return [rate = task_schedule(epochs + head_epochs), epochs](int64_t steps) -> optim::Schedule {
    int64_t each = std::max<int64_t>(1, steps / epochs);
    return [rate, each](int64_t step) { return rate(step / each); };
  };
}

void stage_two(nn::Linear& head, const Tensor& features, const Tensor& labels, ClassRange classes, optim::Optimizer& optimizer,
               const OvorOptions& options, Generator& generator) {
  options.check();
  optimizer.zero_grad();  // what is not the head has no gradient from here on, and is left alone with its state
  optim::Schedule rate = task_schedule(options.epochs + options.head_epochs);
  for (int64_t e = 0; e < options.head_epochs; ++e) {
    optimizer.set_lr_scale(rate(options.epochs + e));
    vor_epoch(head, features, labels, classes, optimizer, options.vor, generator);
  }
}

}  // namespace plumb::methods::ovor
