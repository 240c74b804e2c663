// Film reviews from an archive: order, labels, folds, and archives that will not do.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/data/film_reviews.h"
#include "tests/engine/io/tar_entry.h"
#include "tests/scratch.h"

using namespace plumb;
using plumb_test::Scratch;
using plumb_test::tar_entry;

TEST_CASE("film reviews: negative ones first, by number, whatever the archive's order") {
  Scratch scratch;
  std::string end(1024, '\0');
  std::string path =
      scratch.put("r.tar", tar_entry("txt_sentoken/pos/cv512_7.txt", "fine .") + tar_entry("txt_sentoken/neg/cv900_1.txt", "dull .") +
                               tar_entry("txt_sentoken/neg/cv003_2.txt", "poor .") + tar_entry("poldata.README", "x") + end);
  auto reviews = data::read_film_reviews(path);
  REQUIRE(reviews.size() == 3);
  CHECK(reviews[0].text == "poor .");
  CHECK(reviews[0].number == 3);
  CHECK(reviews[1].fold() == 9);
  CHECK(reviews[1].positive == 0);
  CHECK(reviews[2].positive == 1);
  CHECK(reviews[2].fold() == 5);
}

TEST_CASE("film reviews: an archive without them, and one that is not there, are named") {
  Scratch scratch;
  std::string other = scratch.put("other.tar", tar_entry("a.txt", "x") + std::string(1024, '\0'));
  CHECK_THROWS_WITH_AS(data::read_film_reviews(other),
                       ("film reviews: " + other + ": holds no file like neg/cv000_….txt or pos/cv000_….txt").c_str(), IoError);
  std::string odd = scratch.put("odd.tar", tar_entry("txt_sentoken/neg/cvx12.txt", "x") + std::string(1024, '\0'));
  CHECK_THROWS_WITH_AS(data::read_film_reviews(odd), ("film reviews: " + odd + ": txt_sentoken/neg/cvx12.txt has no file number").c_str(),
                       IoError);
  CHECK_THROWS_AS(data::film_reviews(scratch.path("nowhere")), IoError);
}
