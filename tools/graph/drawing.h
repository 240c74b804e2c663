// Drawing a graph of operations, with modules folded into single nodes.
#pragma once
#include <string>
#include <vector>

#include "tools/graph/step_graph.h"

namespace plumb::tools {

struct Folding {
  int64_t depth = 2;               ///< modules so many levels down are one node; 0: none is
  std::vector<std::string> opened; ///< modules that are drawn operation by operation all the same
};

/// The module that `module` is folded into; empty if it is drawn operation by operation.
std::string folded_into(const std::string& module, const Folding& folding);

/// The graph in DOT, the language of Graphviz: boxes are operations with the shapes of what they give, ellipses parameters, folders folded
/// modules; frames are modules that are drawn. Arrows follow the data; gradients go against them. `title` stands above.
std::string as_dot(const StepGraph& graph, const Folding& folding, const std::string& title);

/// Lets the program `dot` draw it as SVG. Throws ConfigError if it is not installed, IoError if it fails.
std::string dot_to_svg(const std::string& dot);

}  // namespace plumb::tools
