// The generated catalogue's laws, MovieLens' files in their three forms, and files that will not do.
#include "engine/data/recommendation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "engine/core/error.h"
#include "tests/scratch.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

void put_100k(Scratch& scratch, const std::string& ratings) {
  std::string none = "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0";
  scratch.put("u.item", "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
                        "2|Old (1931)|||http://x|" + none + "\n"
                        "5|unknown||||1" + none.substr(1) + "\n");
  scratch.put("u.data", ratings);
}

}  // namespace

TEST_CASE("power-law catalogue: a user takes different items, the last ones are the test") {
  data::PowerLawOptions o{.items = 300, .users = 50, .taken = 12, .test = 3};
  data::RecommendationSet set = data::power_law_catalogue(o, 1);
  REQUIRE(set.users() == 50);
  REQUIRE(set.features.size() == 6);
  for (int64_t u = 0; u < 50; ++u) {
    auto all = set.train[static_cast<size_t>(u)];
    const auto& test = set.test[static_cast<size_t>(u)];
    CHECK(all.size() == 9);
    CHECK(test.size() == 3);
    all.insert(all.end(), test.begin(), test.end());
    CHECK(std::set<int64_t>(all.begin(), all.end()).size() == 12);
    for (int64_t item : all) CHECK((item >= 0 && item < 300));
  }
  auto counts = set.counts();
  CHECK(std::accumulate(counts.begin(), counts.end(), int64_t{0}) == 50 * 9);
  auto again = data::power_law_catalogue(o, 1), other = data::power_law_catalogue(o, 2);
  CHECK(again.train == set.train);
  CHECK(again.features[3].values == set.features[3].values);
  CHECK(other.train != set.train);
}

TEST_CASE("power-law catalogue: few items have most of the clicks, and a head's share grows with the exponent") {
  auto share_of_tenth = [](double exponent) {
    auto set = data::power_law_catalogue({.items = 1000, .users = 400, .exponent = exponent}, 3);
    auto counts = set.counts();
    std::sort(counts.rbegin(), counts.rend());
    return static_cast<double>(std::accumulate(counts.begin(), counts.begin() + 100, int64_t{0})) / (400 * 16);
  };
  double even = share_of_tenth(0), steep = share_of_tenth(1.1);
  CHECK(even < 0.3);
  CHECK(steep > 0.4);  // a pure law would give 71 %; users who may take an item once only flatten it
}

TEST_CASE("power-law catalogue: without noise the others of a group are functions of its first feature; tags come from three a type") {
  auto set = data::power_law_catalogue({.items = 500, .users = 5, .keep = 1, .tags = 40}, 4);
  REQUIRE(set.features.size() == 7);
  for (size_t group : {0, 3})
    for (size_t k : {1, 2}) {
      std::vector<int64_t> seen(20, -1);
      for (size_t i = 0; i < 500; ++i) {
        int64_t& value = seen[static_cast<size_t>(set.features[group].values[i])];
        if (value < 0) value = set.features[group + k].values[i];
        CHECK(value == set.features[group + k].values[i]);
      }
    }
  const data::ItemFeature& tags = set.features[6];
  REQUIRE(tags.offsets.size() == 501);
  for (size_t i = 0; i < 500; ++i) CHECK((tags.offsets[i + 1] - tags.offsets[i] >= 1 && tags.offsets[i + 1] - tags.offsets[i] <= 3));
  CHECK(tags.offsets.back() == static_cast<int64_t>(tags.values.size()));
}

TEST_CASE("power-law catalogue: mistakes are named") {
  CHECK_THROWS_WITH_AS(data::power_law_catalogue({.types = 2}, 0), "power_law_catalogue: types must be at least 3, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(
      data::power_law_catalogue({.items = 30}, 0),
      "power_law_catalogue: users take 20 different items of 30, 4 of them for the test; take more than the test and at most "
      "half of the items",
      ValueError);
  CHECK_THROWS_WITH_AS(data::power_law_catalogue({.exponent = -1}, 0), "power_law_catalogue: the exponent must not be negative, it is -1",
                       ValueError);
}

TEST_CASE("movielens: 100K, users by number, items by time, genres by their columns, the last ones for the test") {
  Scratch scratch;
  put_100k(scratch, "7\t2\t3\t20\n3\t1\t5\t10\n7\t5\t4\t5\n7\t1\t1\t30\n7\t2\t5\t40\n");
  auto set = data::movielens(scratch.path(""), {.test = 1});
  CHECK(set.items == 3);
  CHECK(set.train == std::vector<std::vector<int64_t>>{{0}, {2, 1}});  // user 3 has too few for a test; the second rating of 2 is left out
  CHECK(set.test == std::vector<std::vector<int64_t>>{{}, {0}});
  CHECK(set.features[0].cardinality == 19);
  CHECK(set.features[0].values == std::vector<int64_t>{3, 4, 5, 0});
  CHECK(set.features[0].offsets == std::vector<int64_t>{0, 3, 3, 4});
  CHECK(set.features[1].values == std::vector<int64_t>{22, 9, 0});
  auto liked = data::movielens(scratch.path(""), {.least_rating = 4, .test = 0});
  CHECK(liked.train == std::vector<std::vector<int64_t>>{{0}, {2, 1}});
}

TEST_CASE("movielens: the forms of 1M and of 20M give the same set") {
  Scratch first, second;
  first.put("movies.dat", "1::Toy Story (1995)::Comedy|Animation\n9::A: B::C (2001)::Drama\n");
  first.put("ratings.dat", "1::9::4::100\n1::1::5::50\n");
  second.put("movies.csv", "movieId,title,genres\r\n1,Toy Story (1995),Comedy|Animation\r\n9,\"A, B (2001)\",Drama\r\n");
  second.put("ratings.csv", "userId,movieId,rating,timestamp\n1,9,4.0,100\n1,1,5.0,50\n");
  for (Scratch* s : {&first, &second}) {
    auto set = data::movielens(s->path(""), {.test = 1});
    CHECK(set.train == std::vector<std::vector<int64_t>>{{0}});
    CHECK(set.test == std::vector<std::vector<int64_t>>{{1}});
    CHECK(set.features[0].cardinality == 3);
    CHECK(set.features[0].values == std::vector<int64_t>{1, 0, 2});
    CHECK(set.features[1].values == std::vector<int64_t>{22, 23});
  }
}

TEST_CASE("movielens: what is wrong with a file is one line that names it") {
  Scratch scratch;
  std::string root = scratch.path("");
  CHECK_THROWS_WITH_AS(data::movielens(root), ("movielens: " + root + " holds none of u.data, ratings.dat and ratings.csv").c_str(),
                       IoError);
  std::string at = "movielens: " + root + "/u.data: line 2: ";
  auto refused = [&](const std::string& ratings, const std::string& message) {
    put_100k(scratch, "7\t2\t3\t20\n" + ratings);
    CHECK_THROWS_WITH_AS(data::movielens(root), (at + message).c_str(), IoError);
  };
  refused("1\t4\t3\t20\n", "item 4 was never seen: u.item has no such film");
  refused("1\t2\t3\n", "has 3 fields, not user, item, rating and time");
  refused("1\t2\tgood\t20\n", "the rating \"good\" is no number");
  refused("1\t2\t6\t20\n", "the rating 6 is outside [0, 5]");
  put_100k(scratch, "7\t2\t3\t20\n");
  CHECK_THROWS_WITH_AS(data::movielens(root, {.least_rating = 4}), ("movielens: " + root + ": no rating of at least 4 is left").c_str(),
                       ValueError);
  scratch.put("u.item", "1|a|b\n");
  CHECK_THROWS_WITH_AS(data::movielens(root), ("movielens: " + root + "/u.item: line 1: has 3 fields, not 24").c_str(), IoError);
}

TEST_CASE("movielens: is found in the data directory, or is not") {
  Scratch scratch;
  CHECK(data::find_movielens(scratch.path("")).empty());
  scratch.put("ml-100k/u.data", "x");
  CHECK(data::find_movielens(scratch.path("")) == scratch.path("") + "/ml-100k");
}
