// `plumb graph`: the autograd graph of a model's training step, drawn.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/commands.h"
#include "tools/graph/drawing.h"
#include "tools/output_file.h"
#include "tools/probe_run.h"
#include "tools/step_model.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string model, size = "tiny", dot, svg;
  Folding folding;
  CommandLine line;
};

void check_opened(nn::Module& model, const std::string& called, const std::vector<std::string>& opened) {
  std::vector<std::string> names;
  for (const auto& [name, module] : model.named_modules())
    if (!name.empty()) names.push_back(name);
  for (const std::string& name : opened)
    if (std::ranges::find(names, name) == names.end())
      throw ConfigError(fmt::format("--open {}: there is no such module in {}; there are {}", name, called, fmt::join(names, ", ")));
}

// The graph of the first part of a run's next step.
class GraphProbe final : public train::StepProbe {
 public:
  explicit GraphProbe(const Options& options) : options_(options) {}
  bool more() const override { return true; }
  bool wants_loss() const override { return true; }
  bool loss_made(const Tensor& loss, nn::Module& model) override {
    check_opened(model, options_.model, options_.folding.opened);
    graph = graph_of(loss, model);
    return false;
  }

  StepGraph graph;

 private:
  const Options& options_;
};

struct NamedGraph {
  std::string name;
  StepGraph graph;
};

NamedGraph graph_of_model(const Options& o) {
  if (is_run(o.model)) {
    if (o.line.given("--size")) throw ConfigError("--size: a run has its own; leave it out");
    GraphProbe probe(o);
    probe_run(o.model, probe);
    return {o.model, std::move(probe.graph)};
  }
  StepModel model = make_step_model(o.model, step_size_from_name(o.size), cpu);
  check_opened(*model.module, model.name, o.folding.opened);
  return {model.name, graph_of(model.loss(), *model.module)};
}

int graph(const Options& o) {
  if (o.folding.depth < 0) throw ConfigError(fmt::format("--depth must not be negative, it is {}", o.folding.depth));
  check_model_or_run(o.model);
  for (const std::string& path : {o.dot, o.svg})
    if (!path.empty()) check_can_write(path);
  auto [name, graph] = graph_of_model(o);
  std::string title = fmt::format("{}: {} operations, {} parameter tensors", name, graph.operations.size(), graph.parameters.size());
  std::string dot = as_dot(graph, o.folding, title), svg = o.svg.empty() ? "" : dot_to_svg(dot);
  if (!o.dot.empty()) write_file_atomic(o.dot, dot);
  if (!o.svg.empty()) write_file_atomic(o.svg, svg);
  fmt::print("{}", o.dot.empty() && o.svg.empty() ? dot : title + "\n");
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>(Options{.line = line});
  line.required("model", o->model, fmt::format("a run directory, or one of {}", fmt::join(step_model_names(), ", ")));
  line.option("--svg", o->svg, "the drawing, made by Graphviz's dot");
  line.option("--dot", o->dot, "the graph in DOT; without --svg and --dot it goes to standard output");
  line.option("--size", o->size, "size of a named model: tiny, small, or gpt2");
  line.option("--depth", o->folding.depth, "modules so many levels down are one node; 0 draws every operation");
  line.option("--open", o->folding.opened, "modules that are drawn operation by operation all the same: blocks.0");
  return [o] { return graph(*o); };
}

}  // namespace

extern const Command graph_command;
const Command graph_command{"graph", "draw the autograd graph of a model's training step, as DOT or SVG", define};

}  // namespace plumb::tools
