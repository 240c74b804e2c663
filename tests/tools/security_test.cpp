// Files carry data only: nothing that Plumb reads is executed, and it starts programs and loads code in four known places alone.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>

#include "engine/io/file.h"
#include "engine/io/json_object.h"
#include "tests/tools/run_command.h"

namespace fs = std::filesystem;

namespace {

// What `code` calls that would start a program or load code, each call once, with spaces between; empty if nothing. Comments and texts are
// not told apart, members are.
std::string calls_that_execute(const std::string& code) {
  static const std::regex call(R"((^|[^\w.>])(system|popen|posix_spawnp?|f?exec[lv]p?e?|execveat|wordexp|dlm?open)\s*\()");
  std::string all;
  for (std::sregex_iterator found(code.begin(), code.end(), call), end; found != end; ++found)
    all += (all.empty() ? "" : " ") + (*found)[2].str();
  return all;
}

}  // namespace

TEST_CASE(
    "security: the product starts itself, Graphviz' dot and peers that the command line names, and loads NVIDIA's libraries at run time, "
    "but nothing whose name a file decides") {
  const std::map<std::string, std::string> known{{"tools/cli/blas_speed.cpp", "popen"},
                                                 {"tools/graph/dot_program.cpp", "posix_spawnp"},
                                                 {"tools/bench/child.cpp", "posix_spawnp"},
                                                 {"cuda/lazy/load.cpp", "dlopen dlopen"}};
  CHECK(calls_that_execute("x = std::system(\"ls\");") == "system");
  CHECK(calls_that_execute("::execvp(a, b)") == "execvp");
  CHECK(calls_that_execute("posix_spawnp(a); std::system(x); fexecve(f); dlmopen(n)") == "posix_spawnp system fexecve dlmopen");
  CHECK(calls_that_execute("solve_system(a); from_system(c); set.system(x)").empty());
  const char* source = std::getenv("PLUMB_SOURCE");
  REQUIRE(source);
  int files = 0;
  for (const char* folder : {"engine", "ops", "models", "methods", "tools", "cuda", "capi"})
    for (const auto& entry : fs::recursive_directory_iterator(std::string(source) + "/" + folder)) {
      std::string extension = entry.path().extension();
      if (extension != ".cpp" && extension != ".h" && extension != ".cu") continue;
      std::ifstream file(entry.path());
      std::string code{std::istreambuf_iterator<char>(file), {}};
      std::string path = fs::relative(entry.path(), source), call = calls_that_execute(code);
      CHECK_MESSAGE(call == (known.contains(path) ? known.at(path) : ""), path << " calls \"" << call << "\"");
      ++files;
    }
  CHECK(files > 500);
}

TEST_CASE("security: what stands in a run's configuration is a value, never a command") {
  plumb_test::Scratch scratch;
  std::ofstream(scratch.path("text.txt")) << std::string(50, 'a') + std::string(450, 'b') + "abba";
  std::string run = scratch.path("run"), config = run + "/config.json";
  std::string train = "train gpt --data " + scratch.path("text.txt") + " --out " + run;
  REQUIRE(run_plumb(train + " --layers 1 --heads 1 --width 8 --context 4 --batch 2 --steps 2 --eval-every 2").code == 0);
  fs::remove(run + "/model.safetensors");  // so that it can go on
  const std::string valid = plumb::read_file(config);
  for (std::string evil :
       {"$(touch OUT)", "`touch OUT`", "x; touch OUT", "| touch OUT", "{{touch OUT}}", "!!python/object/apply:os.system ['touch OUT']"}) {
    evil.replace(evil.find("OUT"), 3, scratch.path("executed"));
    auto changed = plumb::JsonObject::parse(valid, "config.json");
    changed.set("data", std::vector<std::string>{evil});
    changed.set("tokenizer", evil);
    plumb::write_file_atomic(config, changed.text(2));
    Outcome o = run_plumb("train gpt --resume " + run);
    CHECK(o.code == 2);
    CHECK_FALSE(scratch.has("executed"));
  }
}
