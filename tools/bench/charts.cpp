// Drawing by hand: a few rectangles and lines need no library.
#include "tools/bench/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/train/html.h"

namespace plumb::tools {
namespace {

using train::escape_html;

constexpr double kWidth = 760, kLine = 18, kLabels = 190, kCharacter = 6.3, kTexts = 170;
constexpr const char *kOwn = "#2471a3", *kPeer = "#b3b3b3";

std::string opened(const std::string& title, double height) {
  return fmt::format("<svg viewBox='0 0 {0} {1}' role='img' aria-label='{2}'>\n<text x='0' y='14' class='title'>{2}</text>\n", kWidth,
                     height, escape_html(title));
}

// A logarithmic axis: values low … high at pixels from … to.
struct LogAxis {
  double low, high, from, to;
  double place(double v) const { return from + std::log(v / low) / std::log(high / low) * (to - from); }
};

double decade_below(double v) { return std::pow(10.0, std::floor(std::log10(v))); }
double decade_above(double v) { return std::pow(10.0, std::ceil(std::log10(v) + 1e-9)); }

std::string decades(const LogAxis& x, const LogAxis& y) {
  std::string out;
  for (double v = x.low; v <= x.high * 1.001; v *= 10)
    out += fmt::format(
        "<line x1='{0:.1f}' x2='{0:.1f}' y1='{1:.1f}' y2='{2:.1f}' class='grid'/><text x='{0:.1f}' y='{3:.1f}' "
        "text-anchor='middle'>{4:g}</text>\n",
        x.place(v), y.from, y.to, y.from + 16, v);
  for (double v = y.low; v <= y.high * 1.001; v *= 10)
    out += fmt::format(
        "<line x1='{1:.1f}' x2='{2:.1f}' y1='{0:.1f}' y2='{0:.1f}' class='grid'/><text x='{3:.1f}' y='{4:.1f}' "
        "text-anchor='end'>{5:g}</text>\n",
        y.place(v), x.from, x.to, x.from - 6, y.place(v) + 4, v * 1e-9);
  return out;
}

}  // namespace

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  double most = 0, labels = kLabels;
  for (const Bar& b : bars) {
    most = std::max(most, std::max(b.value, b.high));
    labels = std::max(labels, kCharacter * static_cast<double>(b.label.size()) + 12);
  }
  if (most <= 0) return "";
  double scale = (kWidth - labels - kTexts) / most, y = 26;
  std::string out = opened(title, y + kLine * static_cast<double>(bars.size()));
  for (const Bar& b : bars) {
    double end = labels + b.value * scale;
    out += fmt::format("<text x='{}' y='{:.0f}' text-anchor='end'>{}</text>", labels - 6, y + 11, escape_html(b.label));
    out += fmt::format("<rect x='{}' y='{:.0f}' width='{:.1f}' height='13' fill='{}'/>", labels, y, b.value * scale, b.own ? kOwn : kPeer);
    if (b.high > b.low)
      out += fmt::format("<line x1='{0:.1f}' x2='{1:.1f}' y1='{2:.1f}' y2='{2:.1f}' stroke='#222'/>", labels + b.low * scale,
                         labels + b.high * scale, y + 6.5);
    out += fmt::format("<text x='{:.1f}' y='{:.0f}'>{}</text>\n", std::max(end, labels + b.high * scale) + 6, y + 11, escape_html(b.text));
    y += kLine;
  }
  return out + "</svg>\n";
}

std::string roofline_chart(const std::vector<RooflinePoint>& points, const std::vector<Roof>& roofs, double peak) {
  if (points.empty() || roofs.empty() || peak <= 0) return "";
  auto [left, right] = std::ranges::minmax(points, {}, &RooflinePoint::intensity);
  double lowest = std::ranges::min(points, {}, &RooflinePoint::rate).rate,
         top = std::max(peak, std::ranges::max(points, {}, &RooflinePoint::rate).rate);
  LogAxis x{decade_below(left.intensity), decade_above(right.intensity), 60, kWidth - 16},
      y{decade_below(lowest), decade_above(top), 380, 30};
  std::string out = opened("Roofline: GFLOP/s over operations a byte", 420) + decades(x, y);
  double along = 0.5;  // where on its roof a label stands: roofs lie close together
  for (const Roof& roof : roofs) {
    double ridge = std::clamp(peak / roof.bandwidth, x.low, x.high), begin = std::clamp(y.low / roof.bandwidth, x.low, ridge);
    double risen = std::min(peak, ridge * roof.bandwidth);
    out += fmt::format("<polyline points='{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}' fill='none' stroke='#c0392b'/>", x.place(begin),
                       y.place(std::max(begin * roof.bandwidth, y.low)), x.place(ridge), y.place(risen), x.place(x.high),
                       y.place(std::min(peak, x.high * roof.bandwidth)));
    along += 0.4 / static_cast<double>(roofs.size());
    double middle = begin * std::pow(ridge / begin, along);
    out += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='end' fill='#c0392b'>{}</text>\n", x.place(middle) - 4,
                       y.place(std::max(middle * roof.bandwidth, y.low)) - 4, escape_html(roof.label));
  }
  for (const RooflinePoint& p : points)
    out += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='4' fill='{}' fill-opacity='0.7'><title>{}</title></circle>\n",
                       x.place(p.intensity), y.place(p.rate), kOwn, escape_html(p.label));
  return out + fmt::format("<text x='{}' y='414' text-anchor='middle'>operations a byte</text>\n</svg>\n", kWidth / 2);
}

}  // namespace plumb::tools
