// The embedded digits: all there, unchanged, and split the same way everywhere.
#include "engine/data/digits/digits.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace plumb;

TEST_CASE("digits: 1,797 images with the published class counts and values") {
  data::Dataset all = data::digits().all();
  CHECK(all.size() == 1797);
  std::map<int64_t, int> count;
  for (int64_t label : all.labels()) ++count[label];
  CHECK(count ==
        std::map<int64_t, int>{{0, 178}, {1, 182}, {2, 177}, {3, 183}, {4, 181}, {5, 182}, {6, 181}, {7, 179}, {8, 174}, {9, 180}});
  data::Sample first = all[0];
  CHECK(first.image.shape() == Shape{1, 8, 8});
  CHECK(first.image.dtype() == f32);
  CHECK(first.label.item<int64_t>() == 0);
  std::vector<double> row = to_vector(first.image);
  CHECK(std::vector<double>(row.begin(), row.begin() + 8) == std::vector<double>{0, 0, 5 / 16.0, 13 / 16.0, 9 / 16.0, 1 / 16.0, 0, 0});
  double sum = 0;
  for (const auto& batch : all.batch(100))
    for (double p : to_vector(batch.image)) {
      CHECK_FALSE((p < 0 || p > 1));
      sum += 16 * p;
    }
  CHECK(sum == 561718);
  REQUIRE(all.source_hashes().size() == 1);
  CHECK(all.source_hashes()[0].path == "engine/data/digits/digits.csv.gz");
  CHECK(all.source_hashes()[0].sha256 == "46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a");
  CHECK(data::digits().class_names()[9] == "9");
}

TEST_CASE("digits: the split is fixed, disjoint and stratified") {
  auto [train, test] = std::pair{data::digits().train(), data::digits().test()};
  CHECK(train.size() == 1438);
  CHECK(test.size() == 359);
  std::vector<int64_t> seen;
  std::map<int64_t, int> count;
  for (const data::Dataset& part : {train, test})
    for (int64_t i = 0; i < part.size(); ++i) seen.push_back(part[i].index);
  for (int64_t label : test.labels()) ++count[label];
  std::sort(seen.begin(), seen.end());
  for (int64_t i = 0; i < 1797; ++i) CHECK(seen[static_cast<size_t>(i)] == i);
  for (const auto& [label, n] : count) CHECK((n >= 35 && n <= 37));
  CHECK(test.index_limit() == 1797);
}
