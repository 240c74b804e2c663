// The exponential moving average of a model's weights that a training run keeps beside them.
#pragma once
#include <string>
#include <vector>

#include "models/nn/module.h"

namespace plumb::train {

/// average ← d·average + (1 − d)·weight after update k = 0, 1, …, with d = min(decay, (1 + k)/(10 + k)), over the parameters and the
/// floating buffers of a model (integer buffers are copied). Tied tensors count once. Unlike optim::Ema it knows the model as a Module
/// alone, and lends its values to it: the model itself is evaluated with them.
class WeightAverage {
 public:
  /// Starts as the model's weights. Throws ValueError unless 0 < decay < 1, DTypeError for weights of 16 bits, whose average would not
  /// move.
  WeightAverage(const nn::Module& model, double decay);
  void update();
  /// Updates so far: the step, for a run that takes one a step.
  void set_updates(int64_t updates) { updates_ = updates; }
  /// Under the model's names.
  StateDict state() const;
  /// Throws ValueError for a name that is missing, ShapeError for another shape; then nothing is changed.
  void load_state(const StateDict& state);

  /// While alive, the model has the averaged weights, and this the model's.
  class Lent {
   public:
    explicit Lent(WeightAverage& average) : average_(average) { average_.exchange(); }
    ~Lent() { average_.exchange(); }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;

   private:
    WeightAverage& average_;
  };

 private:
  void exchange();
  double decay_;
  int64_t updates_ = 0;
  std::vector<std::string> names_;       // all of a tied tensor's too
  std::vector<size_t> place_;            // of each name among the tensors
  std::vector<Tensor> weights_, averages_;
};

}  // namespace plumb::train
