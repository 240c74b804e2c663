// `plumb graph`: the autograd graph of a model's training step, drawn.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/commands.h"
#include "tools/graph/drawing.h"
#include "tools/step_model.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string model, size = "tiny", dot, svg;
  Folding folding;
};

void check_opened(const StepModel& model, const std::vector<std::string>& opened) {
  std::vector<std::string> names;
  for (const auto& [name, module] : model.module->named_modules())
    if (!name.empty()) names.push_back(name);
  for (const std::string& name : opened)
    if (std::ranges::find(names, name) == names.end())
      throw ConfigError(fmt::format("--open {}: there is no such module in {}; there are {}", name, model.name, fmt::join(names, ", ")));
}

int graph(const Options& o) {
  if (o.folding.depth < 0) throw ConfigError(fmt::format("--depth must not be negative, it is {}", o.folding.depth));
  StepModel model = make_step_model(o.model, step_size_from_name(o.size), cpu);
  check_opened(model, o.folding.opened);
  StepGraph graph = graph_of(model.loss(), *model.module);
  std::string title = fmt::format("{}: {} operations, {} parameter tensors", model.name, graph.operations.size(), graph.parameters.size());
  std::string dot = as_dot(graph, o.folding, title), svg = o.svg.empty() ? "" : dot_to_svg(dot);
  if (!o.dot.empty()) write_file_atomic(o.dot, dot);
  if (!o.svg.empty()) write_file_atomic(o.svg, svg);
  fmt::print("{}", o.dot.empty() && o.svg.empty() ? dot : title + "\n");
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("model", o->model, fmt::format("one of {}", fmt::join(step_model_names(), ", ")));
  line.option("--svg", o->svg, "the drawing, made by Graphviz's dot");
  line.option("--dot", o->dot, "the graph in DOT; without --svg and --dot it goes to standard output");
  line.option("--size", o->size, "tiny, small, or gpt2");
  line.option("--depth", o->folding.depth, "modules so many levels down are one node; 0 draws every operation");
  line.option("--open", o->folding.opened, "modules that are drawn operation by operation all the same: blocks.0");
  return [o] { return graph(*o); };
}

}  // namespace

extern const Command graph_command;
const Command graph_command{"graph", "draw the autograd graph of a model's training step, as DOT or SVG", define};

}  // namespace plumb::tools
