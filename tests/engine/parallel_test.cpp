// The thread pool: every index once, nested loops, exceptions, concurrent callers.
#include "engine/core/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/core/error.h"

using namespace plumb;

namespace {

// Restores the number of threads when a test ends.
struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};

// How often a loop of n items visited each of them: all ones if parallel_for is right.
std::vector<int> visits(int64_t n, int64_t grain) {
  std::unique_ptr<std::atomic<int>[]> count(new std::atomic<int>[n > 0 ? n : 1]());
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) count[i]++;
  });
  return std::vector<int>(count.get(), count.get() + n);
}

}  // namespace

TEST_CASE("parallel_for: covers each index exactly once, for any number of threads and any grain") {
  for (int threads : {1, 2, 3, 8}) {
    Threads scope(threads);
    for (int64_t n : {0, 1, 2, 7, 64, 1000, 4099})
      for (int64_t grain : {1, 3, 64, 5000}) {
        CAPTURE(threads);
        CAPTURE(n);
        CAPTURE(grain);
        CHECK(visits(n, grain) == std::vector<int>(n, 1));
      }
  }
}

TEST_CASE("parallel_for: ranges begin at multiples of the grain and are multiples of it long, but for the last") {
  Threads scope(3);
  std::atomic<int> wrong = 0;
  const int64_t n = 1003, grain = 16;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { wrong += begin % grain != 0 || (end % grain != 0 && end != n); });
  CHECK(wrong == 0);
}

TEST_CASE("parallel_for: many short loops in a row, sleeping in between or not") {
  Threads scope(2);
  std::atomic<int64_t> sum = 0;
  for (int round = 0; round < 2000; round++) {
    parallel_for(8, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(sum == 16000);
}

TEST_CASE("parallel_for: nested loops run inline") {
  Threads scope(3);
  std::atomic<int> count = 0, split = 0;
  parallel_for(10, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const auto thread = std::this_thread::get_id();
      parallel_for(100, 1, [&](int64_t b, int64_t e) {
        count += static_cast<int>(e - b);
        split += std::this_thread::get_id() != thread || e - b != 100;
      });
    }
  });
  CHECK(count == 1000);
  CHECK(split == 0);
}

TEST_CASE("parallel_for: an exception reaches the caller, and the pool goes on working") {
  for (int threads : {1, 2, 4}) {
    Threads scope(threads);
    for (int round = 0; round < 50; round++) {
      const auto body = [](int64_t begin, int64_t end) {
        if (begin <= 70 && 70 < end) throw std::runtime_error("item 70");
      };
      CHECK_THROWS_WITH_AS(parallel_for(100, 1, body), "item 70", std::runtime_error);
    }
    CHECK(visits(100, 1) == std::vector<int>(100, 1));
  }
}

TEST_CASE("parallel_for: after an exception no further range begins") {
  Threads scope(2);
  std::atomic<int> begun = 0;
  std::atomic<int64_t> items = 0;
  const auto body = [&](int64_t begin, int64_t end) {
    const bool first = begun++ == 0;
    items += end - begin;
    for (int wait = 0; begun < 2 && wait < 5000; wait++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (first) throw std::runtime_error("the first");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // until the exception has been caught
  };
  CHECK_THROWS_WITH_AS(parallel_for(1000, 1, body), "the first", std::runtime_error);
  CHECK(begun >= 2);
  CHECK(items < 1000);
}

TEST_CASE("parallel_for: several threads may call it at once") {
  Threads scope(3);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; caller++)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; round++) wrong += visits(257, 4) != std::vector<int>(257, 1);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("InlineParallel: loops stay on the thread while it lives") {
  Threads scope(2);
  int calls = 0;
  {
    InlineParallel inline_parallel;
    parallel_for(1000, 1, [&](int64_t begin, int64_t end) { calls += begin == 0 && end == 1000; });
    { InlineParallel inner; }
    parallel_for(1000, 1, [&](int64_t begin, int64_t end) { calls += begin == 0 && end == 1000; });
  }
  CHECK(calls == 2);
  CHECK_FALSE(detail::runs_inline(1000, 1));
}

TEST_CASE("set_num_threads: refuses what makes no sense") {
  Threads scope(2);
  CHECK(num_threads() == 2);
  CHECK_THROWS_WITH_AS(set_num_threads(0), "set_num_threads: 0 threads; at least 1 is needed", ConfigError);
  CHECK_THROWS_WITH_AS(set_num_threads(100000), "set_num_threads: 100000 threads; at most 4096", ConfigError);
  CHECK_THROWS_AS(parallel_for(4, 1, [](int64_t, int64_t) { set_num_threads(3); }), ConfigError);
  CHECK(num_threads() == 2);
}
