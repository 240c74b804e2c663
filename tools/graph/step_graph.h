// The autograd graph of a scalar, as plain data.
#pragma once
#include <string>
#include <vector>

#include "models/nn/module.h"

namespace plumb::tools {

struct GraphOperation {
  std::string name;                  ///< "linear"
  std::string module;                ///< "blocks.0.mlp.up"; empty for the model itself
  std::vector<std::string> outputs;  ///< "f32 [2, 16, 96]", one each; "" for one that the scalar does not depend on
};
struct GraphParameter {
  std::string name, type_and_shape;
  std::string module() const { return name.substr(0, name.find_last_of('.') == std::string::npos ? 0 : name.find_last_of('.')); }
};
/// From an operation's output, or a parameter, into an operation.
struct GraphEdge {
  bool from_parameter = false;
  size_t from = 0, output = 0, to = 0;
};

/// Operations in the order in which they ran. Tensors that need no gradient (data, constants) are not in the graph, nor what is made of
/// them alone.
struct StepGraph {
  std::vector<GraphOperation> operations;
  std::vector<GraphParameter> parameters;
  std::vector<GraphEdge> edges;
};

/// The graph behind `loss`, a scalar with a gradient. Runs its backward pass, whose gradients have the shapes of what they belong to;
/// gradients of leaves are added to. An operation that takes a parameter belongs to the parameter's module. Which module another one
/// belongs to is not known to the engine: here it is the innermost that holds its neighbours in time, or its inputs.
StepGraph graph_of(const Tensor& loss, const nn::Module& model);

}  // namespace plumb::tools
