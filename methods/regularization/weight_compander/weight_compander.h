// Companding of whole models: the weights of linear and convolution layers, biases, norms and embeddings left as they are.
//   Companded<mlp::Mlp> model(mlp, {.a = 2, .b = 1});   …train model.parameters() by any optimiser…   mlp::Mlp plain = model.baked();
#pragma once
#include <string>
#include <vector>

#include "methods/regularization/weight_compander/compand.h"
#include "models/nn/containers.h"
#include "models/nn/weight_layer.h"

namespace plumb::methods::weight_compander {

enum class Start : uint8_t {
  match,   ///< v = the inverse of the layer's weight: the model starts as it was, but for weights beyond clip · a
  direct,  ///< v = the layer's weight: a model whose weights are about a/b times larger
};

struct CompandingOptions {
  double a = 2, b = 1;  ///< relative: times s = √(2 / fan-in) of each layer, the standard deviation of He's initialisation
  bool relative = true;
  Bounded function = Bounded::arctan;
  Start start = Start::match;
  double clip = 1.45;                    ///< of Start::match
  bool learn = false;                    ///< log a and log b are parameters, one of each a layer
  double range = 4;                      ///< how far: a and b stay within start / range … start · range; infinite: as they will
  std::vector<std::string> except = {};  ///< layers left as they are, by name or by its end ("head")

  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// √(2 / fan-in) of a weight [out, in, kernel…], fan-in the number of elements of weight[0].
double he_scale(const Shape& weight);

/// What one layer's weight is computed from.
class CompandedWeight : public nn::Module {
 public:
  CompandedWeight(const Tensor& weight, const CompandingOptions& options);
  /// w.
  Tensor operator()() const;
  /// The constants as they are now.
  double a() const;
  double b() const;

  nn::Parameter v;
  nn::Parameter log_a, log_b;  ///< with `learn`, scalars
  nn::Buffer constants;        ///< (a, b) at the start; those that hold without `learn`

 private:
  Bounded function_;
  double range_;
};

/// The companded weights of a model, by their layers' names. The model's own weights are no parameters any more; apply() computes them.
class Companding : public nn::ModuleList<CompandedWeight> {
 public:
  /// Takes over the weights of `model`. Throws ValueError as CompandingOptions::check, for a model without such layers, for a name in
  /// `except` that none has, and for a layer whose weight is computed from others already (companded twice) or belongs to two layers.
  Companding(nn::Module& model, const CompandingOptions& options);

  /// Writes each layer's weight, in the graph: to be called before every pass of `model`, which must be the one it was made of, or a copy.
  void apply(nn::Module& model) const;
  /// Gives the model ordinary weights, parameters again, with the values of now, and forgets its own. Its outputs keep every bit.
  void bake(nn::Module& model);
  /// Loads a state of the model as it was before, or as bake() left it: v becomes the inverse of each weight. Throws as Module::load_state,
  /// ValueError for a weight beyond the bound.
  void load_plain(nn::Module& model, const StateDict& state);
  /// log_a and log_b of all layers, for a parameter group with a tenth of the learning rate and without decay; empty without `learn`.
  std::vector<Tensor> learned() const;

 protected:
  std::vector<std::pair<std::string, nn::Module*>> heap_children() const override;

 private:
  std::vector<std::string> names_;
  CompandingOptions options_;
};

/// A model with companded weights.
template <typename Model>
class Companded : public nn::Module {
 public:
  explicit Companded(Model of, const CompandingOptions& options = {}) : model(std::move(of)), companding(model, options) {
    register_module("model", model);
    register_module("companding", companding);
  }
  template <typename... Inputs>
  auto operator()(const Inputs&... inputs) const {
    companding.apply(model);
    return model(inputs...);
  }
  /// An ordinary model that computes the same.
  Model baked() const {
    Companded copy = *this;
    copy.companding.bake(copy.model);
    return std::move(copy.model);
  }
  /// Of an ordinary model's state.
  void load_plain(const StateDict& state) { companding.load_plain(model, state); }

  mutable Model model;  ///< its weights are no parameters; calling writes them, so it belongs to one thread at a time
  Companding companding;
};

}  // namespace plumb::methods::weight_compander
