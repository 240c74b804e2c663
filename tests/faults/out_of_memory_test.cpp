// Memory that runs out at every allocation of a training step: an error, nothing leaked, and the next step computes what it always did.
#include <doctest/doctest.h>

#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/allocator.h"
#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/transformer/gpt.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tests/faults/memory.h"

using namespace plumb;
using plumb_test::memory::Kind;
using plumb_test::memory::Lasting;
namespace memory = plumb_test::memory;

namespace {

std::vector<int64_t> counted_tokens() {
  std::vector<int64_t> tokens(2 * 8);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int64_t>(i * i % 11);
  return tokens;
}

// Two steps of a small GPT with dropout, from the same weights every time: forward, backward, clipping and AdamW, whose first step makes
// its state.
struct Steps {
  Tensor tokens = reshape(from_vector(counted_tokens()), {2, 8});
  std::optional<transformer::Gpt> model;
  std::optional<optim::AdamW> adamw;

  void prepare() {
    manual_seed(3);
    model.emplace(transformer::GptConfig{.vocab = 11, .layers = 1, .heads = 2, .width = 8, .context = 8, .dropout = 0.1, .bias = true});
    adamw.emplace(model->parameters(), optim::AdamWOptions{.lr = 0.01});
  }
  void run() {
    for (int step = 0; step < 2; ++step) {
      adamw->zero_grad();
      Tensor logits = (*model)(tokens);
      cross_entropy(reshape(logits, {16, 11}), reshape(tokens, {16})).backward();
      optim::clip_grad_norm(model->parameters(), 1);
      adamw->step();
    }
  }
  std::vector<std::vector<double>> weights() const {
    std::vector<std::vector<double>> all;
    for (const auto& [name, x] : model->state()) all.push_back(to_vector(x));
    return all;
  }
};

std::vector<std::vector<double>> undisturbed() {
  Steps steps;
  steps.prepare();
  steps.run();
  return steps.weights();
}

long allocations(Kind kind) {
  Steps steps;
  steps.prepare();
  memory::fail_at(kind, -1);
  steps.run();
  return memory::end();
}

struct Held {
  int64_t tensors = memory_stats(cpu).live;
  long objects = memory::objects_held();
  bool operator==(const Held&) const = default;
};

// The n-th allocation fails. Returns what was said; "" if the steps could do without, as a freed block can that there is no room to list.
std::string fail(Kind kind, long n, Lasting lasting, const std::vector<std::vector<double>>& expected) {
  Steps steps;
  steps.prepare();
  std::string said;
  memory::fail_at(kind, n, lasting);
  try {
    steps.run();
    memory::end();
    CHECK(steps.weights() == expected);
  } catch (const OutOfMemoryError& error) {
    memory::end();
    said = error.what();
  } catch (const std::bad_alloc& error) {
    memory::end();
    said = error.what();
  }
  return said;
}

void every_allocation_fails(Kind kind, Lasting lasting) {
  set_num_threads(1);  // so that counts are the same every time
  auto expected = undisturbed();
  long count = allocations(kind);
  CAPTURE(count);
  REQUIRE(count > 100);
  long done_without = 0;
  for (long n = 0; n < count; ++n) fail(kind, n, lasting, expected);  // the engine's pools grow to what they need
  for (long n = 0; n < count; ++n) {
    CAPTURE(n);
    Held before;
    bool tensor = kind == Kind::tensors, clear;
    {
      std::string said = fail(kind, n, lasting, expected);
      clear = tensor ? said.find(": out of memory") != std::string::npos : said == std::bad_alloc().what() || said.empty();
      done_without += said.empty();
    }
    Held after;
    CHECK(clear);
    CHECK(after.tensors == before.tensors);
    CHECK(after.objects == before.objects);
    if (n % 16 == 0) CHECK(undisturbed() == expected);
  }
  CHECK(undisturbed() == expected);
  CHECK(done_without < count / 4);
}

}  // namespace

TEST_CASE("out of memory: every tensor of two training steps fails to be allocated, once") {
  every_allocation_fails(Kind::tensors, Lasting::once);
}
TEST_CASE("out of memory: every tensor of two training steps fails to be allocated, and all later ones") {
  every_allocation_fails(Kind::tensors, Lasting::from_then_on);
}
TEST_CASE("out of memory: every other object of two training steps fails to be allocated, once") {
  every_allocation_fails(Kind::objects, Lasting::once);
}
TEST_CASE("out of memory: every other object of two training steps fails to be allocated, and all later ones") {
  every_allocation_fails(Kind::objects, Lasting::from_then_on);
}

TEST_CASE("out of memory: a tensor's memory goes back where there is no room for its owner") {
  int64_t before = memory_stats(cpu).live;
  for (bool foreign : {false, true}) {
    double element = 1;
    int released = 0;
    bool failed = true;
    long n = 0;
    for (; failed; ++n)
      std::thread([&] {  // a new one has no freed objects to hand out again
        memory::fail_at(Kind::objects, n);
        try {
          foreign ? from_blob(&element, {1}, f64, [](void* count) { ++*static_cast<int*>(count); }, &released) : empty({64});
          failed = false;
        } catch (const std::bad_alloc&) {}
        memory::end();
      }).join();
    CHECK(n > 2);  // the owner and the tensor itself
    CHECK(released == (foreign ? n : 0));
  }
  CHECK(memory_stats(cpu).live == before);
}

TEST_CASE("out of memory: at any limit, the error names the operation, the shape, what is live and the limit") {
  set_num_threads(1);
  auto expected = undisturbed();
  int failures = 0;
  for (int64_t room = 0;; room += 512) {
    std::string said;
    std::thread fresh([&] {  // one that has not kept small blocks of earlier steps
      Steps steps;
      steps.prepare();
      release_cached_memory(cpu);
      set_memory_limit(cpu, memory_stats(cpu).reserved + room);
      try {
        steps.run();
      } catch (const OutOfMemoryError& error) { said = error.what(); }
      set_memory_limit(cpu, 0);
    });
    fresh.join();
    if (said.empty()) break;
    ++failures;
    INFO(said);
    CHECK(said.find(": out of memory: ") != std::string::npos);
    bool named = said.find(" for a tensor of shape [") != std::string::npos || said.find(" for a packed operand; ") != std::string::npos;
    CHECK(named);
    CHECK(said.find(" are live, the limit is ") != std::string::npos);
  }
  CHECK(failures > 20);
  CHECK(undisturbed() == expected);
}

TEST_CASE("out of memory: on any of several threads") {
  set_num_threads(3);
  auto expected = undisturbed();
  long count = allocations(Kind::objects);
  for (long n = 0; n < count; n += 7) fail(Kind::objects, n, Lasting::from_then_on, expected);
  CHECK(undisturbed() == expected);
  set_num_threads(1);
}
