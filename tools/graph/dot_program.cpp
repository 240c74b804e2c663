// Running Graphviz.
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/graph/drawing.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;

// A directory that goes with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_((fs::temp_directory_path() / "plumb-graph-XXXXXX").string()) {
    if (!mkdtemp(path_.data())) throw IoError("graph: no temporary directory can be made: " + std::string(std::strerror(errno)));
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// The exit code; 127 if the program is not there.
int run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  if (int error = posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ)) return error == ENOENT ? 127 : 126;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string dot_to_svg(const std::string& dot) {
  TemporaryDirectory scratch;
  write_file_atomic(scratch.file("graph.dot"), dot);
  int code = run({"dot", "-Tsvg", "-o", scratch.file("graph.svg"), scratch.file("graph.dot")});
  if (code == 127)
    throw ConfigError(
        "--svg needs the program dot, which is not installed (on Debian: apt-get install graphviz); --dot writes the graph without it");
  if (code != 0) throw IoError("graph: dot failed (exit code " + std::to_string(code) + "); --dot writes the graph without it");
  return read_nonempty_file(scratch.file("graph.svg"));
}

}  // namespace plumb::tools
