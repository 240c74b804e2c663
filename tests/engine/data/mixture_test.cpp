// Batches from several groups: proportions, exact compositions, and that groups are gone through without replacement.
#include "engine/data/mixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::data;

TEST_CASE("mixture_counts: whole examples by the shares, the rest to the last group") {
  using Counts = std::vector<int64_t>;
  CHECK(mixture_counts({0.625, 0.375}, 8) == Counts{5, 3});
  CHECK(mixture_counts({0.375, 0.625}, 8) == Counts{3, 5});
  CHECK(mixture_counts({0.25, 0.5, 0.25}, 10) == Counts{2, 5, 3});
  CHECK(mixture_counts({0.01, 0.01, 0.98}, 10) == Counts{1, 1, 8});  // at least one of each
  CHECK(mixture_counts({0, 1, 0}, 10) == Counts{0, 10, 0});
  CHECK(mixture_counts({0.1, 0.9}, 30) == Counts{3, 27});  // 0.1 · 30 is 3, however it is rounded
  CHECK_THROWS_WITH_AS(mixture_counts({0.5, 0.25, 0.25}, 2), "mixture: a batch of 2 leaves no example for the last of 3 groups",
                       ValueError);
}

TEST_CASE("MixtureSampler: groups are drawn by the proportions, which may change") {
  MixtureSampler sampler({50, 7, 300}, Generator(1));
  auto shares = [&] {
    std::vector<double> out(3);
    for (const MixturePick& p : sampler.next_batch(6000)) out[static_cast<size_t>(p.group)] += 1.0 / 6000;
    return out;
  };
  for (const std::vector<double>& p : {std::vector<double>{1.0 / 3, 1.0 / 3, 1.0 / 3}, {0.7, 0.1, 0.2}, {0, 0.25, 0.75}, {0, 1, 0}}) {
    sampler.set_proportions(p);
    std::vector<double> drawn = shares();
    for (size_t i = 0; i < 3; ++i) CHECK(std::abs(drawn[i] - p[i]) <= 4 * std::sqrt(p[i] * (1 - p[i]) / 6000) + 1e-9);
  }
}

TEST_CASE("MixtureSampler: an exact batch has its composition, and a group gives each example once before any twice") {
  MixtureSampler sampler({5, 4}, Generator(2));
  std::vector<int64_t> first, second;
  for (int n = 0; n < 4; ++n) {
    auto batch = sampler.exact_batch({5, 2});
    REQUIRE(batch.size() == 7);
    std::vector<int64_t> here;
    for (size_t i = 0; i < 7; ++i) {
      CHECK(batch[i].group == (i < 5 ? 0 : 1));
      (i < 5 ? here : second).push_back(batch[i].index);
    }
    first.insert(first.end(), here.begin(), here.end());
    std::sort(here.begin(), here.end());
    CHECK(here == std::vector<int64_t>{0, 1, 2, 3, 4});
  }
  CHECK(std::vector<int64_t>(first.begin(), first.begin() + 5) != std::vector<int64_t>(first.begin() + 5, first.begin() + 10));
  for (int pass : {0, 1}) {
    std::vector<int64_t> four(second.begin() + 4 * pass, second.begin() + 4 * pass + 4);
    std::sort(four.begin(), four.end());
    CHECK(four == std::vector<int64_t>{0, 1, 2, 3});
  }
}

TEST_CASE("MixtureSampler: the same seed gives the same batches") {
  MixtureSampler a({9, 9}, Generator(3)), b({9, 9}, Generator(3)), c({9, 9}, Generator(4));
  auto of_a = a.next_batch(50);
  CHECK(of_a == b.next_batch(50));
  CHECK_FALSE(of_a == c.next_batch(50));
}

TEST_CASE("mixture: bad input is told by its values") {
  MixtureSampler sampler({3, 3}, Generator(0));
  CHECK_THROWS_WITH_AS(sampler.set_proportions({0.5, 0.4}), "mixture: the shares must sum to 1, they sum to 0.9", ValueError);
  CHECK_THROWS_WITH_AS(sampler.set_proportions({1.5, -0.5}), "mixture: shares must be finite and not negative, that of group 1 is -0.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(sampler.set_proportions({NAN, 1}), "mixture: shares must be finite and not negative, that of group 0 is nan",
                       ValueError);
  CHECK_THROWS_WITH_AS(sampler.set_proportions({0, 0}), "mixture: all shares are 0", ValueError);
  CHECK_THROWS_WITH_AS(sampler.set_proportions({1}), "mixture: 1 shares for 2 groups", ValueError);
  CHECK(sampler.proportions() == std::vector<double>{0.5, 0.5});
  CHECK_THROWS_WITH_AS(sampler.exact_batch({1}), "mixture: 1 counts for 2 groups", ValueError);
  CHECK_THROWS_WITH_AS(sampler.exact_batch({1, -1}), "mixture: group 1 cannot give -1 examples", ValueError);
  CHECK_THROWS_WITH_AS(MixtureSampler({3, 0}, Generator(0)), "mixture: group 1 has no examples", ValueError);
  CHECK_THROWS_WITH_AS(MixtureSampler({}, Generator(0)), "mixture: there are no groups", ValueError);
}
