// Averages of what a model with low-rank adapters computes with: of its weights as the adapters change them, not of the adapters.
#pragma once
#include "models/nn/module.h"

namespace plumb::optim {

/// The model's parameters with the active adapters' changes in the weights and without the adapters themselves, under the names they have
/// without adapters; no gradients. New tensors where an adapter changes a weight, else handles.
StateDict merged_state(const nn::Module& model);
/// A copy of the model without adapters, as if they were not there: `merge` false leaves their changes out, true keeps them in the weights.
template <typename Model>
Model without_adapters(const Model& model, bool merge);
void drop_adapters(nn::Module& model);

/// average ← decay · average + (1 − decay) · merged_state(source), for an average that has no adapters. The factors of an adapter must not
/// be averaged: the mean of products is not the product of means. Throws ValueError for a decay outside [0, 1] or names that differ.
void merged_ema_update(nn::Module& average, const nn::Module& source, double decay);

template <typename Model>
Model without_adapters(const Model& model, bool merge) {
  Model copy = model;
  StateDict merged = merge ? merged_state(model) : StateDict{};
  drop_adapters(copy);
  if (merge) copy.load_state(merged);
  return copy;
}

}  // namespace plumb::optim
