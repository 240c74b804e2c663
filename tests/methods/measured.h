// What a variant measured in the results of an experiment's run.
#pragma once
#include <doctest/doctest.h>

#include <string>

#include "methods/results.h"

/// Of the first seed; fails the test if the variant is not there or did not measure it.
inline double measured(const plumb::methods::Results& results, const std::string& variant, const std::string& metric) {
  for (const auto& cell : results.cells)
    if (cell.variant == variant)
      for (const auto& [name, value] : cell.measured.metrics)
        if (name == metric) return value;
  FAIL(variant << " did not measure " << metric);
  return 0;
}
