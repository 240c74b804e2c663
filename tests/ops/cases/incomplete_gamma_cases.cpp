// Rows of the incomplete gamma functions: both sides of x = a + 1, where series and fraction meet.
#include "ops/incomplete_gamma.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> incomplete_gamma_cases() {
  return {
      {"igamma", {within(0.4, 4, {2, 3}), within(0.3, 7, {2, 3})}, igamma, true},
      {"igammac", {within(0.4, 4, {2, 3}), within(0.3, 7, {2, 3})}, igammac, true},
      {"igamma, large", {within(40, 60, {4}), within(40, 60, {4})}, igamma},
  };
}

}  // namespace plumb::testing
