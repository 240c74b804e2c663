// Averaging, and lending the average to the model.
#include "models/train/weight_average.h"

#include <algorithm>

#include "engine/core/error.h"
#include "models/optim/ema.h"
#include "models/optim/parameters.h"

namespace plumb::train {

WeightAverage::WeightAverage(const nn::Module& model, double decay) : decay_(decay) {
  if (!(decay > 0 && decay < 1)) throw ValueError("ema: the decay must lie in (0, 1), it is " + decimal(decay));
  for (auto& [name, tensor] : model.state()) {
    if (optim::ema_stands_still(tensor.dtype()))
      throw DTypeError("ema: \"" + name + "\" is " + std::string(plumb::name(tensor.dtype())) +
                       ", whose average would not move; keep weights in f32 and compute in 16 bits (autocast)");
    auto same = [impl = tensor.impl()](const Tensor& t) { return t.impl() == impl; };
    size_t place = static_cast<size_t>(std::find_if(weights_.begin(), weights_.end(), same) - weights_.begin());
    if (place == weights_.size()) weights_.push_back(tensor);
    names_.push_back(name);
    place_.push_back(place);
  }
  averages_ = optim::clone(weights_);
}

void WeightAverage::update() {
  double decay = optim::ema_decay({.decay = decay_, .warmup = true}, updates_++);
  std::vector<Tensor> averaged, weights;
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (is_floating(weights_[i].dtype())) {
      averaged.push_back(averages_[i]);
      weights.push_back(weights_[i]);
    } else {
      optim::copy({weights_[i]}, {averages_[i]});
    }
  }
  optim::lerp(averaged, weights, 1 - decay);
}

StateDict WeightAverage::state() const {
  StateDict state;
  for (size_t i = 0; i < names_.size(); ++i) state[names_[i]] = averages_[place_[i]];
  return state;
}

void WeightAverage::load_state(const StateDict& state) {
  for (size_t i = 0; i < names_.size(); ++i) {
    auto found = state.find(names_[i]);
    if (found == state.end()) throw ValueError("ema: \"" + names_[i] + "\" is missing");
    const Shape &stored = found->second.shape(), &own = averages_[place_[i]].shape();
    if (stored != own)
      throw ShapeError("ema: \"" + names_[i] + "\" is " + to_string(stored) + " in the state, " + to_string(own) + " in the model");
  }
  for (size_t i = 0; i < names_.size(); ++i) optim::copy({state.at(names_[i])}, {averages_[place_[i]]});
}

void WeightAverage::exchange() { optim::swap(weights_, averages_); }

}  // namespace plumb::train
