// The table of variants and metrics.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "methods/results.h"

namespace plumb::methods {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double value_of(const CellResult& cell, const std::string& metric) {
  for (const auto& [name, value] : cell.measured.metrics)
    if (name == metric) return std::isfinite(value) ? value : kNaN;
  return kNaN;
}

const CellResult* find_cell(const Results& results, const std::string& variant, uint64_t seed) {
  for (const CellResult& cell : results.cells)
    if (cell.variant == variant && cell.seed == seed) return &cell;
  return nullptr;
}

// Values of the variant, and the baseline's of the same seeds.
struct Pairs {
  std::vector<double> own, baseline;
};

Pairs pairs(const Results& results, const std::string& variant, const std::string& baseline, const std::string& metric) {
  Pairs p;
  for (uint64_t seed : results.seeds()) {
    const CellResult* own = find_cell(results, variant, seed);
    const CellResult* base = find_cell(results, baseline, seed);
    if (own) p.own.push_back(value_of(*own, metric));
    if (own) p.baseline.push_back(base ? value_of(*base, metric) : kNaN);
  }
  return p;
}

size_t count_of(const Results& results, const std::string& variant) {
  return static_cast<size_t>(std::ranges::count(results.cells, variant, &CellResult::variant));
}

double mean_seconds(const Results& results, const std::string& variant) {
  double total = 0, count = 0;
  for (const CellResult& cell : results.cells)
    if (cell.variant == variant) total += cell.seconds, ++count;
  return count > 0 ? total / count : kNaN;
}

std::string seconds_text(double seconds) { return seconds < 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} s", seconds); }

// Headings and cells as text: variant; each metric with its difference; time.
std::vector<std::vector<std::string>> grid(const Experiment& experiment, const Results& results) {
  std::vector<std::vector<std::string>> lines{{"variant"}};
  for (const Metric& m : experiment.metrics) {
    lines[0].push_back(m.name + (m.better == Better::higher ? " ↑" : m.better == Better::lower ? " ↓" : ""));
    lines[0].push_back("against " + experiment.baseline);
  }
  lines[0].push_back("time");
  for (const Row& row : table(experiment, results)) {
    std::vector<std::string> line{row.variant};
    for (size_t i = 0; i < row.values.size(); ++i) {
      line.push_back(format(row.values[i]));
      line.push_back(row.variant == experiment.baseline ? "" : format(row.differences[i], true));
    }
    line.push_back(seconds_text(row.seconds));
    lines.push_back(line);
  }
  return lines;
}

// Characters, not bytes: ± and arrows are several bytes of UTF-8.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width, bool left) {
  std::string space(width - width_of(text), ' ');
  return left ? text + space : space + text;
}

}  // namespace

std::vector<Row> table(const Experiment& experiment, const Results& results) {
  std::vector<Row> rows;
  for (const Variant& v : experiment.variants) {
    if (count_of(results, v.name) == 0) continue;
    Row row{v.name, {}, {}, mean_seconds(results, v.name)};
    for (const Metric& m : experiment.metrics) {
      Pairs p = pairs(results, v.name, experiment.baseline, m.name);
      row.values.push_back(t_interval(p.own));
      row.differences.push_back(paired_difference(p.own, p.baseline));
    }
    rows.push_back(row);
  }
  return rows;
}

std::string format(const Interval& value, bool with_sign) {
  if (!std::isfinite(value.mean)) return "failed";
  std::string sign = with_sign && value.mean >= 0 ? "+" : "";
  if (!std::isfinite(value.half_width)) return sign + fmt::format("{:.4g}", value.mean);
  double scale = value.half_width > 0 ? value.half_width : std::max(std::abs(value.mean) * 1e-3, 1e-12);
  int place = static_cast<int>(std::floor(std::log10(scale)));
  if (place < -6 || place > 6) return sign + fmt::format("{:.3g} ± {:.2g}", value.mean, value.half_width);
  int decimals = std::clamp(1 - place, 0, 8);
  return sign + fmt::format("{:.{}f} ± {:.{}f}", value.mean, decimals, value.half_width, decimals);
}

std::string table_text(const Experiment& experiment, const Results& results) {
  auto lines = grid(experiment, results);
  std::vector<size_t> widths(lines[0].size(), 0);
  for (const auto& line : lines)
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  std::string out;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) out += (i ? "   " : "") + padded(line[i], widths[i], i == 0);
    out += "\n";
  }
  return out;
}

std::string table_markdown(const Experiment& experiment, const Results& results) {
  std::string out;
  bool heading = true;
  for (const auto& line : grid(experiment, results)) {
    for (const std::string& cell : line) out += "| " + cell + " ";
    out += "|\n";
    if (std::exchange(heading, false)) {
      for (size_t i = 0; i < line.size(); ++i) out += i ? "|---:" : "|---";
      out += "|\n";
    }
  }
  return out;
}

std::string effect(const Experiment& experiment, const Results& results) {
  for (const Row& row : table(experiment, results))
    if (row.variant == experiment.method)
      return fmt::format("{} {} against {}, {} seed{}", format(row.differences[0], true), experiment.metrics[0].name, experiment.baseline,
                         count_of(results, row.variant), count_of(results, row.variant) == 1 ? "" : "s");
  return "";
}

}  // namespace plumb::methods
