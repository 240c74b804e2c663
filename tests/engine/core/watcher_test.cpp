// What a watcher hears of kernels, operations and blocks of memory.
#include "engine/core/watcher.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/reduce.h"

using namespace plumb;

namespace {

// Writes down what it is told, one word each.
struct Notes final : Watcher {
  std::vector<std::string> lines;
  int64_t live = 0;
  void note(std::string line) { lines.push_back(std::move(line)); }
  void kernel_begins(const char* kernel, Device, std::span<const Tensor* const> tensors) noexcept override {
    note(std::string("kernel ") + kernel + " of " + std::to_string(tensors.size()));
  }
  void kernel_ended() noexcept override { note("kernel ended"); }
  void operation_recorded(const char* operation) noexcept override { note(std::string("operation ") + operation); }
  void backward_begins(const char* operation) noexcept override { note(std::string("backward ") + operation); }
  void backward_ended() noexcept override { note("backward ended"); }
  void allocated(Device, const void*, size_t bytes, const char* operation, const char* what) noexcept override {
    live += static_cast<int64_t>(bytes);
    note(std::string("block for ") + operation + " " + what);
  }
  void freed(Device, const void*) noexcept override { note("freed"); }
  size_t count(const std::string& line) const { return static_cast<size_t>(std::count(lines.begin(), lines.end(), line)); }
};

struct Watching {
  explicit Watching(Watcher& w) { set_watcher(&w); }
  ~Watching() { set_watcher(nullptr); }
};

}  // namespace

TEST_CASE("a watcher hears of a kernel with its tensors, then of the operation that it was for, and of the block it filled") {
  Tensor x = ones({2, 3});
  x.requires_grad_();
  Notes notes;
  Tensor y;
  {
    Watching watching(notes);
    y = exp(x);
  }
  REQUIRE(notes.lines.size() == 4);
  CHECK(notes.lines[0] == "block for exp [2, 3]");
  CHECK(notes.lines[1].starts_with("kernel "));
  CHECK(notes.lines[1].ends_with(" of 2"));
  CHECK(notes.lines[2] == "kernel ended");
  CHECK(notes.lines[3] == "operation exp");
}

TEST_CASE("a watcher hears of each operation's derivative, with the kernels in between") {
  Tensor x = ones({4});
  x.requires_grad_();
  Tensor loss = sum(exp(x));
  Notes notes;
  {
    Watching watching(notes);
    loss.backward();
  }
  CHECK(notes.count("backward sum") == 1);
  CHECK(notes.count("backward exp") == 1);
  CHECK(notes.count("backward ended") == 2);
}

TEST_CASE("a block that is freed is told of, and nothing is once the watching has ended") {
  Notes notes;
  {
    Watching watching(notes);
    ones({5});
  }
  CHECK(notes.count("freed") == 1);
  size_t before = notes.lines.size();
  ones({5});
  CHECK(notes.lines.size() == before);
  CHECK(watcher() == nullptr);
}
