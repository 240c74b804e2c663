// The residual perceptron over symbols.
#include "models/any_order/symbol_mlp.h"

#include <string>

#include "ops/activation.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::any_order {

void SymbolMlpConfig::check() const {
  if (variables < 1 || symbols < 1 || width < 1 || layers < 1 || outputs < 1)
    throw ValueError("symbol_mlp: sizes must be positive, got " + std::to_string(variables) + " variables, " + std::to_string(symbols) +
                     " symbols, " + std::to_string(layers) + " layers of " + std::to_string(width) + " and " + std::to_string(outputs) +
                     " outputs");
}

static const SymbolMlpConfig& checked(const SymbolMlpConfig& c) {
  c.check();
  return c;
}

SymbolMlp::SymbolMlp(const SymbolMlpConfig& c)
    : config_(checked(c)),
      input_(this, "input", c.variables * (c.symbols + 1), c.width),
      hidden_(this, "hidden"),
      output_(this, "output", c.width, c.outputs) {
  for (int64_t i = 1; i < c.layers; ++i) hidden_.emplace_back(c.width, c.width);
}

Tensor SymbolMlp::operator()(const Tensor& x) const {
  if (x.rank() != 2 || x.size(1) != config_.variables)
    throw ShapeError("symbol_mlp: takes symbols [B, " + std::to_string(config_.variables) + "], got " + to_string(x.shape()));
  Tensor h = leaky_relu(input_(flatten(plumb::to(one_hot(x, config_.symbols + 1), input_.weight.dtype()), 1)));
  for (size_t i = 0; i < hidden_.size(); ++i) h = h + leaky_relu(hidden_[i](h));
  return output_(h);
}

}  // namespace plumb::any_order
