// The form on images of a generative experiment, at a size that a test can afford.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/core/generator.h"
#include "methods/common/image_generation.h"
#include "methods/experiment.h"

namespace plumb::test {

/// Runs variants of an experiment on a few rendered shapes with very small U-Nets; every metric must be measured and finite.
template <typename Run>
void check_image_form(const methods::Experiment& experiment, Run&& run, const std::vector<std::string>& variants) {
  manual_seed(1);
  methods::ImageProblem shapes(
      {.network = {.width = 4, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {}, .middle_attention = false, .groups = 2},
       .real = false,
       .most = 40,
       .oracle_steps = 2});
  for (const std::string& variant : variants) {
    CAPTURE(variant);
    methods::Cell cell(variant, 0, methods::Budget::full);
    manual_seed(2);
    run(cell, shapes);
    CHECK(cell.measured().metrics.size() == experiment.metrics.size());
    for (const auto& [name, value] : cell.measured().metrics) {
      CAPTURE(name);
      CHECK(std::isfinite(value));
    }
    CHECK(cell.measured().pictures.size() == 2);
  }
}

}  // namespace plumb::test
