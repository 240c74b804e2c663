// Rows as text.
#include "tools/bench/report.h"

#include <fmt/format.h>

#include <cstdio>

namespace plumb::tools {
namespace {

double number(const JsonObject& row, const std::string& name) {
  double value = 0;
  row.read(name, value);
  return value;
}

std::string text(const JsonObject& row, const std::string& name) {
  std::string value;
  row.read(name, value);
  return value;
}

bool flag(const JsonObject& row, const std::string& name) {
  bool value = false;
  row.read(name, value);
  return value;
}

std::string interval(const JsonObject& row, const std::string& name, const char* unit, int digits) {
  std::vector<double> ends{0, 0};
  row.read(name + "_95", ends);
  return fmt::format("{:.{}f} {}[{:.{}f}, {:.{}f}]", number(row, name), digits, unit, ends.at(0), digits, ends.at(1), digits);
}

// "plumb 0.1.0", "torch 2.15.0 compiled"
std::string who(const JsonObject& row) {
  std::string side = text(row, "side");
  size_t mode = side.find(' ');
  return text(row, "peer") + (mode == std::string::npos ? "" : side.substr(mode));
}

std::string compared(const JsonObject& row) {
  if (!row.contains("ratio")) return "";
  std::string line = "  plumb is faster by " + interval(row, "ratio", "", 2);
  if (row.contains("memory_ratio")) line += fmt::format(", memory {:.2f}", number(row, "memory_ratio"));
  if (row.contains("same_params") && !flag(row, "same_params")) line += " (not the same number of parameters)";
  return line;
}

std::string step_text(const JsonObject& row) {
  for (const char* name : {"ns_per_op_fwd_bwd", "ns_per_op"})
    if (row.contains(name)) return fmt::format("{:14} {:28} {} an operation{}", text(row, "work"), who(row), interval(row, name, "ns ", 0), compared(row));
  std::string items;
  for (const std::string& name : row.names())
    if (name == "tokens_per_s" || name == "images_per_s") items = fmt::format("{:.0f} {}/s", number(row, name), name.substr(0, name.size() - 6));
  std::string line = fmt::format("{:14} {:28} {} a step  {}  {:.0f} MiB over its start", text(row, "work"), who(row), interval(row, "step_s", "s ", 4), items, number(row, "over_import_mib"));
  if (row.contains("share_of_sgemm")) line += fmt::format("  {:.0f} GFLOP/s, {:.0f} % of the fastest sgemm", number(row, "gflop_per_s"), 100 * number(row, "share_of_sgemm"));
  return line + compared(row);
}

std::string kernel_text(const JsonObject& row) {
  bool memory = text(row, "bound") == "memory";
  const char* rate = memory ? "gb_per_s" : "gflop_per_s";
  std::string line = fmt::format("{:28} {:28} {:5} {:9} {} {:8.1f} {} {:5.0f} % of the {} ceiling", text(row, "kernel"), text(row, "shape"), text(row, "dtype"), text(row, "side"),
                                 interval(row, "us", "us ", 1), number(row, rate), memory ? "GB/s   " : "GFLOP/s", 100 * number(row, "share_of_ceiling"), text(row, "bound"));
  return row.contains("ratio") ? line + "  plumb is faster by " + interval(row, "ratio", "", 2) : line;
}

std::string ceiling_text(const JsonObject& row) {
  return row.contains("gb_per_s") ? fmt::format("ceiling: {} at {:.1f} GB/s", text(row, "what"), number(row, "gb_per_s")) : fmt::format("ceiling: {} at {:.1f} GFLOP/s", text(row, "what"), number(row, "gflop_per_s"));
}

std::string listed(const JsonObject& row) {
  std::string line;
  for (const auto& [name, value] : row.listing()) line += fmt::format("{}{} {}", line.empty() ? "" : "  ", name, value);
  return line;
}

}  // namespace

std::string row_text(const JsonObject& row) {
  std::string bench = text(row, "bench");
  if (bench == "environment") return fmt::format("{}, {}, {} cores, load {}; {}; {}", text(row, "plumb"), text(row, "processor"), number(row, "cores"), text(row, "load"), text(row, "build"), text(row, "date"));
  if (bench == "steps" || bench == "overhead" || bench == "memory") return step_text(row);
  if (bench == "kernels") return kernel_text(row);
  if (bench == "ceiling") return ceiling_text(row);
  if (bench == "start") return fmt::format("{:14} {:28} {} from the start of its process to the end of a first step{}", bench, text(row, "side"), interval(row, "first_step_s", "s ", 3), compared(row));
  return listed(row);
}

void BenchReport::add(const JsonObject& row) {
  fmt::print("{}\n", json_ ? row.text() : row_text(row));
  std::fflush(stdout);
  rows_.push_back(row);
}

}  // namespace plumb::tools
