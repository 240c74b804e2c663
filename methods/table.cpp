// The table of variants and metrics.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "methods/results.h"

namespace plumb::methods {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double value_of(const CellResult& cell, const std::string& metric) {
  for (const auto& [name, value] : cell.measured.metrics)
    if (name == metric) return std::isfinite(value) ? value : kNaN;
  return kNaN;
}

// The variant's cells by their seeds; the first, where two have the same.
std::map<uint64_t, const CellResult*> cells_of(const Results& results, const std::string& variant) {
  std::map<uint64_t, const CellResult*> cells;
  for (const CellResult& cell : results.cells)
    if (cell.variant == variant) cells.emplace(cell.seed, &cell);
  return cells;
}

// Values of the variant, and the baseline's of the same seeds.
struct Pairs {
  std::vector<double> own, baseline;
};

Pairs pairs(const Results& results, const std::string& variant, const std::string& baseline, const std::string& metric) {
  Pairs p;
  auto own = cells_of(results, variant), base = cells_of(results, baseline);
  for (uint64_t seed : results.seeds()) {
    auto cell = own.find(seed), other = base.find(seed);
    if (cell == own.end()) continue;
    p.own.push_back(value_of(*cell->second, metric));
    p.baseline.push_back(other == base.end() ? kNaN : value_of(*other->second, metric));
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

std::string heading(const Metric& m) { return m.name + (m.better == Better::higher ? " ↑" : m.better == Better::lower ? " ↓" : ""); }

// A bar in a name would begin another cell.
std::string markdown(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

std::string difference_text(const Experiment& experiment, const Row& row, size_t metric) {
  return row.variant == experiment.baseline ? "" : format(row.differences[metric], true);
}

// Characters, not bytes: ± and arrows are several bytes of UTF-8.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width, bool left) {
  std::string space(width > width_of(text) ? width - width_of(text) : 0, ' ');
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
  if (value.half_width == 0) return sign + fmt::format("{:.6g} ± 0", value.mean);
  int place = static_cast<int>(std::floor(std::log10(value.half_width)));
  if (place < -4 || place > 6) return sign + fmt::format("{:.3g} ± {:.2g}", value.mean, value.half_width);
  int decimals = std::clamp(1 - place, 0, 8);
  return sign + fmt::format("{:.{}f} ± {:.{}f}", value.mean, decimals, value.half_width, decimals);
}

std::string table_text(const Experiment& experiment, const Results& results) {
  std::vector<Row> rows = table(experiment, results);
  size_t width = 0;
  for (const Row& row : rows) width = std::max(width, width_of(row.variant));
  std::string out;
  for (size_t i = 0; i < experiment.metrics.size(); ++i) {
    out += heading(experiment.metrics[i]) + "\n";
    for (const Row& row : rows) {
      std::string difference = difference_text(experiment, row, i);
      out += fmt::format("  {}  {}", padded(row.variant, width, true), padded(format(row.values[i]), 18, false));
      out += difference.empty() ? "\n" : "  " + padded(difference, 20, false) + "\n";
    }
  }
  out += "time, of one seed\n";
  for (const Row& row : rows)
    out += fmt::format("  {}  {}\n", padded(row.variant, width, true), padded(seconds_text(row.seconds), 18, false));
  return out;
}

std::string table_markdown(const Experiment& experiment, const Results& results) {
  std::string out = "| variant ", rule = "|---";
  for (const Metric& m : experiment.metrics) {
    out += "| " + markdown(heading(m)) + " | against " + markdown(experiment.baseline) + " ";
    rule += "|---:|---:";
  }
  out += "| time |\n" + rule + "|---:|\n";
  for (const Row& row : table(experiment, results)) {
    out += "| " + markdown(row.variant) + " ";
    for (size_t i = 0; i < row.values.size(); ++i) out += "| " + format(row.values[i]) + " | " + difference_text(experiment, row, i) + " ";
    out += "| " + seconds_text(row.seconds) + " |\n";
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
