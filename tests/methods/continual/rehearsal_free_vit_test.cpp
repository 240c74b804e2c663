// The experiment with a transformer at the smoke budget: what is frozen stays, what is trained moves the answers.
#include <doctest/doctest.h>

#include "methods/runner.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
namespace plumb::methods::rehearsal_free_vit {
Experiment experiment();
}

TEST_CASE("rehearsal_free_vit: every variant measures everything at the smoke budget") {
  Experiment e = rehearsal_free_vit::experiment();
  CHECK(e.variants.back().name == e.method);
  Results results =
      run_experiment({"continual", "rehearsal_free_vit", &rehearsal_free_vit::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == e.variants.size());
  for (const Variant& v : e.variants) {
    CAPTURE(v.name);
    double told = measured(results, v.name, "told the task (%)");
    CHECK(told > 30);  // 50 % is chance
    CHECK(told <= 100);
    CHECK(measured(results, v.name, "final accuracy (%)") <= told);
    CHECK(measured(results, v.name, "forgetting (points)") >= -100);
  }
  auto all = [&](const std::string& variant) {
    std::vector<double> values;
    for (const Metric& m : e.metrics) values.push_back(measured(results, variant, m.name));
    return values;
  };
  CHECK(all("frozen") != all("FT++"));
  CHECK(all("OnePrompt") != all("frozen"));
}
