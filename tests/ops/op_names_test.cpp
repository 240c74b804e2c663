// Nothing is left out: every public operation has a row in the table of operations and a test of its values, every operation that the
// sources record is met by some row. What cannot have a row is listed here, with the reason.
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

// Names that need no row, by the reason.
struct Exception {
  const char* reason;
  Names names;
};
const std::vector<Exception> kExceptions{
    {"is made from numbers, not from a tensor with a gradient",
     {"arange", "linspace", "eye", "tril_mask", "triu_mask", "one_hot", "nonzero", "rotary_frequencies"}},
    {"gives truth", {"logical_and", "logical_or", "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "any", "all"}},
    {"gives places or counts", {"count_nonzero", "group_by", "argmax", "argmin", "argsort", "searchsorted", "unique", "histc"}},
    {"is a draw and says that it has no derivative, or has no tensor to differentiate in (no_derivative_test.cpp, random_test.cpp)",
     {"rand", "randn", "rand_like", "randn_like", "uniform", "truncated_normal", "exponential", "gumbel", "bernoulli", "randint",
      "randperm", "categorical", "multinomial", "gamma", "beta", "dirichlet", "poisson"}},
    {"overwrites a tensor with what depends on none",
     {"fill_", "zero_", "uniform_", "normal_", "truncated_normal_", "exponential_", "bernoulli_"}},
    {"moves statistics, which are outside the graph", {"update_running", "update_running_"}},
    {"has by definition another derivative than the slope of its values; its own test holds it against the definition",
     {"round_ste", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine", "learned_step_quantize", "round_to_minifloat",
      "gradient_reversal"}},
    {"changes the type or the device, and f64 on the CPU to itself is nothing; shape_test.cpp and the rows in lower types differentiate it",
     {"to"}},
};
// Recorded names that no row of f64 with the slope of its values can meet.
const Names kRecordedElsewhere{"group_norm_silu" /* on a GPU */, "round_ste", "round_to_minifloat", "gradient_reversal",
                               "gumbel_softmax" /* hard */,      "to" /* between f64 and f64 is nothing */};

// Headers for operations' own use; functional.h and gradcheck.h, whose functions take functions and have tests of their names.
const Names kInnerHeaders{"formula.h",
                          "dropout_mask.h",
                          "own_memory.h",
                          "tensor_function.h",
                          "resample.h",
                          "size2.h",
                          "functional.h",
                          "gradcheck.h",
                          "pointwise_functions.h",
                          "optim_functions.h",
                          "random_functions.h",
                          "series_functions.h",
                          "special_functions.h",
                          "autocast_call.h",
                          "index_call.h",
                          "loss_call.h",
                          "pointwise_call.h",
                          "reduce_call.h",
                          "linalg_call.h",
                          "norm_formula.h",
                          "distribution_functions.h",
                          "incomplete_gamma_functions.h",
                          "minifloat_functions.h",
                          "norm_functions.h",
                          "quantize_functions.h",
                          "random_bounds.h",
                          "reduce_functions.h",
                          "sort_keys.h"};

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

// C++ without comments, literal strings and #include lines: a row's title or a comment beside it calls nothing.
std::string code_of(const std::string& text) {
  std::string code;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line); code += '\n') {
    if (line.starts_with("#include")) continue;
    bool quoted = false;
    for (size_t i = 0; i < line.size() && (quoted || line.compare(i, 2, "//") != 0); ++i) {
      if (quoted && line[i] == '\\') ++i;
      else if (line[i] == '"') quoted = !quoted;
      else if (!quoted) code += line[i];
    }
  }
  return code;
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
  Names rows, excused;
  for (const auto& entry : fs::directory_iterator(root() / "tests/ops/cases")) rows.merge(words_of(code_of(text_of(entry.path()))));
  for (const Exception& e : kExceptions) excused.insert(e.names.begin(), e.names.end());
  Names operations = public_operations();
  CHECK(operations.size() > 300);
  for (const std::string& name : operations)
    CHECK_MESSAGE((rows.contains(name) || excused.contains(name)), name << " has no row in tests/ops/cases");
  for (const Exception& e : kExceptions)
    for (const std::string& name : e.names)
      CHECK_MESSAGE(operations.contains(name), name << " is excused from a row (it " << e.reason << ") but is no operation");
}

TEST_CASE("op names: every public operation is called by a test of its values") {
  Names called;
  for (const auto& entry : fs::recursive_directory_iterator(root() / "tests"))
    if (entry.path().string().ends_with("_test.cpp")) called.merge(words_of(code_of(text_of(entry.path()))));
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
  CHECK(recorded_in("return record(\n    \"lstm\", y, …); no_record(\"x\"); record(name, y); from_input(\"log\", …)") ==
        Names{"lstm", "log"});
  CHECK(words_of(code_of("#include \"ops/exp.h\"\nf(\"a \\\" b\", c);  // of d\ng")) == Names{"f", "c", "g"});
  CHECK(words_of("a_b(c2), d") == Names{"a_b", "c2", "d"});
}
