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

TEST_CASE("line chart: names that do not fit beside the title stand below it, and the plot further down") {
  auto chart = [](const std::string& title, std::vector<std::string> names) {
    std::vector<train::Series> series;
    for (const std::string& n : names) series.push_back({n, {0, 1}, {0, 1}, "#333333"});
    return train::line_chart(title, "steps", series);
  };
  std::string few = chart("Loss", {"training", "validation"}), wide = chart(std::string(60, 't'), {"training", "a longer name than that"}),
              many = chart("Loss", std::vector<std::string>(12, "a rather long name"));
  CHECK(few.find("viewBox='0 0 760 300'") != std::string::npos);
  CHECK(wide.find("viewBox='0 0 760 316'") != std::string::npos);
  CHECK(wide.find("translate(0,16)") != std::string::npos);
  CHECK(wide.find("y='34' text-anchor='end' fill") != std::string::npos);
  CHECK(many.find("viewBox='0 0 760 332'") != std::string::npos);
  for (size_t at = 0; (at = many.find("<text x='", at)) != std::string::npos; at += 9) CHECK(std::stod(many.substr(at + 9)) > 0);
}
