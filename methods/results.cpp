// Results to and from JSON.
#include "methods/results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "engine/core/error.h"
#include "engine/io/json_object.h"

namespace plumb::methods {
namespace {

constexpr size_t kStoredPoints = 60;

double rounded(double v, double unit) {
  double r = std::round(v * unit) / unit;
  return std::isfinite(r) ? r : v;  // at the ends of the range
}

// Five significant digits are more than a chart shows.
double rounded(double v) { return v == 0 || !std::isfinite(v) ? v : rounded(v, std::pow(10.0, 4 - std::floor(std::log10(std::abs(v))))); }

JsonObject curve_object(const Curve& curve) {
  JsonObject json;
  json.set("chart", curve.chart);
  json.set("x_label", curve.x_label);
  if (!curve.line.empty()) json.set("line", curve.line);
  json.set("x", curve.x);
  json.set("y", curve.y);
  return json;
}

Curve curve_of(const JsonObject& json) {
  Curve c;
  json.read("chart", c.chart);
  json.read("x_label", c.x_label);
  json.read("line", c.line);
  json.read("x", c.x);
  json.read("y", c.y);
  if (c.x.size() != c.y.size())
    throw ConfigError(json.what() + ": the curve \"" + c.chart + "\" has " + std::to_string(c.x.size()) + " x and " +
                      std::to_string(c.y.size()) + " y");
  return c;
}

JsonObject cell_object(const CellResult& cell, bool with_curves) {
  JsonObject json, metrics;
  json.set("variant", cell.variant);
  json.set("seed", cell.seed);
  json.set("seconds", rounded(cell.seconds, 1000));
  for (const auto& [name, value] : cell.measured.metrics) metrics.set(name, value);
  json.set("metrics", metrics);
  if (!with_curves) return json;
  std::vector<JsonObject> curves;
  for (const Curve& c : cell.measured.curves) curves.push_back(curve_object(c));
  json.set("curves", curves);
  return json;
}

CellResult cell_of(const JsonObject& json) {
  CellResult cell;
  json.read("variant", cell.variant);
  json.read("seed", cell.seed);
  json.read("seconds", cell.seconds);
  JsonObject metrics;
  json.read("metrics", metrics);
  for (const std::string& name : metrics.names()) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (metrics.contains(name)) metrics.read(name, value);
    cell.measured.metrics.emplace_back(name, value);
  }
  std::vector<JsonObject> curves;
  json.read("curves", curves);
  for (const JsonObject& c : curves) cell.measured.curves.push_back(curve_of(c));
  return cell;
}

Curve thinned(Curve c) {
  if (c.x.size() > kStoredPoints) {
    std::vector<double> x, y;
    for (size_t i = 0; i < kStoredPoints; ++i) {
      size_t from = i * (c.x.size() - 1) / (kStoredPoints - 1);
      x.push_back(c.x[from]);
      y.push_back(c.y[from]);
    }
    c.x = x;
    c.y = y;
  }
  for (double& v : c.x) v = rounded(v);
  for (double& v : c.y) v = rounded(v);
  return c;
}

}  // namespace

std::string CellResult::to_json() const { return cell_object(*this, true).text(); }

CellResult CellResult::from_json(const std::string& text, const std::string& what) { return cell_of(JsonObject::parse(text, what)); }

std::vector<uint64_t> Results::seeds() const {
  std::vector<uint64_t> found;
  for (const CellResult& cell : cells)
    if (std::ranges::find(found, cell.seed) == found.end()) found.push_back(cell.seed);
  return found;
}

std::string Results::to_json() const {
  JsonObject json;
  json.set("method", slug);
  json.set("budget", words_of(budget)[static_cast<size_t>(budget)]);
  json.set("device", device);
  json.set("command", command);
  json.set("machine", machine);
  json.set("date", date);
  std::vector<JsonObject> rows, curves;
  for (const CellResult& cell : cells) rows.push_back(cell_object(cell, false));
  for (const MeanCurve& m : mean_curves(*this)) {
    JsonObject curve = curve_object(thinned(m.curve));
    curve.set("variant", m.variant);
    curves.push_back(curve);
  }
  json.set("cells", rows);
  json.set("curves", curves);
  return json.text(1) + "\n";
}

Results Results::from_json(const std::string& text, const std::string& what) {
  JsonObject json = JsonObject::parse(text, what);
  Results r;
  json.read("method", r.slug);
  std::string budget = "default";
  json.read("budget", budget);
  auto word = std::ranges::find(words_of(r.budget), budget);
  if (r.slug.empty() || word == words_of(r.budget).end()) throw ConfigError(what + ": these are not the results of `plumb run`");
  r.budget = static_cast<Budget>(word - words_of(r.budget).begin());
  json.read("device", r.device);
  json.read("command", r.command);
  json.read("machine", r.machine);
  json.read("date", r.date);
  std::vector<JsonObject> rows, curves;
  json.read("cells", rows);
  json.read("curves", curves);
  for (const JsonObject& row : rows) r.cells.push_back(cell_of(row));
  std::map<std::string, CellResult*> first;  // of each variant: means stand with it
  for (CellResult& cell : r.cells) first.emplace(cell.variant, &cell);
  for (const JsonObject& curve : curves) {
    std::string variant;
    curve.read("variant", variant);
    if (auto cell = first.find(variant); cell != first.end()) cell->second->measured.curves.push_back(curve_of(curve));
  }
  return r;
}

std::vector<MeanCurve> mean_curves(const Results& results) {
  struct Sum { double total = 0; int count = 0; };
  std::vector<MeanCurve> means;
  std::map<std::tuple<std::string, std::string, std::string>, size_t> places;  // among them, by variant, chart and line
  std::vector<std::map<double, Sum>> sums;
  std::vector<std::vector<double>> orders;  // x in order of first appearance: not every curve goes from left to right
  for (const CellResult& cell : results.cells)
    for (const Curve& c : cell.measured.curves) {
      size_t at = places.try_emplace({cell.variant, c.chart, c.line}, means.size()).first->second;
      if (at == means.size()) {
        means.push_back({cell.variant, {c.chart, c.x_label, c.line, {}, {}}});
        sums.emplace_back();
        orders.emplace_back();
      }
      for (size_t i = 0; i < c.x.size(); ++i) {
        auto [place, is_new] = sums[at].try_emplace(c.x[i]);
        if (is_new) orders[at].push_back(c.x[i]);
        place->second.total += c.y[i];
        ++place->second.count;
      }
    }
  for (size_t i = 0; i < means.size(); ++i)
    for (double x : orders[i]) {
      double mean = sums[i][x].total / sums[i][x].count;
      if (!std::isfinite(mean)) continue;  // a gap
      means[i].curve.x.push_back(x);
      means[i].curve.y.push_back(mean);
    }
  return means;
}

}  // namespace plumb::methods
