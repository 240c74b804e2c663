// The shape of the source tree: which folder may include which, what headers may cost, how long a file may be.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace fs = std::filesystem;

namespace {

constexpr std::array kHouse{"engine", "ops", "models", "methods", "tools"};  // each may include itself and what stands before it
constexpr int kMostLines = 500;
constexpr int kMostColumns = 140;

size_t place_in_house(std::string_view folder) { return std::find(kHouse.begin(), kHouse.end(), folder) - kHouse.begin(); }

std::string first_folder(std::string_view path) { return std::string(path.substr(0, path.find('/'))); }

/// What `line` of the file `path` (relative to the root) includes that it may not; empty if nothing.
std::string forbidden_include(const std::string& path, const std::string& line) {
  size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || !line.substr(hash).starts_with("#include")) return {};
  size_t open = line.find_first_of("\"<"), close = line.find_last_of("\">");
  if (open == std::string::npos || close <= open) return {};
  std::string target = line.substr(open + 1, close - open - 1), from = first_folder(path), to = first_folder(target);
  if (to == "cuda" && from != "cuda" && !path.ends_with(".cu") && !path.starts_with("tests/cuda/") && !path.starts_with("bench/cuda/") &&
      line[open] == '"')
    return target + ": only the build knows cuda/";
  size_t here = place_in_house(from), there = place_in_house(to);
  if (line[open] == '"' && here < kHouse.size() && there < kHouse.size() && there > here) return target + ": against the arrows";
  if (from == "cuda" && there < kHouse.size() && there > place_in_house("ops")) return target + ": against the arrows";
  if (!path.ends_with(".h") || here > place_in_house("models")) return {};
  constexpr std::array heavy{"nlohmann/", "CLI/", "fmt/", "doctest/", "cblas.h", "iostream", "regex", "png.h", "zlib.h"};
  for (const char* prefix : heavy)
    if (target.starts_with(prefix)) return target + ": too heavy for a public header";
  return {};
}

/// What `line` of a file of cuda/ does that has one place of its own, so that kernels compile for the simulated device too; empty if
/// nothing.
std::string out_of_place(const std::string& path, const std::string& line) {
  size_t start = line.find_first_not_of(" \t");
  if (first_folder(path) != "cuda" || start == std::string::npos || line.compare(start, 2, "//") == 0) return {};
  struct Place {
    const char *text, *file, *what;
  };
  constexpr std::array places{Place{"<<<", "cuda/runtime/launch.h", "launches kernels"}, Place{"__shfl", "cuda/runtime/warp.h", "shuffles"},
                              Place{"asm(", "cuda/runtime/instructions.h", "writes instructions"},
                              Place{"asm volatile(", "cuda/runtime/instructions.h", "writes instructions"},
                              Place{"extern __shared__", "cuda/runtime/launch.h", "reaches dynamic shared memory"}};
  const bool left_out = path.starts_with("cuda/hopper/");  // of the simulated device: instructions that it does not have
  for (const Place& p : places)
    if (line.find(p.text) != std::string::npos && path != p.file && !(left_out && p.what == std::string_view("writes instructions")))
      return std::string(p.text) + ": only " + p.file + " " + p.what;
  constexpr std::array libraries{"cublas", "cudnn", "cusolver", "cufft", "nccl", "curand"};
  for (const char* library : libraries)
    if (line.starts_with("#include <" + std::string(library)) && !path.starts_with("cuda/libraries/"))
      return std::string(library) + ": only cuda/libraries/ knows it";
  return {};
}

/// Characters of UTF-8.
int columns_of(const std::string& line) {
  return static_cast<int>(std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool begins_with_comment(const std::string& first_line) {
  return first_line.starts_with("//") || first_line.starts_with("#") || first_line.starts_with("/*");
}

/// Everything wrong with one file, as "path:line: problem".
std::vector<std::string> problems(const std::string& path, std::istream& text) {
  std::vector<std::string> found;
  std::string line;
  int number = 0;
  bool guarded = false, raw = false;  // within a raw string, whose lines are as long as they must be
  const bool formatted = path.ends_with(".h") || path.ends_with(".cpp") || path.ends_with(".cu");
  while (std::getline(text, line)) {
    ++number;
    if (number == 1 && !begins_with_comment(line)) found.push_back(path + ":1: the first line does not say what the file is for");
    guarded = guarded || line == "#pragma once";
    if (std::string what = forbidden_include(path, line); !what.empty())
      found.push_back(path + ":" + std::to_string(number) + ": includes " + what);
    size_t raw_begins = line.rfind("R\"("), raw_ends = line.rfind(")\"");
    bool within = raw || raw_begins != std::string::npos;
    if (raw_begins != std::string::npos && (raw_ends == std::string::npos || raw_ends < raw_begins)) raw = true;
    else if (raw_ends != std::string::npos) raw = false;
    if (int columns = columns_of(line); formatted && !within && columns > kMostColumns)
      found.push_back(path + ":" + std::to_string(number) + ": " + std::to_string(columns) + " characters, more than " +
                      std::to_string(kMostColumns));
    if (std::string what = out_of_place(path, line); !what.empty()) found.push_back(path + ":" + std::to_string(number) + ": " + what);
  }
  if (number > kMostLines) found.push_back(path + ": " + std::to_string(number) + " lines, more than " + std::to_string(kMostLines));
  if (path.ends_with(".h") && !guarded) found.push_back(path + ": no #pragma once");
  return found;
}

std::vector<std::string> problems(const std::string& path, const std::string& text) {
  std::istringstream stream(text);
  return problems(path, stream);
}

bool is_source(const fs::path& path) {
  constexpr std::array endings{".h", ".cpp", ".cu", ".cuh", ".sh", ".cmake"};
  return std::find(endings.begin(), endings.end(), path.extension()) != endings.end() || path.filename() == "CMakeLists.txt";
}

}  // namespace

TEST_CASE("layout: arrows point left, headers stay light, files stay short") {
  const char* root = std::getenv("PLUMB_SOURCE");
  REQUIRE_MESSAGE(root, "PLUMB_SOURCE names the source tree; ctest sets it");
  int files = 0;
  for (const char* folder :
       {"engine", "ops", "models", "methods", "tools", "cuda", "tests", "bench", "examples", "cmake", "capi"}) {
    if (!fs::exists(fs::path(root) / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      std::ifstream text(entry.path());
      for (const std::string& problem : problems(fs::relative(entry.path(), root).string(), text)) FAIL_CHECK(problem);
      ++files;
    }
  }
  CHECK(files > 20);
}

TEST_CASE("layout: the check sees what it is there for") {
  auto only = [](const std::string& path, const std::string& text) {
    std::vector<std::string> found = problems(path, text);
    return found.size() == 1 ? found[0] : std::to_string(found.size()) + " problems";
  };
  CHECK(only("engine/core/a.cpp", "// a\n#include \"ops/matmul.h\"\n") == "engine/core/a.cpp:2: includes ops/matmul.h: against the arrows");
  CHECK(only("ops/a.cpp", "// a\n  #include \"models/nn/module.h\"\n") == "ops/a.cpp:2: includes models/nn/module.h: against the arrows");
  CHECK(only("methods/a.cpp", "// a\n#include \"tools/commands.h\"\n") == "methods/a.cpp:2: includes tools/commands.h: against the arrows");
  CHECK(only("tools/a.cpp", "// a\n#include \"cuda/gemm.h\"\n") == "tools/a.cpp:2: includes cuda/gemm.h: only the build knows cuda/");
  CHECK(only("cuda/a.cu", "// a\n#include \"models/nn/module.h\"\n") == "cuda/a.cu:2: includes models/nn/module.h: against the arrows");
  CHECK(only("ops/a.h", "// a\n#pragma once\n#include <nlohmann/json.hpp>\n") ==
        "ops/a.h:3: includes nlohmann/json.hpp: too heavy for a public header");
  CHECK(only("ops/a.h", "// a\n") == "ops/a.h: no #pragma once");
  CHECK(only("ops/a.cpp", "int a;\n") == "ops/a.cpp:1: the first line does not say what the file is for");
  CHECK(only("cuda/kernels/a.cu", "// a\n  f<<<1, 2>>>();\n") == "cuda/kernels/a.cu:2: <<<: only cuda/runtime/launch.h launches kernels");
  CHECK(only("cuda/kernels/a.cu", "// a\n  x = __shfl_sync(~0u, x, 0);\n") ==
        "cuda/kernels/a.cu:2: __shfl: only cuda/runtime/warp.h shuffles");
  CHECK(only("cuda/kernels/a.cu", "// a\n#include <cublasLt.h>\n") == "cuda/kernels/a.cu:2: cublas: only cuda/libraries/ knows it");
  CHECK(problems("cuda/kernels/a.cu", std::string("// a\n  // unlike f<<<1, 2>>>()\n")).empty());
  std::string lines = "//";
  for (int i = 0; i < 500; ++i) lines += "\n//";
  CHECK(only("ops/a.cpp", lines) == "ops/a.cpp: 501 lines, more than 500");
  std::string wide(139, 'x');
  CHECK(problems("ops/a.cpp", "// a\n" + wide + "×\nauto json = R\"(\n" + wide + wide + ")\";\n").empty());
  CHECK(only("ops/a.cpp", "// a\n" + wide + "xx\n") == "ops/a.cpp:2: 141 characters, more than 140");
  CHECK(problems("tools/a.cpp", std::string("// a\n#include <CLI/CLI.hpp>\n#include \"ops/matmul.h\"\n#include \"engine/core/tensor.h\"\n"))
            .empty());
  CHECK(problems("ops/a.cpp", std::string("// a\n#include <fmt/format.h>\n#include \"ops/b.h\"\n")).empty());
}
