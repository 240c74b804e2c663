// The images of common tables: their small forms always, the published ones where they are.
#include "methods/common/table_images.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("table images: small forms have their classes and shapes") {
  TableImages digits = table_images("handwritten digits", true), colours = table_images("colour images", true);
  CHECK(digits.train[0].image.shape() == Shape{1, 8, 8});
  CHECK(digits.kind == ImageKind::marks);
  CHECK(colours.train.size() == 160);
  CHECK(colours.test.size() == 60);
  CHECK(colours.train[0].image.shape() == Shape{3, 12, 12});
  CHECK(to_vector(colours.train[0].image) != to_vector(colours.test[0].image));
  for (int64_t label : colours.train.labels()) CHECK((label >= 0 && label < 4));
  CHECK_THROWS_WITH_AS(table_images("sketches", true), "table_images: \"sketches\" is unknown; choose handwritten digits or colour images",
                       ValueError);
}

TEST_CASE("table images: the published sets") {
  if (!std::getenv("PLUMB_DATA")) {
    MESSAGE("skipped: PLUMB_DATA names no directory with the data sets");
    return;
  }
  TableImages digits = table_images("handwritten digits", false), colours = table_images("colour images", false);
  CHECK(digits.train.size() == 10'000);
  CHECK(digits.test.size() == 4000);
  CHECK(digits.train[0].image.shape() == Shape{1, 28, 28});
  CHECK(colours.train.size() >= 10'000);
  CHECK(colours.train[0].image.shape() == Shape{3, 32, 32});
}
