// Charts of ranges that ordinary ticks do not fit.
#include "models/train/line_chart.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;

TEST_CASE("line chart: values that are one but for their last bits, and one value alone, are drawn with a few ticks") {
  for (double value : {25.833333333333332, 0.0, -3e12}) {
    double next = std::nextafter(value, value + 1);
    for (const std::vector<double>& y : {std::vector<double>{value}, std::vector<double>{value, next}}) {
      std::string chart = train::line_chart("accuracy", "steps", {{"", std::vector<double>(y.size(), 8.0), y, "#333333", true}});
      CHECK(chart.size() < 10'000);
      CHECK(chart.find("class='grid'") != std::string::npos);
      CHECK(chart.find("nan") == std::string::npos);
    }
  }
}
