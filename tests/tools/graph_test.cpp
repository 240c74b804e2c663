// `plumb graph`: the graph of a known network, modules and folding, DOT that reads back, SVG where Graphviz is there.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/tools/run_command.h"
#include "tools/graph/drawing.h"
#include "tools/step_model.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;

namespace {

struct Block : nn::Module {
  nn::Linear up{this, "up", 3, 4}, down{this, "down", 4, 3};
  Tensor operator()(const Tensor& x) const { return x + down(gelu(up(x))); }
};
struct Net : nn::Module {
  nn::ModuleList<Block> blocks{this, "blocks"};
  nn::Linear head{this, "head", 3, 2};
  Net() {
    for (int i = 0; i < 2; ++i) blocks.push_back(Block());
  }
  Tensor loss() const {
    Tensor x = ones({5, 3});
    for (const Block& block : blocks) x = block(x);
    return mean(head(x));
  }
};

StepGraph graph_of_net() {
  Net net;
  return graph_of(net.loss(), net);
}

std::vector<std::string> described(const StepGraph& graph) {
  std::vector<std::string> text;
  for (const GraphOperation& op : graph.operations) text.push_back(op.name + " in " + op.module + ": " + op.outputs.at(0));
  return text;
}

// The nodes and edges of a DOT text as as_dot writes it: quoted names, one statement a line.
struct Dot {
  std::map<std::string, std::string> nodes;  ///< id → attributes
  std::set<std::pair<std::string, std::string>> edges;
  int open = 0;                              ///< braces
};
std::string unquoted(const std::string& line, size_t& at) {
  size_t begin = line.find('"', at), end = begin + 1;
  while (line[end] != '"' || line[end - 1] == '\\') ++end;
  at = end + 1;
  return line.substr(begin + 1, end - begin - 1);
}
Dot parsed(const std::string& text) {
  Dot dot;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    dot.open += line.ends_with("{");
    dot.open -= line.ends_with("}");
    REQUIRE(dot.open >= 0);
    size_t start = line.find_first_not_of(' '), at = 0;
    if (start == std::string::npos || line[start] != '"') continue;
    std::string from = unquoted(line, at);
    if (line.compare(at, 4, " -> ") == 0) dot.edges.insert({from, unquoted(line, at)});
    else CHECK_MESSAGE(dot.nodes.emplace(from, line.substr(at)).second, from << " is there twice");
  }
  return dot;
}

}  // namespace

TEST_CASE("graph: operations in order, with their shapes, in the modules that they belong to") {
  CHECK(described(graph_of_net()) == std::vector<std::string>{
                                         "linear in blocks.0.up: f32 [5, 4]",
                                         "gelu in blocks.0: f32 [5, 4]",
                                         "linear in blocks.0.down: f32 [5, 3]",
                                         "add in blocks.0: f32 [5, 3]",
                                         "linear in blocks.1.up: f32 [5, 4]",
                                         "gelu in blocks.1: f32 [5, 4]",
                                         "linear in blocks.1.down: f32 [5, 3]",
                                         "add in blocks.1: f32 [5, 3]",
                                         "linear in head: f32 [5, 2]",
                                         "mean in : f32 []",
                                     });
}

TEST_CASE("graph: edges lead from operations and parameters to what takes them") {
  StepGraph graph = graph_of_net();
  REQUIRE(graph.parameters.size() == 2 * 4 + 2);
  CHECK(graph.parameters[0].name == "blocks.0.up.weight");
  CHECK(graph.parameters[0].type_and_shape == "f32 [4, 3]");
  CHECK(graph.parameters[0].module() == "blocks.0.up");
  auto has = [&](bool parameter, size_t from, size_t to) {
    return std::ranges::any_of(graph.edges,
                               [&](const GraphEdge& e) { return e.from_parameter == parameter && e.from == from && e.to == to; });
  };
  CHECK(has(true, 0, 0));
  CHECK(has(true, 1, 0));
  CHECK(has(false, 3, 4));  // the residual goes into the second block and past it
  CHECK(has(false, 3, 7));
  CHECK_FALSE(has(false, 3, 5));
  CHECK(graph.edges.size() == 10 + 9 + 1);  // parameters; the chain; the one residual that needs a gradient
}

TEST_CASE("graph: modules fold at a depth, but for those that are opened") {
  CHECK(folded_into("blocks.0.mlp.up", {.depth = 2}) == "blocks.0");
  CHECK(folded_into("blocks.0", {.depth = 2}) == "blocks.0");
  CHECK(folded_into("blocks.0.mlp.up", {.depth = 1}) == "blocks");
  CHECK(folded_into("head", {.depth = 2}).empty());
  CHECK(folded_into("", {.depth = 1}).empty());
  CHECK(folded_into("blocks.0.mlp.up", {.depth = 0}).empty());
  Folding opened{.depth = 1, .opened = {"blocks.0.mlp"}};
  CHECK(folded_into("blocks.0.mlp.up", opened).empty());
  CHECK(folded_into("blocks.0.norm", opened) == "blocks.0.norm");  // beside it, as far down
  CHECK(folded_into("blocks.1.mlp.up", opened) == "blocks.1");
  CHECK(folded_into("head", opened) == "head");
}

TEST_CASE("graph: DOT has a node for each operation and parameter, or for the module they are folded into, and edges between them") {
  StepGraph graph = graph_of_net();
  Dot all = parsed(as_dot(graph, {.depth = 0}, "all"));
  CHECK(all.open == 0);
  CHECK(all.nodes.size() == 10 + 10);
  CHECK(all.edges.size() == graph.edges.size());
  CHECK(all.nodes.at("0 linear").find("label=\"linear\\nf32 [5, 4]\"") != std::string::npos);
  CHECK(all.nodes.contains("parameter head.bias"));
  Dot folded = parsed(as_dot(graph, {.depth = 2}, "folded"));
  CHECK(folded.nodes.at("module blocks.0").find("blocks.0\\n4 operations, 4 parameters\\nf32 [5, 3]") != std::string::npos);
  CHECK(folded.nodes.size() == 2 + 2 + 2);  // two blocks, head's operation and the mean, head's parameters
  CHECK(folded.edges.contains({"module blocks.0", "module blocks.1"}));
  CHECK_FALSE(folded.edges.contains({"module blocks.0", "module blocks.0"}));
  for (const Dot* dot : {&all, &folded})
    for (const auto& [from, to] : dot->edges) {
      CHECK_MESSAGE(dot->nodes.contains(from), from);
      CHECK_MESSAGE(dot->nodes.contains(to), to);
    }
}

TEST_CASE("graph: every model's step can be drawn, and all its parameters take part") {
  for (const std::string& name : step_model_names()) {
    CAPTURE(name);
    StepModel model = make_step_model(name, StepSize::tiny, cpu);
    StepGraph graph = graph_of(model.loss(), *model.module);
    std::set<size_t> used;
    for (const GraphEdge& edge : graph.edges) {
      if (edge.from_parameter) used.insert(edge.from);
      else
        CHECK_MESSAGE(!graph.operations[edge.from].outputs.at(edge.output).empty(),
                      graph.operations[edge.from].name << " gives something of no shape");
    }
    CHECK(used.size() == graph.parameters.size());
    // Of several outputs one may lead nowhere, as the sum under a network's last norm.
    for (const GraphOperation& op : graph.operations)
      CHECK_MESSAGE(std::ranges::any_of(op.outputs, [](const std::string& o) { return !o.empty(); }), op.name << " has no shape");
    Dot dot = parsed(as_dot(graph, {.depth = 2}, name));
    CHECK(dot.nodes.size() < graph.operations.size() + graph.parameters.size());
  }
}

TEST_CASE("graph: the command writes DOT and, with Graphviz, SVG; bad input and a missing dot are one line") {
  Scratch scratch;
  Outcome out = run_plumb("graph mlp");
  CHECK(out.code == 0);
  CHECK(out.out.starts_with("digraph step {\n"));
  CHECK(parsed(out.out).open == 0);
  Outcome file = run_plumb("graph gpt --open blocks.0 --dot " + scratch.path("gpt.dot"));
  CHECK(file.code == 0);
  CHECK(file.out.starts_with("gpt-tiny: "));
  Dot dot = parsed(scratch.get("gpt.dot"));
  CHECK(dot.nodes.contains("module blocks.1"));
  CHECK_FALSE(dot.nodes.contains("module blocks.0"));
  std::string binary = std::getenv("PLUMB_BINARY");
  Outcome without = run_shell("PATH=/nowhere " + binary + " graph mlp --svg " + scratch.path("no.svg"));
  CHECK(without.code == 2);
  CHECK(without.err ==
        "plumb: graph: --svg needs the program dot, which is not installed (on Debian: apt-get install graphviz); --dot writes the graph "
        "without it\n");
  CHECK_FALSE(scratch.has("no.svg"));
  CHECK(run_plumb("graph mlp --depth -1").err == "plumb: graph: --depth must not be negative, it is -1\n");
  Outcome closed = run_plumb("graph gpt --open block.0");
  CHECK(closed.code == 2);
  CHECK(closed.err.starts_with("plumb: graph: --open block.0: there is no such module in gpt-tiny; there are "));
  if (run_shell("command -v dot").code != 0) {
    MESSAGE("SVG is not tested: Graphviz's dot is not installed");
    return;
  }
  Outcome svg = run_plumb("graph mlp --svg " + scratch.path("mlp.svg"));
  CHECK(svg.code == 0);
  CHECK(scratch.get("mlp.svg").find("<svg") != std::string::npos);
  CHECK(scratch.get("mlp.svg").find("cross_entropy") != std::string::npos);
}

TEST_CASE("graph: a run's own step, which leaves the run as it was; what has no one loss is said") {
  Scratch scratch;
  std::string run = scratch.path("run"), gan = scratch.path("gan");
  REQUIRE(run_plumb("train classifier --data digits --model mlp --hidden 8 --batch 4 --steps 2 --out " + run).code == 0);
  std::string files = "cd " + run + " && find . -type f | sort | xargs sha256sum", before = run_shell(files).out;
  Outcome o = run_plumb("graph " + run);
  REQUIRE_MESSAGE(o.code == 0, o.err);
  Dot dot = parsed(o.out);
  CHECK(dot.open == 0);
  CHECK(o.out.find("cross_entropy") != std::string::npos);
  CHECK(o.out.find(run + ": ") != std::string::npos);
  CHECK(run_shell(files).out == before);
  CHECK(run_plumb("graph " + run + " --open nothing").err.find("--open nothing: there is no such module in " + run + "; there are ") !=
        std::string::npos);
  REQUIRE(run_plumb("train gan --data digits --batch 4 --steps 1 --out " + gan).code == 0);
  CHECK(run_plumb("graph " + gan)
            .err.ends_with("plumb: graph: this kind of training alternates between networks: a step of it has no one loss\n"));
}
