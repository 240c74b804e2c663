// Nothing is left out: every public operation has a row in the table of operations and a test of its values, every operation that the sources
// record is met by some row. What cannot have a row is listed here, with the reason.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/autograd/backward.h"
#include "engine/autograd/node.h"
#include "ops/create.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

using namespace plumb;
using namespace plumb::testing;
namespace fs = std::filesystem;

namespace {

using Names = std::set<std::string>;

// Results that do not depend on a tensor, are integers or bools, or say that they have no derivative (no_derivative_test.cpp).
const Names kWithoutDerivative{
    "arange", "linspace", "eye", "tril_mask", "triu_mask", "one_hot", "nonzero", "rotary_frequencies",                                          // made from numbers
    "logical_and", "logical_or", "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "any", "all",                // truth
    "count_nonzero", "argmax", "argmin", "argsort", "searchsorted", "unique", "histc",                                    // places and counts
    "rand", "randn", "rand_like", "randn_like", "uniform", "truncated_normal", "exponential", "gumbel", "bernoulli", "randint", "randperm", "categorical", "multinomial",
    "gamma", "beta", "dirichlet", "poisson",
    "fill_", "zero_", "uniform_", "normal_", "truncated_normal_", "exponential_", "bernoulli_",                           // what was there is gone
    "update_running"};
// The derivative is not the slope of the values, by definition: their own tests hold it against the definition.
const Names kOwnDerivative{"round_ste", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine", "learned_step_quantize", "round_to_minifloat", "gradient_reversal", "to"};
// Recorded names that no row of f64 with the slope of its values can meet.
const Names kRecordedElsewhere{"round_ste", "round_to_minifloat", "gradient_reversal", "gumbel_softmax" /* hard */, "to" /* between f64 and f64 is nothing */};

// Headers for operations' own use, or of functions that take functions.
const Names kInnerHeaders{"formula.h", "dropout_mask.h", "tensor_function.h", "resample.h", "size2.h", "functional.h", "gradcheck.h", "pointwise_functions.h", "optim_functions.h",
                          "random_functions.h", "series_functions.h", "special_functions.h", "autocast_call.h", "index_call.h", "loss_call.h", "pointwise_call.h", "reduce_call.h", "linalg_call.h", "norm_formula.h",
                          "distribution_functions.h", "incomplete_gamma_functions.h", "minifloat_functions.h", "quantize_functions.h", "random_bounds.h", "reduce_functions.h", "sort_keys.h"};

fs::path root() {
  const char* source = std::getenv("PLUMB_SOURCE");
  REQUIRE_MESSAGE(source, "PLUMB_SOURCE names the source tree; ctest sets it");
  return source;
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The function that a line of a header declares: "Tensor name(…"; empty if none.
std::string declared(const std::string& line) {
  size_t open = line.find('(');
  if (open == std::string::npos || !std::isalpha(static_cast<unsigned char>(line[0]))) return {};
  for (const char* no : {"namespace", "struct", "class", "enum", "using", "template", "extern", "constexpr"})
    if (line.starts_with(no)) return {};
  size_t end = open, begin = end;
  while (begin > 0 && is_word(line[begin - 1])) --begin;
  if (begin == 0 || line[begin - 1] != ' ' || line.find("operator") < open) return {};
  return line.substr(begin, end - begin);
}

Names words_of(const std::string& text) {
  Names words;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end > i) words.insert(text.substr(i, end - i));
    i = end + 1;
  }
  return words;
}

Names public_operations() {
  Names names;
  for (const auto& entry : fs::directory_iterator(root() / "ops")) {
    if (entry.path().extension() != ".h" || kInnerHeaders.contains(entry.path().filename().string())) continue;
    std::istringstream lines(text_of(entry.path()));
    for (std::string line; std::getline(lines, line);)
      if (std::string name = declared(line); !name.empty()) names.insert(name);
  }
  return names;
}

// The literal names that operations' sources give to record, or to the functions around it for one argument.
Names recorded_in(const std::string& text) {
  Names names;
  for (const std::string call : {"record(", "from_input(", "from_output(", "activation(", "step(", "rounded("})
    for (size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
      size_t begin = text.find_first_not_of(" \n", at + call.size());
      if ((at > 0 && is_word(text[at - 1])) || begin == std::string::npos || text[begin] != '"') continue;
      names.insert(text.substr(begin + 1, text.find('"', begin + 1) - begin - 1));
    }
  return names;
}
Names recorded_in_sources() {
  Names names;
  for (const auto& entry : fs::directory_iterator(root() / "ops"))
    if (entry.path().extension() == ".cpp") names.merge(recorded_in(text_of(entry.path())));
  return names;
}

void collect(const NodePtr& node, std::set<const Node*>& seen, Names& names) {
  if (!node || !seen.insert(node.get()).second) return;
  names.insert(node->name);
  for (const Edge& e : node->edges) collect(e.node, seen, names);
}

// The names of all nodes in the graph of a row's outputs and of its gradients.
void collect_row(const OpCase& row, Names& names) {
  std::vector<Tensor> x, wanted, tied, ones;
  for (const InputSpec& spec : row.inputs) {
    bool random = !spec.fixed.defined();
    x.push_back(random ? reshape(linspace(spec.low, spec.high, numel(spec.shape), f64), spec.shape) : spec.fixed);
    if (random) wanted.push_back(x.back().requires_grad_());
  }
  std::set<const Node*> seen;
  for (const Tensor& y : row.function(x)) {
    collect(edge_of(y).node, seen, names);
    if (!y.requires_grad()) continue;
    tied.push_back(y);
    ones.push_back(full(y.shape(), 1.0, f64).requires_grad_());
  }
  if (tied.empty()) return;
  std::vector<Tensor> gradients = grad(tied, wanted, {.create_graph = true, .allow_unused = true}, ones);  // held until they are walked
  for (const Tensor& g : gradients)
    if (g.defined()) collect(edge_of(g).node, seen, names);
}

}  // namespace

TEST_CASE("op names: every public operation has a row in the table, or a reason") {
  Names rows;
  for (const auto& entry : fs::directory_iterator(root() / "tests/ops/cases")) rows.merge(words_of(text_of(entry.path())));
  Names operations = public_operations();
  CHECK(operations.size() > 200);
  for (const std::string& name : operations) {
    bool excused = kWithoutDerivative.contains(name) || kOwnDerivative.contains(name);
    CHECK_MESSAGE((rows.contains(name) || excused), name << " has no row in tests/ops/cases");
  }
  for (const Names* names : {&kWithoutDerivative, &kOwnDerivative})
    for (const std::string& name : *names) CHECK_MESSAGE(operations.contains(name), name << " is excused from a row but is no operation");
}

TEST_CASE("op names: every public operation is called by a test of its values") {
  Names called;
  for (const auto& entry : fs::recursive_directory_iterator(root() / "tests"))
    if (entry.path().string().ends_with("_test.cpp")) called.merge(words_of(text_of(entry.path())));
  for (const std::string& name : public_operations()) CHECK_MESSAGE(called.contains(name), name << " is called by no test");
}

TEST_CASE("op names: every recorded operation is met by a row") {
  Names met;
  for (const OpCase& row : all_op_cases()) collect_row(row, met);
  Names recorded = recorded_in_sources();
  CHECK(recorded.size() > 100);
  for (const std::string& name : recorded)
    CHECK_MESSAGE((met.contains(name) || kRecordedElsewhere.contains(name)), "record(\"" << name << "\", …) is in the graph of no row");
}

TEST_CASE("op names: the checks see what they are there for") {
  CHECK(declared("Tensor exp(const Tensor& x);") == "exp");
  CHECK(declared("inline Tensor gather(const Tensor& x) { return x; }") == "gather");
  CHECK(declared("std::vector<Tensor> split(const Tensor& x);") == "split");
  CHECK(declared("Tensor operator-(const Tensor& a, Scalar b);").empty());
  CHECK(declared("  Shape f(int x) const;").empty());
  CHECK(declared("/// f(x)").empty());
  CHECK(declared("namespace a { f(").empty());
  CHECK(recorded_in("return record(\n    \"lstm\", y, …); no_record(\"x\"); record(name, y); from_input(\"log\", …)") == Names{"lstm", "log"});
  CHECK(words_of("a_b(c2), d") == Names{"a_b", "c2", "d"});
}
