// Pictures of measurements as SVG: bars with intervals, and a roofline.
#pragma once
#include <string>
#include <vector>

namespace plumb::tools {

struct Bar {
  std::string label, text;           ///< left of it, and at its end
  double value = 0, low = 0, high = 0;
  bool own = true;                   ///< Plumb's: in colour; a peer's is grey
};
/// Horizontal bars from 0, one a line, with a whisker from low to high where they differ.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);

struct RooflinePoint {
  std::string label;
  double intensity = 0, rate = 0;    ///< operations a byte, operations a second; both above 0
};
struct Roof {
  std::string label;
  double bandwidth = 0;              ///< bytes a second
};
/// Both axes logarithmic: each roof rises with its bandwidth up to the fastest product, `peak` operations a second. A point says its label
/// when the pointer rests on it.
std::string roofline_chart(const std::vector<RooflinePoint>& points, const std::vector<Roof>& roofs, double peak);

}  // namespace plumb::tools
