// A run directory has one trainer at a time.
#include "models/train/run_lock.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tests/scratch.h"

using namespace plumb;
using plumb_test::Scratch;
using train::RunLock;

namespace {

std::string refusal(const std::string& path) {
  try {
    RunLock lock(path);
  } catch (const ConfigError& error) { return error.what(); }
  return "";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A child process that takes the lock of `path` and keeps it until it is killed.
class Holder {
 public:
  explicit Holder(const std::string& path) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      RunLock lock(path);
      (void)!write(ready[1], "x", 1);
      for (;;) pause();
    }
    close(ready[1]);
    char byte = 0;
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
  }
  ~Holder() { end(); }
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ > 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

}  // namespace

TEST_CASE("run lock: while another process trains the directory, it is said which, where and since when") {
  Scratch s;
  Holder holder(s.path());
  std::string message = refusal(s.path());
  CAPTURE(message);
  CHECK(mentions(message, "run: " + s.path() + " is being trained by process " + std::to_string(holder.pid()) + " on "));
  CHECK(mentions(message, " since 20"));
  CHECK(mentions(message, " UTC; wait for its end, or interrupt it there"));
  CHECK(mentions(read_file(s.path(".lock")), std::to_string(holder.pid())));  // the one that was refused left it as it was
}

TEST_CASE("run lock: it is free when its holder ends, also when that is killed; a file that was left behind means nothing") {
  Scratch s;
  Holder holder(s.path());
  CHECK(refusal(s.path()) != "");
  holder.end();
  CHECK(s.has(".lock"));
  CHECK(refusal(s.path()) == "");
  s.put(".lock", "process 1 on elsewhere since long ago, with a longer text than any of ours: " + std::string(500, 'x'));
  {
    RunLock lock(s.path());
    CHECK(read_file(s.path(".lock")).starts_with("process " + std::to_string(getpid()) + " on "));
    CHECK(read_file(s.path(".lock")).size() < 400);
    CHECK(refusal(s.path()) != "");  // also within one process
  }
  CHECK(refusal(s.path()) == "");
}

TEST_CASE("run lock: a directory with symbolic links is refused: a stranger's run must not write to files outside of it") {
  for (const char* name : {".lock", "metrics.jsonl", "checkpoints/step-00000003.safetensors", "samples"}) {
    Scratch s, other;
    std::string target = other.put("mine", "text");
    std::filesystem::create_directories(s.path("checkpoints"));
    std::filesystem::create_symlink(std::string(name) == "samples" ? other.path() : target, s.path(name));
    CHECK(mentions(refusal(s.path()),
                   s.path(name) + " is a symbolic link, and training would write where it points; put a copy in its place"));
    CHECK(read_file(target) == "text");
  }
}

TEST_CASE("run lock: the directory itself may be reached by a link") {
  Scratch s, other;
  std::filesystem::create_symlink(s.path(), other.path("link"));
  CHECK(refusal(other.path("link")) == "");
}

TEST_CASE("run lock: directories have one each") {
  Scratch a, b;
  RunLock one(a.path());
  CHECK(refusal(b.path()) == "");
}

TEST_CASE("run lock: a directory that may not be written is an error that names the file") {
  Scratch s;
  CHECK_THROWS_WITH_AS(RunLock(s.path("none")), doctest::Contains((s.path("none") + "/.lock: cannot be opened for writing").c_str()),
                       IoError);
}
