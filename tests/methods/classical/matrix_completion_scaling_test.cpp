// Completion without the matrix: entries of a product, the order that counting sorts give, and the experiment of times.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "methods/classical/matrix_completion/matrix_completion.h"
#include "methods/runner.h"
#include "ops/matmul.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::matrix_completion_scaling {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::matrix_completion;

TEST_CASE("observe_product: so many different entries a row, with the product's values") {
  Tensor u = test::sample({7, 3}, 1), v = test::sample({9, 3}, 2), product = matmul(u, mT(v));
  Generator g(3);
  for (int64_t per_row : {1, 4, 9}) {
    SparseObservations o = observe_product(u, v, per_row, g);
    REQUIRE(o.value.size() == static_cast<size_t>(7 * per_row));
    std::set<std::pair<int64_t, int64_t>> places;
    for (size_t i = 0; i < o.value.size(); ++i) {
      places.insert({o.row[i], o.column[i]});
      CHECK(o.row[i] == static_cast<int64_t>(i) / per_row);
      CHECK(o.value[i] == doctest::Approx(product.data<double>()[o.row[i] * 9 + o.column[i]]).epsilon(1e-14));
    }
    CHECK(places.size() == o.value.size());
  }
  CHECK_THROWS_WITH_AS(observe_product(u, v, 10, g), "observe_product: 10 entries a row must lie in [1, 9]", ValueError);
  CHECK_THROWS_WITH_AS(observe_product(u, test::sample({9, 2}, 4), 2, g),
                       "observe_product: factors [7, 3] and [9, 2] must be [m, k] and [n, k]", ShapeError);
}

TEST_CASE("observed entries are sorted both ways, whatever order they come in") {
  SparseObservations o{3, 4, {2, 0, 2, 1, 0}, {1, 3, 0, 1, 0}, {10, 20, 30, 40, 50}};
  ObservedMatrix m(o);
  CHECK(m.by_row().start == std::vector<int64_t>{0, 2, 3, 5});
  CHECK(m.by_row().index == std::vector<int64_t>{0, 3, 1, 0, 1});
  CHECK(m.by_row().value == std::vector<double>{50, 20, 40, 30, 10});
  CHECK(m.by_column().start == std::vector<int64_t>{0, 2, 4, 4, 5});
  CHECK(m.by_column().index == std::vector<int64_t>{0, 2, 1, 2, 0});
  CHECK(m.by_column().value == std::vector<double>{50, 30, 40, 10, 20});
  CHECK(m.by_column().place == std::vector<int64_t>{0, 3, 2, 4, 1});  // in the order by rows
}

TEST_CASE("matrix_completion_scaling: the experiment completes what it times, and counts work nearly in proportion") {
  Results results = run_experiment({"classical", "matrix_completion_scaling", &matrix_completion_scaling::experiment, {}},
                                   {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 3);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const std::string growth : {"a tenth known", "100 a row"}) {
      CAPTURE(growth);
      CHECK(measured(results, cell.variant, "log10 relative error of unseen entries at the most, " + growth) < -4.5);
      double work = measured(results, cell.variant, "exponent of multiply-adds in entries, " + growth);
      CHECK(work > 0.3);  // longer lines need fewer rounds
      CHECK(work < 1.6);  // small matrices are dense, and their start needs few steps
      CHECK(measured(results, cell.variant, "processor seconds at the most entries, " + growth) > 0);
    }
  }
}
