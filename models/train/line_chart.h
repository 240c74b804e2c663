// A line chart as an SVG picture: enough for a run's report, with no library.
#pragma once
#include <string>
#include <vector>

namespace plumb::train {

struct Series {
  std::string name;
  std::vector<double> x, y;  ///< equal lengths; points that are not finite are left out
  std::string colour;        ///< CSS colour
  bool dots = false;         ///< points instead of a line
};

/// `series` over common axes with ticks at round numbers, a legend, and `title` above. Long series are thinned to what a screen can show.
std::string line_chart(const std::string& title, const std::string& x_label, const std::vector<Series>& series);

}  // namespace plumb::train
