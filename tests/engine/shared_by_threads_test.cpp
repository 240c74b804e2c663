// What the headers say may be used from several threads at once is, by four of them, and gives each what one alone gets. The thread
// sanitizer runs this file too (tools/nightly.sh).
#include <doctest/doctest.h>

#include <functional>
#include <thread>

#include "engine/core/allocator.h"
#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "engine/data/points.h"
#include "engine/io/tokenizer.h"
#include "engine/io/wordpiece.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

using namespace plumb;

namespace {

/// f(thread) on four threads at once, whose results must equal that of f before.
template <typename F>
void check_alike(F&& f) {
  auto expected = f();
  std::vector<decltype(expected)> found(4);
  std::vector<std::thread> threads;
  for (auto& result : found) threads.emplace_back([&f, &result] { result = f(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : found) CHECK(result == expected);
}

}  // namespace

TEST_CASE("threads: a tensor is read by several at once, as it is and in operations") {
  Tensor x = randn({64, 65}), view = x;
  check_alike([&] { return to_vector(sum(x * 2.0 + view, {1})); });
  check_alike([&] {
    std::vector<Tensor> copies(100, x);  // handles count together
    return copies.back().size(0);
  });
}

TEST_CASE("threads: a tokenizer is shared") {
  std::string text = "the cat sat on the mat; the rat sat on the cat. I'll be 12345 日本\n";
  Tokenizer pairs = Tokenizer::byte_pairs(text, {.vocab_size = 280}), words = Tokenizer::word_pieces(learn_words(text, 60)),
            characters = Tokenizer::characters(text);
  for (const Tokenizer& tokenizer : {pairs, words, characters, Tokenizer::bytes()})
    check_alike([&] {
      std::vector<int32_t> tokens;
      for (int i = 0; i < 20; ++i) tokens = tokenizer.encode(text);
      return std::pair(tokens, tokenizer.decode(tokens));
    });
}

TEST_CASE("threads: a data set is read by several at once, its maps among them") {
  data::Dataset set =
      data::two_moons(64).map("features", [](Tensor x, Generator& random) { return x + rand({2}, {.generator = &random}); });
  check_alike([&] {
    std::vector<double> all;
    for (int64_t i = 0; i < set.size(); ++i)
      for (double v : to_vector(set[i].features)) all.push_back(v);
    return all;
  });
}

TEST_CASE("threads: each has a generator of its own") {
  check_alike([] {
    manual_seed(5);
    return to_vector(randn({100}));
  });
}

TEST_CASE("threads: memory that several allocate and free is all given back") {
  int64_t before = memory_stats(cpu).live;
  check_alike([] {
    for (int64_t i = 1; i < 300; ++i) empty({i * 17}, f32);
    return 0;
  });
  CHECK(memory_stats(cpu).live == before);
}
