// Walking the nodes of a graph.
#include "tools/graph/step_graph.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "engine/autograd/node.h"

namespace plumb::tools {
namespace {

std::vector<NodePtr> nodes_behind(const Tensor& loss) {
  std::map<Node*, NodePtr> found;
  std::vector<NodePtr> waiting{edge_of(loss).node};
  while (!waiting.empty()) {
    NodePtr node = std::move(waiting.back());
    waiting.pop_back();
    if (!node || !found.try_emplace(node.get(), node).second) continue;
    for (const Edge& edge : node->edges)
      if (edge.node) waiting.push_back(edge.node);
  }
  std::vector<NodePtr> nodes;
  for (auto& [address, node] : found) nodes.push_back(node);
  std::ranges::sort(nodes, {}, [](const NodePtr& node) { return node->sequence; });
  return nodes;
}

std::string type_and_shape(const Tensor& x) { return std::string(name(x.dtype())) + " " + to_string(x.shape()); }

// An output is as its gradient is.
void learn_outputs(const Tensor& loss, const std::vector<NodePtr>& nodes, std::vector<GraphOperation>& operations) {
  auto outputs = std::make_shared<std::vector<std::vector<std::string>>>();
  for (const NodePtr& node : nodes) outputs->emplace_back(node->output_count);
  for (size_t i = 0; i < nodes.size(); ++i)
    for (uint32_t output = 0; output < nodes[i]->output_count; ++output)
      nodes[i]->made_watchers().hooks.push_back({output, [=](const Tensor& gradient) {
                                                   (*outputs)[i][output] = type_and_shape(gradient);
                                                   return Tensor();
                                                 }});
  loss.backward();
  for (size_t i = 0; i < nodes.size(); ++i) operations[i].outputs = (*outputs)[i];
}

// What two dotted names have in common, in whole parts.
std::string common(const std::string& a, const std::string& b) {
  size_t end = 0;
  for (size_t i = 0; i <= std::min(a.size(), b.size()); ++i) {
    bool a_ends = i == a.size() || a[i] == '.', b_ends = i == b.size() || b[i] == '.';
    if (a_ends && b_ends) end = i;
    if (i == a.size() || i == b.size() || a[i] != b[i]) break;
  }
  return a.substr(0, end);
}

std::string parent(const std::string& module) {
  return module.substr(0, module.find_last_of('.') == std::string::npos ? 0 : module.find_last_of('.'));
}

// The module around what happens in `chosen` and in `other`. Where these part at numbers (blocks.1.down, blocks.2.up), the block of
// `chosen`, unless that is a layer by itself: what lies between two blocks ends one of them.
std::string around(const std::string& chosen, const std::string& other, bool chosen_is_layer) {
  std::string shared = common(chosen, other);
  size_t start = shared.empty() ? 0 : shared.size() + 1;
  if (shared.size() == other.size() || start >= chosen.size()) return shared;
  size_t end = chosen.find('.', start);
  bool number = std::isdigit(static_cast<unsigned char>(chosen[start])) && std::isdigit(static_cast<unsigned char>(other[start]));
  return number && (end != std::string::npos || !chosen_is_layer) ? chosen.substr(0, end) : shared;
}

using Known = std::vector<std::optional<std::string>>;  // by operation: the module of the parameters that it takes

Known modules_of_parameters(const StepGraph& graph) {
  Known known(graph.operations.size());
  for (const GraphEdge& edge : graph.edges) {
    if (!edge.from_parameter) continue;
    std::string module = graph.parameters[edge.from].module();
    known[edge.to] = known[edge.to] ? common(*known[edge.to], module) : module;
  }
  return known;
}

// The module around the nearest operations before and after that take parameters.
std::vector<std::string> modules_in_time(const Known& known) {
  std::vector<std::optional<std::string>> after(known.size() + 1);
  for (size_t i = known.size(); i-- > 0;) after[i] = known[i] ? known[i] : after[i + 1];
  std::vector<std::string> modules(known.size());
  std::optional<std::string> before;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i]) before = known[i];
    modules[i] = before && after[i] ? around(*before, *after[i], true) : "";
  }
  return modules;
}

// Of the inputs, the latest counts most: it is the end of a branch that joins what went past it.
std::string module_of_inputs(const StepGraph& graph, const Known& known, std::vector<size_t> inputs) {
  std::ranges::sort(inputs, std::greater{});
  std::optional<std::string> module;
  for (size_t from : inputs) {
    // A layer's own operation stands for the module that the layer is part of: what follows it is no part of the layer.
    std::string of_input = known[from] ? parent(*known[from]) : graph.operations[from].module;
    module = module ? around(*module, of_input, false) : of_input;
  }
  return module.value_or("");
}

void place_in_modules(StepGraph& graph) {
  Known known = modules_of_parameters(graph);
  std::vector<std::string> in_time = modules_in_time(known);
  std::vector<std::vector<size_t>> inputs(graph.operations.size());
  for (const GraphEdge& edge : graph.edges)
    if (!edge.from_parameter) inputs[edge.to].push_back(edge.from);
  for (size_t i = 0; i < graph.operations.size(); ++i) {
    std::string of_inputs = module_of_inputs(graph, known, inputs[i]);
    graph.operations[i].module = known[i] ? *known[i] : of_inputs.size() > in_time[i].size() ? of_inputs : in_time[i];
  }
}

}  // namespace

StepGraph graph_of(const Tensor& loss, const nn::Module& model) {
  StepGraph graph;
  std::map<const TensorImpl*, size_t> parameters;
  for (const auto& [name, x] : model.named_parameters())
    if (parameters.try_emplace(x.impl(), graph.parameters.size()).second) graph.parameters.push_back({name, type_and_shape(x)});
  std::vector<NodePtr> nodes = nodes_behind(loss);
  std::map<const Node*, size_t> places;
  for (const NodePtr& node : nodes) {
    places[node.get()] = graph.operations.size();
    graph.operations.push_back({.name = node->name});
    for (const Edge& edge : node->edges) {
      auto leaf = parameters.find(edge.leaf.get());
      if (edge.node) graph.edges.push_back({false, places.at(edge.node.get()), edge.output_index, graph.operations.size() - 1});
      else if (leaf != parameters.end()) graph.edges.push_back({true, leaf->second, 0, graph.operations.size() - 1});
    }
  }
  learn_outputs(loss, nodes, graph.operations);
  place_in_modules(graph);
  return graph;
}

}  // namespace plumb::tools
