// Experiments that follow --device on the device from one end to the other.
#include <cstdlib>

#include "tests/cuda/tools/runs.h"

using namespace plumb::testing;

TEST_CASE("run: experiments that follow the device compute on it") {
  Runs r;
  std::vector<std::string> slugs{"ict"};
  if (std::getenv("PLUMB_TEST_GPU")) slugs.insert(slugs.end(), {"scott", "slct", "ctm", "lcsc"});  // minutes on a simulated device
  for (const std::string& slug : slugs) {
    CAPTURE(slug);
    CHECK(run_here("run " + slug + " --budget smoke --seeds 1 --device cuda --out " + r.run(slug)) == 0);
  }
}
