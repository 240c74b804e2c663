// DOT from a graph.
#include "tools/graph/drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace plumb::tools {
namespace {

// What is drawn: an operation, a parameter, or a module with all that is in it.
struct Drawn {
  std::string attributes, module;  ///< the frame that it stands in
};
struct Folded {
  int64_t operations = 0, parameters = 0;
  std::string output;  ///< of the last operation of which something outside depends
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out + "\"";
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines)
    if (!line.empty()) text += "\n" + line;
  return text;
}

std::string counted(int64_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

std::string above(const std::string& module) {
  return module.substr(0, module.find_last_of('.') == std::string::npos ? 0 : module.find_last_of('.'));
}

class Drawing {
 public:
  Drawing(const StepGraph& graph, const Folding& folding) : graph_(graph), folding_(folding) {
    for (size_t i = 0; i < graph.parameters.size(); ++i) add_parameter(i);
    for (size_t i = 0; i < graph.operations.size(); ++i) add_operation(i);
    for (const GraphEdge& edge : graph.edges) add_edge(edge);
    for (const auto& [module, folded] : folded_)
      nodes_[module_id(module)] = {fmt::format("label={}, shape=folder, style=filled, fillcolor=\"#dce9f5\"",
                                               quoted(module + "\n" + counted(folded.operations, "operation") + ", " +
                                                      counted(folded.parameters, "parameter") + joined({folded.output}))),
                                   above(module)};
  }

  std::string dot(const std::string& title) const {
    std::string text = "digraph step {\n  fontname=\"Helvetica\";\n  label=" + quoted(title) +
                       ";\n  labelloc=t;\n  rankdir=TB;\n  node [fontname=\"Helvetica\", fontsize=11];\n  edge [color=\"#555555\", "
                       "fontname=\"Helvetica\", fontsize=9];\n";
    text += frame("", 1);
    for (const auto& [ends, count] : links_)
      text +=
          fmt::format("  {} -> {}{};\n", quoted(ends.first), quoted(ends.second), count > 1 ? fmt::format(" [label=\"×{}\"]", count) : "");
    return text + "}\n";
  }

 private:
  static std::string module_id(const std::string& module) { return "module " + module; }

  void add_parameter(size_t i) {
    const GraphParameter& p = graph_.parameters[i];
    bool used = std::ranges::any_of(graph_.edges, [&](const GraphEdge& edge) { return edge.from_parameter && edge.from == i; });
    std::string fold = folded_into(p.module(), folding_);
    if (!used) return parameter_ids_.push_back("");
    parameter_ids_.push_back(fold.empty() ? "parameter " + p.name : module_id(fold));
    if (fold.empty())
      nodes_[parameter_ids_.back()] = {
          fmt::format("label={}, shape=ellipse, style=filled, fillcolor=\"#fdf1d0\"", quoted(p.name + "\n" + p.type_and_shape)),
          p.module()};
    else ++folded_[fold].parameters;
  }

  void add_operation(size_t i) {
    const GraphOperation& op = graph_.operations[i];
    std::string fold = folded_into(op.module, folding_);
    bool last = i + 1 == graph_.operations.size();
    operation_ids_.push_back(fold.empty() ? fmt::format("{} {}", i, op.name) : module_id(fold));
    if (fold.empty())
      nodes_[operation_ids_.back()] = {
          fmt::format("label={}, shape=box, style={}", quoted(op.name + joined(op.outputs)), last ? "bold" : "rounded"), op.module};
    else ++folded_[fold].operations;
  }

  void add_edge(const GraphEdge& edge) {
    const std::string& from = edge.from_parameter ? parameter_ids_[edge.from] : operation_ids_[edge.from];
    const std::string& to = operation_ids_[edge.to];
    if (from == to) return;
    ++links_[{from, to}];
    if (!edge.from_parameter && from.starts_with("module "))
      folded_[from.substr(7)].output = graph_.operations[edge.from].outputs[edge.output];
  }

  // The nodes of a module and the frames of those right below it.
  std::string frame(const std::string& module, int level) const {
    std::string indent(2 * static_cast<size_t>(level), ' '), text;
    std::map<std::string, bool> below;
    for (const auto& [id, node] : nodes_) {
      if (node.module == module) {
        text += indent + quoted(id) + " [" + node.attributes + "];\n";
      } else if (module.empty() || node.module.starts_with(module + ".")) {
        size_t start = module.empty() ? 0 : module.size() + 1;
        below[node.module.substr(0, node.module.find('.', start))] = true;
      }
    }
    for (const auto& [child, there] : below)
      text += indent + "subgraph " + quoted("cluster " + child) + " {\n" + indent + "  label=" + quoted(child) + ";\n" + indent +
              "  color=\"#9aa7b4\";\n" + frame(child, level + 1) + indent + "}\n";
    return text;
  }

  const StepGraph& graph_;
  const Folding& folding_;
  std::vector<std::string> parameter_ids_, operation_ids_;
  std::map<std::string, Drawn> nodes_;
  std::map<std::string, Folded> folded_;
  std::map<std::pair<std::string, std::string>, int64_t> links_;
};

bool is_part_of(const std::string& module, const std::string& whole) { return module == whole || module.starts_with(whole + "."); }

}  // namespace

std::string folded_into(const std::string& module, const Folding& folding) {
  if (folding.depth <= 0 || module.empty()) return {};
  int64_t parts = 1 + std::ranges::count(module, '.');
  if (parts < folding.depth) return {};
  size_t end = 0;
  for (int64_t i = 0; i < folding.depth; ++i) end = module.find('.', end + (i > 0));
  std::string fold = module.substr(0, end);
  for (const std::string& opened : folding.opened) {
    if (is_part_of(module, opened)) return {};
    // Something below the fold is open: what lies beside it is folded one level further down.
    if (is_part_of(opened, fold)) return folded_into(module, {.depth = folding.depth + 1, .opened = folding.opened});
  }
  return fold;
}

std::string as_dot(const StepGraph& graph, const Folding& folding, const std::string& title) { return Drawing(graph, folding).dot(title); }

}  // namespace plumb::tools
