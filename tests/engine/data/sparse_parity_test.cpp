// Sparse parity: distinct vectors, the right labels, disjoint parts.
#include "engine/data/sparse_parity.h"

#include <doctest/doctest.h>

#include <set>

using namespace plumb;

TEST_CASE("sparse_parity: labels are the parity of the first bits, vectors differ, parts are disjoint") {
  data::DatasetParts parts = data::sparse_parity({.relevant = 3, .irrelevant = 8, .samples = 1000, .train = 0.4, .seed = 2});
  CHECK(parts.train().size() == 400);
  CHECK(parts.test().size() == 600);
  std::set<std::vector<double>> seen;
  int64_t odd = 0;
  for (const data::Dataset& part : {parts.train(), parts.test()})
    for (int64_t i = 0; i < part.size(); ++i) {
      data::Sample s = part[i];
      std::vector<double> bits = to_vector(s.features);
      REQUIRE(bits.size() == 11);
      CHECK(s.label.item<int64_t>() == static_cast<int64_t>(bits[0] + bits[1] + bits[2]) % 2);
      odd += s.label.item<int64_t>();
      CHECK(seen.insert(bits).second);
    }
  CHECK(odd > 400);
  CHECK(odd < 600);
}

TEST_CASE("sparse_parity: all vectors there are can be asked for, not one more") {
  CHECK(data::sparse_parity({.relevant = 2, .irrelevant = 3, .samples = 32}).all().size() == 32);
  CHECK_THROWS_WITH_AS(data::sparse_parity({.relevant = 2, .irrelevant = 3, .samples = 33}), "sparse_parity: 33 distinct samples of 5 bits",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::sparse_parity({.relevant = 0}),
                       "sparse_parity: 0 relevant and 40 other bits; needs at least 1 and 0, and at most 63 together", ValueError);
  CHECK_THROWS_WITH_AS(data::sparse_parity({.train = 1.5}), "sparse_parity: the training share 1.5 is outside [0, 1]", ValueError);
}
