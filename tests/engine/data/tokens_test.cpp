// Token streams: random windows that depend on the step alone, consecutive windows that cover everything, and their errors.
#include "engine/data/tokens.h"

#include <doctest/doctest.h>

#include <limits>
#include <numeric>
#include <set>

using namespace plumb;
using data::ConsecutiveWindows;
using data::RandomWindows;
using data::TokenStream;

static TokenStream counting(int32_t n, int32_t first = 0, const char* name = "data/tiny.txt") {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), first);
  return TokenStream(tokens, name);
}

TEST_CASE("tokens: a stream keeps small and large vocabularies exactly, and parts share it") {
  for (int32_t first : {0, 70000}) {
    TokenStream text = counting(100, first);
    CHECK(text.size() == 100);
    CHECK(text[99] == first + 99);
    TokenStream part = text.part(10, 40).part(5, 20);
    CHECK(part.size() == 15);
    CHECK(part.whole() == 100);
    CHECK(part[0] == first + 15);
    CHECK_THROWS_WITH_AS(part.part(3, 16), "tokens: [3, 16) does not lie within the 15 tokens of data/tiny.txt", IndexError);
    CHECK_THROWS_WITH_AS(part[-1], "tokens: [-1, 0) does not lie within the 15 tokens of data/tiny.txt", IndexError);
  }
  CHECK_THROWS_WITH_AS(TokenStream({4, -2}, "a.txt"), "tokens: a.txt: token -2 at place 1 is negative", ValueError);
}

TEST_CASE("tokens: the last tenth is for validation") {
  auto [train, validation] = data::split(counting(1009));
  CHECK(train.size() == 908);
  CHECK(validation.size() == 101);
  CHECK(validation[0] == 908);
  CHECK_THROWS_WITH_AS(data::split(counting(10), 1.0), "split: the validation part 1 is outside [0, 1)", ValueError);
}

TEST_CASE("random windows: the target is the text one token further on, and every place is drawn") {
  RandomWindows windows(counting(20), {.context = 4, .batch = 8, .seed = 1});
  std::set<int64_t> starts;
  for (int64_t step = 0; step < 50; ++step) {
    data::Batch batch = windows(step);
    CHECK(batch.tokens.shape() == Shape{8, 4});
    CHECK(batch.target.shape() == Shape{8, 4});
    auto tokens = to_vector<int64_t>(batch.tokens), target = to_vector<int64_t>(batch.target), index = to_vector<int64_t>(batch.index);
    for (size_t i = 0; i < tokens.size(); ++i) {
      CHECK(tokens[i] == index[i / 4] + static_cast<int64_t>(i % 4));
      CHECK(target[i] == tokens[i] + 1);
    }
    starts.insert(index.begin(), index.end());
  }
  CHECK(starts.size() == 16);  // 0 … 15: the last window ends at token 18, its target at 19
  CHECK(*starts.rbegin() == 15);
}

TEST_CASE("random windows: a batch depends on seed, step and rank alone") {
  data::WindowOptions options{.context = 16, .batch = 4, .seed = 7};
  RandomWindows a(counting(5000), options), b(counting(5000), options);
  for (int64_t step : {41, 3, 41}) CHECK(to_vector<int64_t>(a(step).index) == to_vector<int64_t>(b(step).index));
  CHECK(to_vector<int64_t>(a(3).index) != to_vector<int64_t>(a(4).index));
  options.seed = 8;
  CHECK(to_vector<int64_t>(RandomWindows(counting(5000), options)(3).index) != to_vector<int64_t>(a(3).index));

  // Two ranks together draw what one process draws with twice the batch.
  RandomWindows all(counting(5000), {.context = 16, .batch = 4, .seed = 7});
  std::vector<int64_t> shared;
  for (int64_t rank = 0; rank < 2; ++rank) {
    auto part =
        to_vector<int64_t>(RandomWindows(counting(5000), {.context = 16, .batch = 2, .seed = 7, .rank = rank, .ranks = 2})(9).index);
    shared.insert(shared.end(), part.begin(), part.end());
  }
  CHECK(shared == to_vector<int64_t>(all(9).index));
}

TEST_CASE("random windows: places are uniform") {
  RandomWindows windows(counting(11), {.context = 1, .batch = 1000, .seed = 3});
  std::vector<int> count(10);
  for (int64_t step = 0; step < 10; ++step)
    for (int64_t start : to_vector<int64_t>(windows(step).index)) ++count[static_cast<size_t>(start)];
  double chi2 = 0;  // 9 degrees of freedom: above 27.9 with probability 0.001
  for (int c : count) chi2 += (c - 1000.0) * (c - 1000.0) / 1000.0;
  CHECK(chi2 < 27.9);
}

TEST_CASE("a context longer than the text says what would fit") {
  CHECK_THROWS_WITH_AS(RandomWindows(counting(300), {.context = 512}),
                       "--context 512 is longer than the text: data/tiny.txt has 300 tokens; give a longer text or --context 299 or less",
                       ConfigError);
  CHECK_NOTHROW(RandomWindows(counting(300), {.context = 299})(0));
  TokenStream train = data::split(counting(300)).train;
  CHECK_THROWS_WITH_AS(RandomWindows(train, {.context = 270}),
                       "--context 270 is longer than the text: data/tiny.txt has 300 tokens, 270 of them in this part; give a longer text "
                       "or --context 269 or less",
                       ConfigError);
  CHECK_THROWS_WITH_AS(RandomWindows(counting(0), {.context = 8}),
                       "--context 8 is longer than the text: data/tiny.txt has 0 tokens; give a longer text", ConfigError);
  CHECK_THROWS_WITH_AS(RandomWindows(counting(9), {.context = 0}), "windows: context 0 is less than 1", ValueError);
  CHECK_THROWS_WITH_AS(RandomWindows(counting(9), {.context = 2, .batch = -1}), "windows: batch -1 is less than 1", ValueError);
  CHECK_THROWS_WITH_AS(RandomWindows(counting(9), {.context = 2, .rank = 2, .ranks = 2}), "windows: rank 2 is outside [0, 2)", ValueError);
  CHECK_THROWS_WITH_AS(RandomWindows(counting(9), {.context = 2})(-1), "windows: step -1 is negative", IndexError);
}

TEST_CASE("consecutive windows: every token but the first is a target exactly once") {
  for (int32_t n : {2, 3, 8, 9, 10, 40, 41, 43}) {
    for (int64_t batch : {1, 3, 100}) {
      CAPTURE(n);
      CAPTURE(batch);
      ConsecutiveWindows windows(counting(n), 4, batch);
      std::vector<int64_t> targets;
      int64_t batches = 0;
      for (const data::Batch& b : windows) {
        auto tokens = to_vector<int64_t>(b.tokens), target = to_vector<int64_t>(b.target);
        for (size_t i = 0; i < tokens.size(); ++i) CHECK(target[i] == tokens[i] + 1);
        targets.insert(targets.end(), target.begin(), target.end());
        CHECK(b.size() <= batch);
        ++batches;
      }
      CHECK(batches == windows.size());
      CHECK(static_cast<int64_t>(targets.size()) == windows.targets());
      std::vector<int64_t> expected(static_cast<size_t>(n - 1));
      std::iota(expected.begin(), expected.end(), 1);
      CHECK(targets == expected);
    }
  }
}

TEST_CASE("consecutive windows: a text of one token is refused") {
  CHECK_THROWS_WITH_AS(ConsecutiveWindows(counting(1), 4, 2), "windows: data/tiny.txt has 1 tokens; at least 2 are needed", ConfigError);
  CHECK_THROWS_WITH_AS(ConsecutiveWindows(data::split(counting(5)).validation, 4, 2),
                       "windows: data/tiny.txt has 5 tokens, 1 of them in this part; at least 2 are needed", ConfigError);
  CHECK_THROWS_WITH_AS(ConsecutiveWindows(counting(10), 4, 2)[2], "windows: batch 2 is outside [0, 2)", IndexError);
}

TEST_CASE("token stream: tokens of more than 16 bits are kept") {
  for (int32_t largest : {65535, 65536, 1 << 20}) CHECK(TokenStream({7, largest}, "text")[1] == largest);
}

TEST_CASE("consecutive windows: a batch larger than all windows takes them all, however large") {
  ConsecutiveWindows windows(counting(10), 4, std::numeric_limits<int64_t>::max());
  CHECK(windows.size() == 2);  // two whole windows, and the one target that is left
  CHECK(windows[0].size() == 2);
  CHECK(windows[1].size() == 1);
}
