// The random state that comes back.
#include "engine/core/kept_generator.h"

#include <doctest/doctest.h>

using namespace plumb;

TEST_CASE("kept_generator: what draws in between changes no later number") {
  manual_seed(3);
  uint64_t wanted = default_generator().next_u64();
  manual_seed(3);
  {
    KeptGenerator keep;
    manual_seed(9);
    default_generator().next_u64();
  }
  CHECK(default_generator().next_u64() == wanted);
}
