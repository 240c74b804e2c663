// Drawing axes, ticks and lines.
#include "models/train/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/train/html.h"

namespace plumb::train {
namespace {

constexpr double kWidth = 760, kHeight = 300, kLeft = 64, kRight = 16, kTop = 34, kBottom = 44;
constexpr size_t kMostPoints = 1500;

struct Axis {
  double low, high, from, to;  // values low … high lie at pixels from … to
  double place(double v) const { return from + (v - low) / (high - low) * (to - from); }
};

// 1, 2 or 5 times a power of ten, so that about `count` steps fill the range.
double round_step(double range, int count) {
  double raw = range / count, power = std::pow(10.0, std::floor(std::log10(raw))), ratio = raw / power;
  return power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
}

Axis axis_over(const std::vector<Series>& series, std::vector<double> Series::* values, double from, double to) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Series& s : series)
    for (double v : s.*values)
      if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
  if (low > high) low = 0, high = 1;
  // Values that differ in their last bits only, as means of equal numbers may, are one value: steps of such a range would not move it.
  if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high))) {
    double half = std::max(0.5, 1e-6 * std::abs(low));
    low -= half, high += half;
  }
  return {low, high, from, to};
}

std::string ticks(const Axis& axis, bool horizontal) {
  std::string out;
  double step = round_step(axis.high - axis.low, horizontal ? 8 : 5);
  for (double v = std::ceil(axis.low / step) * step; v <= axis.high + step * 1e-9; v += step) {
    double at = axis.place(v);
    double shown = std::abs(v) < step * 1e-9 ? 0 : v;
    if (horizontal)
      out += fmt::format(
          "<line x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}' class='grid'/><text x='{0:.1f}' y='{3}' text-anchor='middle'>{4:.6g}</text>\n",
          at, kTop, kHeight - kBottom, kHeight - kBottom + 16, shown);
    else
      out += fmt::format(
          "<line x1='{1}' x2='{2}' y1='{0:.1f}' y2='{0:.1f}' class='grid'/><text x='{3}' y='{4:.1f}' text-anchor='end'>{5:.6g}</text>\n",
          at, kLeft, kWidth - kRight, kLeft - 6, at + 4, shown);
  }
  return out;
}

std::string drawn(const Series& s, const Axis& x, const Axis& y) {
  size_t stride = std::max<size_t>(1, s.x.size() / kMostPoints);
  std::string points, dots;
  for (size_t i = 0; i < s.x.size(); i += stride) {
    if (!std::isfinite(s.x[i]) || !std::isfinite(s.y[i])) continue;
    points += fmt::format("{:.1f},{:.1f} ", x.place(s.x[i]), y.place(s.y[i]));
    if (s.dots) dots += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3.5' fill='{}'/>", x.place(s.x[i]), y.place(s.y[i]), s.colour);
  }
  return fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='{}'/>{}\n", points, s.colour, s.dots ? 1 : 1.5, dots);
}

// Characters are about so wide; names are set from the right, and go on in lines of their own below the title where they do not fit beside
// it.
constexpr double kLetter = 7.2, kGap = 14, kLegendLine = 16;

struct Legend {
  std::string text;
  double extra = 0;  // height of the lines after the first
};
Legend legend_beside(const std::string& title, const std::vector<Series>& series) {
  Legend legend;
  double at = kWidth - kRight, left = kLeft + kLetter * static_cast<double>(title.size()) + kGap;
  for (auto s = series.rbegin(); s != series.rend(); ++s) {
    double width = kLetter * static_cast<double>(s->name.size());
    if (at - width < left && (legend.extra == 0 || at < kWidth - kRight)) legend.extra += kLegendLine, at = kWidth - kRight, left = kLeft;
    legend.text += fmt::format("<text x='{:.0f}' y='{:.0f}' text-anchor='end' fill='{}'>{}</text>\n", at, 18 + legend.extra, s->colour,
                               escape_html(s->name));
    at -= width + kGap;
  }
  return legend;
}

}  // namespace

std::string line_chart(const std::string& title, const std::string& x_label, const std::vector<Series>& series) {
  Axis x = axis_over(series, &Series::x, kLeft, kWidth - kRight), y = axis_over(series, &Series::y, kHeight - kBottom, kTop);
  Legend legend = legend_beside(title, series);
  std::string name = escape_html(title);
  std::string out = fmt::format("<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>\n<text x='{}' y='18' class='title'>{}</text>\n",
                                kWidth, kHeight + legend.extra, name, kLeft, name);
  out += legend.text + fmt::format("<g transform='translate(0,{})'>\n", legend.extra) + ticks(x, true) + ticks(y, false);
  for (const Series& s : series) out += drawn(s, x, y);
  return out + fmt::format("<text x='{}' y='{}' text-anchor='middle'>{}</text>\n</g>\n</svg>\n", (kLeft + kWidth - kRight) / 2, kHeight - 8,
                           escape_html(x_label));
}

}  // namespace plumb::train
