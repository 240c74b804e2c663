// `plumb explain`: pages as the sources have them, nearest names, and the list of all.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/tools/run_command.h"
#include "tools/cli/edit_distance.h"
#include "tools/explain/pages.h"

using namespace plumb::tools;

namespace {

// Where the build had no Python there are no pages; then the command says so.
bool no_pages() {
  if (!operation_pages().empty()) return false;
  CHECK(std::string(pages_problem()).find("Python") != std::string::npos);
  MESSAGE("pages are not tested: ", pages_problem());
  return true;
}

// Line `number` of a file of the source tree.
std::string line_of(const std::string& path, int number) {
  std::ifstream file(std::string(std::getenv("PLUMB_SOURCE")) + "/" + path);
  std::string line;
  for (int i = 0; i < number; ++i) std::getline(file, line);
  return line;
}

// The line that the first "path:NUMBER" of the text names.
std::string named_line(const std::string& text, const std::string& path) {
  size_t at = text.find(path + ":");
  REQUIRE_MESSAGE(at != std::string::npos, path);
  return line_of(path, std::atoi(text.c_str() + at + path.size() + 1));
}

}  // namespace

TEST_CASE("explain: softmax's page has its formula, derivative, shapes, errors, kernels and tests, each where it is written") {
  if (no_pages()) return;
  Outcome o = run_plumb("explain softmax");
  REQUIRE(o.code == 0);
  CHECK(o.out.starts_with("softmax  ops/softmax.h:"));
  for (const char* text :
       {"\n  Tensor softmax(const Tensor& x, int dim, double temperature = 1);\n", "softmax(x)_i = exp(x_i / τ) / Σ_j exp(x_j / τ)",
        "\nshapes\n  x's shape\n", "\ncost\n", "\nderivative\n  y = softmax(x / τ):      dx = y (dy − ⟨dy, y⟩) / τ\n",
        "\nerrors\n  Throws ValueError unless τ > 0.\n  All throw IndexError if dim is out of range.\n", "\nkernels\n  softmax (forward)",
        "softmax_backward (backward)",
        "CPU: ops/cpu/softmax.cpp:", "GPU: cuda/kernels/softmax.cu:", "\ntests\n  tests/ops/softmax_test.cpp:"})
    CHECK_MESSAGE(o.out.find(text) != std::string::npos, text);
  CHECK(named_line(o.out, "ops/softmax.h").starts_with("Tensor softmax("));
  CHECK(named_line(o.out, "ops/cpu/softmax.cpp").find("softmax") != std::string::npos);
  CHECK(named_line(o.out, "cuda/kernels/softmax.cu").find("softmax") != std::string::npos);
  CHECK(named_line(o.out, "tests/ops/softmax_test.cpp").starts_with("TEST_CASE(\"softmax"));
}

TEST_CASE("explain: every operation has a page with all its parts, and a line in the list") {
  if (no_pages()) return;
  CHECK(operation_pages().size() > 200);
  CHECK(std::ranges::is_sorted(operation_pages(), {}, &OperationPage::name));
  std::string list = run_plumb("explain").out;
  for (const OperationPage& page : operation_pages()) {
    CAPTURE(page.name);
    for (const char* part : {"\nshapes\n  ", "\ncost\n  ", "\nderivative\n  ", "\nkernels\n", "\ntests\n  "})
      CHECK_MESSAGE(page.text.find(part) != std::string_view::npos, part);
    CHECK_FALSE(page.summary.empty());
    CHECK(("\n" + list).find("\n" + std::string(page.name) + " ") != std::string::npos);
  }
}

TEST_CASE("explain: an unknown operation is one line with the nearest names") {
  if (no_pages()) return;
  Outcome o = run_plumb("explain softmx");
  CHECK(o.code == 2);
  CHECK(o.out.empty());
  CHECK(o.err.starts_with("plumb: explain: there is no operation softmx, did you mean softmax"));
  CHECK(std::ranges::count(o.err, '\n') == 1);
  CHECK(nearest_operations("batchnorm").front() == "batch_norm");
  CHECK(nearest_operations("wholly_unlike_anything").empty());
  CHECK(run_plumb("explain wholly_unlike_anything").err ==
        "plumb: explain: there is no operation wholly_unlike_anything (plumb explain lists all)\n");
}

TEST_CASE("edit distance: insertions, deletions, changes and swaps count one each") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("matmul", "matmul") == 0);
  CHECK(edit_distance("matmul", "matmull") == 1);
  CHECK(edit_distance("matmul", "mamtul") == 1);
  CHECK(edit_distance("matmul", "motmul") == 1);
  CHECK(edit_distance("softmax", "softplus") == 4);
}
