// Dynamic sparse training of a stream: what tasks leave behind, and the masks of the one at hand.
#include "methods/continual/dst_cl/dst_cl.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"

namespace plumb::methods::dst_cl {
namespace {

bool is_head(const std::string& name) { return name.starts_with("head."); }
bool is_masked(const Tensor& parameter) { return parameter.rank() >= 2; }

// Everything that has no mask, under its name: handles.
StateDict unmasked(const nn::Module& model) {
  StateDict out;
  for (const auto& [name, parameter] : model.named_parameters())
    if (!is_masked(parameter)) out[name] = parameter;
  for (const auto& [name, buffer] : model.named_buffers()) out["buffer " + name] = buffer;
  return out;
}

void put_back(nn::Module& model, const StateDict& kept) {
  StateDict now = unmasked(model);
  for (const auto& [name, value] : kept) copy_data(value, now.at(name));
}

std::vector<Tensor> masked_weights(const nn::Module& model) {
  std::vector<Tensor> out;
  for (const auto& [name, parameter] : model.named_parameters())
    if (is_masked(parameter)) out.push_back(parameter);
  return out;
}

// What an optimiser remembers of one parameter; undefined where it does not.
struct Memory {
  Tensor momentum, first, second;
};
Memory memory_of(const optim::Optimizer* optimizer, const Tensor& parameter) {
  if (!optimizer) return {};
  auto all = optimizer->parameters();
  auto at = std::ranges::find_if(all, [&](const Tensor& p) { return p.same_as(parameter); });
  StateDict state = optimizer->state().tensors;
  std::string slot = std::to_string(at - all.begin()) + ".";
  auto named = [&](const char* name) {
    auto found = state.find(slot + name);
    return found == state.end() ? Tensor() : found->second;
  };
  return {named("momentum"), named("exp_avg"), named("exp_avg_sq")};
}

}  // namespace

Initial initial_named(const std::string& name) {
  if (name == "erk") return Initial::erk;
  if (name == "uniform") return Initial::uniform;
  throw ConfigError(fmt::format("dst_cl: the initial density \"{}\" is unknown; choose erk or uniform", name));
}

void DstOptions::check() const {
  if (!(density > 0 && density <= 1)) throw ValueError(fmt::format("dst_cl: the density must lie in (0, 1], it is {}", density));
  if (interval < 0) throw ValueError(fmt::format("dst_cl: {} steps between rounds", interval));
  if (!(adapt_below >= 0 && adapt_below <= 1))
    throw ValueError(fmt::format("dst_cl: adapt_below must lie in [0, 1], it is {}", adapt_below));
  sparsity::death_rate(0, 1, death, least_death);
}

std::vector<MaskedLayer> masked_layers(const nn::Module& model, ClassRange own) {
  std::vector<MaskedLayer> out;
  for (const auto& [name, parameter] : model.named_parameters())
    if (is_masked(parameter))
      out.push_back(is_head(name) ? MaskedLayer{parameter, own.begin, own.end, false} : MaskedLayer{parameter, 0, parameter.size(0), true});
  if (out.empty()) throw ValueError("dst_cl: the network has no weights that could be masked");
  return out;
}

// -- what tasks leave ---------------------------------------------------------------------------------------

TaskIsolation::TaskIsolation(const nn::Module& model) {
  NoGrad off;
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (!is_masked(parameter)) continue;
    shared_.push_back(!is_head(name));
    store_.push_back(clone(parameter.detach()));
    used_.emplace_back(zeros(parameter.shape(), boolean));
  }
}

void TaskIsolation::load_store(nn::Module& model) const {
  auto weights = masked_weights(model);
  for (size_t l = 0; l < store_.size(); ++l) copy_data(store_[l], weights[l]);
  if (!tasks_.empty()) put_back(model, tasks_.back().unmasked);
}

void TaskIsolation::load_task(nn::Module& model, size_t task) const {
  if (task >= tasks_.size()) throw ValueError(fmt::format("dst_cl: task {} was never trained; {} were", task + 1, tasks_.size()));
  NoGrad off;
  auto weights = masked_weights(model);
  for (size_t l = 0; l < store_.size(); ++l) copy_data(where(tasks_[task].masks[l].tensor(), store_[l], 0), weights[l]);
  put_back(model, tasks_[task].unmasked);
}

void TaskIsolation::merge(const nn::Module& model, const std::vector<Tensor>& masks) {
  NoGrad off;
  auto weights = masked_weights(model);
  if (masks.size() != store_.size()) throw ShapeError(fmt::format("dst_cl: {} masks for {} weights", masks.size(), store_.size()));
  Task task{{}, clone(unmasked(model))};
  for (size_t l = 0; l < masks.size(); ++l) {
    if (masks[l].shape() != store_[l].shape())
      throw ShapeError("dst_cl: a mask " + to_string(masks[l].shape()) + " for a weight " + to_string(store_[l].shape()));
    task.masks.emplace_back(masks[l]);
  }
  int64_t active = 0, reused = 0;
  for (size_t l = 0; l < masks.size(); ++l) {
    if (shared_[l]) active += task.masks[l].count(), reused += task.masks[l].overlap(used_[l]);
    store_[l] = where(masks[l], weights[l].detach(), store_[l]);
    used_[l] |= task.masks[l];
  }
  tasks_.push_back(std::move(task));
  reuse_.push_back(active > 0 ? static_cast<double>(reused) / static_cast<double>(active) : 0);
  free_shares_.push_back(free_share());
}

double TaskIsolation::free_share() const {
  int64_t used = 0, all = 0;
  for (size_t l = 0; l < used_.size(); ++l)
    if (shared_[l]) used += used_[l].count(), all += used_[l].size();
  return all > 0 ? 1 - static_cast<double>(used) / static_cast<double>(all) : 0;
}

// -- the task at hand -----------------------------------------------------------------------------------------

DynamicSparseTrainer::DynamicSparseTrainer(std::vector<MaskedLayer> layers, const TaskIsolation& isolation, const DstOptions& options,
                                           Generator& generator)
    : options_(options), generator_(generator.next_u64()) {
  std::vector<Shape> shapes;
  for (const MaskedLayer& layer : layers) shapes.push_back(layer.rows(layer.weight.detach()).shape());
  auto densities = options.initial == Initial::erk ? sparsity::erk_densities(shapes, options.density)
                                                   : sparsity::uniform_densities(shapes, options.density);
  NoGrad off;
  for (size_t l = 0; l < layers.size(); ++l) {
    Layer layer{.at = layers[l], .store = isolation.store(l)};
    layer.mask = zeros(layers[l].weight.shape(), boolean);
    layer.fired = zeros(layers[l].weight.shape(), boolean);
    if (isolation.tasks() > 0) {
      layer.used = isolation.used(l);
      layer.unused = to(logical_not(layer.used), layer.store.dtype());
    }
    copy_data(layer.store, layer.at.weight);
    set_mask(layer, sparsity::random_mask(shapes[l], densities[l], generator_));
    apply(layer);
    layers_.push_back(std::move(layer));
  }
}

void DynamicSparseTrainer::freeze_gradients() const {
  NoGrad off;
  for (const Layer& layer : layers_) {
    Tensor gradient = layer.at.weight.grad();
    if (layer.unused.defined() && gradient.defined()) mul_(gradient, layer.unused);
  }
}

void DynamicSparseTrainer::after_step(int64_t step, int64_t steps, const optim::Optimizer* optimizer) {
  NoGrad off;
  bool rounds = options_.interval > 0 && step % options_.interval == 0;
  for (Layer& layer : layers_) {
    Memory memory = memory_of(optimizer, layer.at.weight);
    Tensor momentum;
    if (rounds && options_.growth == sparsity::GrowthRule::momentum) {
      if (memory.momentum.defined()) momentum = clone(memory.momentum);
      if (memory.first.defined()) momentum = memory.first / (sqrt(memory.second) + 1e-8);
    }
    apply(layer);
    if (memory.momentum.defined()) mul_(memory.momentum, to(layer.mask, memory.momentum.dtype()));
    if (rounds) round(layer, sparsity::death_rate(step, steps, options_.death, options_.least_death), momentum);
  }
}

void DynamicSparseTrainer::round(Layer& layer, double rate, const Tensor& momentum) {
  const MaskedLayer& at = layer.at;
  Tensor gradient = at.weight.grad(), weight = at.rows(at.weight.detach());
  Tensor gradient_rows = gradient.defined() ? at.rows(gradient) : Tensor();
  auto pruned = sparsity::prune(at.rows(layer.mask), weight, rate, options_.prune, gradient_rows);
  sparsity::GrowthEvidence evidence{.score = gradient_rows, .fired = at.rows(layer.fired)};
  if (options_.growth == sparsity::GrowthRule::momentum) evidence.score = momentum.defined() ? at.rows(momentum) : Tensor();
  if (layer.used.defined()) evidence.frozen = at.rows(layer.used);
  Tensor grown = sparsity::grow(pruned.mask, pruned.removed, options_.growth, evidence, generator_);
  set_mask(layer, pruned.mask);
  apply(layer);  // a weight that is pruned and grown at once comes back as 0
  set_mask(layer, grown);
  apply(layer);
}

void DynamicSparseTrainer::set_mask(Layer& layer, const Tensor& rows) {
  Tensor place = layer.at.rows(layer.mask);
  copy_data(rows, place);
  layer.fired = logical_or(layer.fired, layer.mask);
  Tensor mask = to(layer.mask, layer.store.dtype());
  layer.trained = layer.unused.defined() ? mask * layer.unused : mask;
  if (layer.used.defined()) layer.kept = where(logical_and(layer.mask, layer.used), layer.store, 0);
}

void DynamicSparseTrainer::apply(Layer& layer) {
  mul_(layer.at.weight, layer.trained);
  if (layer.kept.defined()) add_(layer.at.weight, layer.kept);
}

std::vector<Tensor> DynamicSparseTrainer::masks() const {
  std::vector<Tensor> out;
  for (const Layer& layer : layers_) out.push_back(clone(layer.mask));
  return out;
}

}  // namespace plumb::methods::dst_cl
