// Holds a tensor against the worked numbers of a paper or card, which are given to so many digits.
#pragma once
#include <doctest/doctest.h>

#include <vector>

#include "engine/core/tensor.h"

/// Every value of `got`, in order, within `relative` of the wanted one.
inline void check_close(const plumb::Tensor& got, const std::vector<double>& wanted, double relative = 3e-6) {
  auto values = plumb::to_vector(got);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    CHECK(values[i] == doctest::Approx(wanted[i]).epsilon(relative));
  }
}
