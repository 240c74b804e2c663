// The simulation of ALDR-KL's λ at the smoke budget.
#include <doctest/doctest.h>

#include "methods/runner.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb::methods::ldr_adaptivity {
Experiment experiment();
}

TEST_CASE("ldr adaptivity: every variant measures its λ, which stays within its bounds") {
  Results results = run_experiment({"robust", "ldr_adaptivity", &ldr_adaptivity::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 5);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "test accuracy (%)") > 60);  // three clouds far apart
    for (const char* which : {"mean λ / λ₀, rightly labelled", "mean λ / λ₀, wrongly labelled"}) {
      double share = measured(results, cell.variant, which);
      CHECK((share >= 0.5 && share <= 1));
    }
    double correlation = measured(results, cell.variant, "rank correlation of λ and noise");
    CHECK((correlation >= -1 && correlation <= 1));
  }
}
