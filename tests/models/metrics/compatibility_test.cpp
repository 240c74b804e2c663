// Retrieval across models: templates, the worked matrix, ties, mistakes.
#include "models/metrics/compatibility.h"

#include <doctest/doctest.h>

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("identification accuracy: the nearest template of length 1, whatever the features' lengths") {
  Tensor gallery = tensor({{2.0, 0.0}, {0.0, 5.0}, {0.0, 1.0}, {1.0, 1.0}}), labels = tensor({0, 1, 1, 0});
  // Templates: (1 + √½, √½) / 2 to length 1, at 22.5 degrees; and (0, 1). Halfway lies 56.25 degrees.
  Tensor queries = tensor({{3.0, 4.48}, {3.0, 4.50}, {0.1, 0.0}, {-1.0, 2.0}});  // at 56.2 and 56.31 degrees
  CHECK(identification_accuracy(queries, tensor({0, 1, 0, 1}), gallery, labels, 2) == 1);
  CHECK(identification_accuracy(queries, tensor({0, 0, 1, 1}), gallery, labels, 2) == 0.5);
}

TEST_CASE("compatibility: the worked matrix") {
  CompatibilityMatrix c{{.60}, {.62, .70}, {.58, .71, .75}};
  CHECK(average_compatibility(c) == doctest::Approx(2.0 / 3));
  CHECK(average_multi_model_accuracy(c) == doctest::Approx(.66));
}

TEST_CASE("compatibility: one model repeated ties with itself, which is not compatible; zeros count in the mean") {
  CHECK(average_compatibility({{.5, 0, 0}, {.5, .5, 0}, {.5, .5, .5}}) == 0);
  CHECK(average_multi_model_accuracy({{.6}, {0, .6}}) == doctest::Approx(.4));
}

TEST_CASE("compatibility: mistakes are named") {
  CHECK_THROWS_WITH_AS(average_compatibility({{1}}), "average_compatibility: takes 2 models or more, got 1", ValueError);
  CHECK_THROWS_WITH_AS(average_multi_model_accuracy({}), "average_multi_model_accuracy: takes 1 models or more, got 0", ValueError);
  CHECK_THROWS_WITH_AS(average_compatibility({{1}, {1}}), "average_compatibility: row 1 has 1 scores, it needs 2", ValueError);
  Tensor rows = tensor({{1.0, 0.0}, {0.0, 0.0}}), labels = tensor({0, 1});
  CHECK_THROWS_WITH_AS(identification_accuracy(rows, labels, rows, labels, 2),
                       "identification_accuracy: row 1 of the queries is 0 or not finite", ValueError);
  Tensor good = tensor({{1.0, 0.0}, {0.0, 1.0}});
  CHECK_THROWS_WITH_AS(identification_accuracy(good, labels, tensor({{1.0, 0.0, 0.0}}), tensor({0}), 1),
                       "identification_accuracy: queries [2, 2] with labels [2] for a gallery [1, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(identification_accuracy(good, labels, good, tensor({0, 0}), 2), "prototypes: class 1 has no example", ValueError);
}
