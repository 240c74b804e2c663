// To a checkpoint and back.
#include "models/train/run_state.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/core/generator.h"

namespace plumb::train {
namespace {

// The prefix of an optimiser's tensors and numbers in a checkpoint: "optimizer.", "optimizer2.", …
std::string prefix_of_optimizer(size_t place) { return place == 0 ? "optimizer." : fmt::format("optimizer{}.", place + 1); }

// A number among a checkpoint's values.
template <typename T>
T number_in(const Checkpoint& checkpoint, const std::string& name) {
  auto found = checkpoint.values.find(name);
  if (found == checkpoint.values.end())
    throw IoError("run: the checkpoint of step " + std::to_string(checkpoint.step) + " lacks the value \"" + name + "\"");
  const std::string& text = found->second;
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw IoError("run: the checkpoint of step " + std::to_string(checkpoint.step) + " has \"" + text + "\" for \"" + name +
                  "\", which is no such number");
  return value;
}

}  // namespace

Checkpoint RunState::checkpoint(int64_t step) const {
  StateDict tensors = with_prefix(whole(model.state()), "model.");
  if (average) tensors.merge(with_prefix(whole(average->state()), "ema."));
  const Generator& generator = default_generator();
  FileMetadata values{{"generator_seed", std::to_string(generator.seed())}, {"generator_offset", std::to_string(generator.offset())}};
  for (size_t i = 0; i < optimizers.size(); ++i) {
    optim::OptimizerState state = sharded.whole_state(*optimizers[i]);
    tensors.merge(with_prefix(state.tensors, prefix_of_optimizer(i)));
    for (auto& [name, number] : state.scalars)
      values[prefix_of_optimizer(i) + name] = fmt::format("{}", number);  // shortest form that reads back exactly
  }
  if (scaler) {
    values["loss_scale"] = fmt::format("{}", scaler->scale());
    values["steps_since_loss_scale"] = std::to_string(scaler->steps_since_change());
  }
  if (stopping.patience > 0) {
    values["best"] = fmt::format("{}", stopping.best);
    values["best_step"] = std::to_string(stopping.best_step);
    values["evaluations_since_best"] = std::to_string(stopping.waited);
  }
  return {step, tensors, values};
}

void RunState::restore(const Checkpoint& checkpoint) {
  model.load_state(own(without_prefix(checkpoint.tensors, "model.")));
  for (size_t i = 0; i < optimizers.size(); ++i) {
    std::string prefix = prefix_of_optimizer(i);
    optim::OptimizerState state{without_prefix(checkpoint.tensors, prefix), {}};
    for (auto& [name, text] : checkpoint.values)
      if (name.starts_with(prefix)) state.scalars[name.substr(prefix.size())] = number_in<double>(checkpoint, name);
    optimizers[i]->load_state(sharded.own_state(*optimizers[i], std::move(state)));
  }
  default_generator().set_state(number_in<uint64_t>(checkpoint, "generator_seed"), number_in<uint64_t>(checkpoint, "generator_offset"));
  if (average) {
    average->load_state(own(without_prefix(checkpoint.tensors, "ema.")));
    average->set_updates(checkpoint.step);
  }
  if (scaler) scaler->set_state(number_in<double>(checkpoint, "loss_scale"), number_in<int64_t>(checkpoint, "steps_since_loss_scale"));
  if (checkpoint.values.contains("best")) {
    stopping.best = number_in<double>(checkpoint, "best");
    stopping.best_step = number_in<int64_t>(checkpoint, "best_step");
    stopping.waited = number_in<int64_t>(checkpoint, "evaluations_since_best");
  }
}

}  // namespace plumb::train
