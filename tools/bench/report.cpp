// Rows as text.
#include "tools/bench/report.h"

#include <fmt/format.h>

#include <cstdio>

#include "engine/io/file.h"
#include "tools/bench/page.h"
#include "tools/bench/row.h"
#include "tools/output_file.h"

namespace plumb::tools {
namespace {

std::string compared(const JsonObject& row) {
  if (!row.contains("ratio")) return "";
  std::string line = "  plumb is faster by " + interval(row, "ratio", "", 2);
  if (row.contains("memory_ratio")) line += fmt::format(", memory {:.2f}", number(row, "memory_ratio"));
  if (row.contains("same_params") && !flag(row, "same_params")) line += " (not the same number of parameters)";
  return line;
}

std::string step_text(const JsonObject& row) {
  for (const char* name : {"ns_per_op_fwd_bwd", "ns_per_op"})
    if (row.contains(name))
      return fmt::format("{:14} {:28} {} an operation{}", text(row, "work"), who(row), interval(row, name, " ns", 0), compared(row));
  std::string items;
  for (const std::string& name : row.names())
    if (name == "tokens_per_s" || name == "images_per_s")
      items = fmt::format("{:.0f} {}/s", number(row, name), name.substr(0, name.size() - 6));
  std::string line = fmt::format("{:14} {:28} {} a step  {}  {:.0f} MiB over its start", text(row, "work"), who(row),
                                 interval(row, "step_s", " s", 4), items, number(row, "over_import_mib"));
  if (row.contains("last_loss")) line += fmt::format("  loss {:.3g} to {:.3g}", number(row, "first_loss"), number(row, "last_loss"));
  if (row.contains("call_us")) line += fmt::format("  started in {}", interval(row, "call_us", " us", 1));
  if (row.contains("share_of_product"))
    line += fmt::format("  {:.0f} TFLOP/s, {:.0f} % of the fastest product", number(row, "gflop_per_s") / 1000,
                        100 * number(row, "share_of_product"));
  if (row.contains("share_of_sgemm"))
    line += fmt::format("  {:.0f} GFLOP/s, {:.0f} % of the fastest sgemm", number(row, "gflop_per_s"), 100 * number(row, "share_of_sgemm"));
  return line + compared(row);
}

std::string kernel_text(const JsonObject& row) {
  bool memory = text(row, "bound") == "memory";
  const char* rate = memory ? "gb_per_s" : "gflop_per_s";
  std::string line = fmt::format("{:28} {:28} {:5} {:9} {} {:8.1f} {} {:5.0f} % of the {} ceiling", text(row, "kernel"), text(row, "shape"),
                                 text(row, "dtype"), text(row, "side"), interval(row, "us", " us", 1), number(row, rate),
                                 memory ? "GB/s   " : "GFLOP/s", 100 * number(row, "share_of_ceiling"), text(row, "bound"));
  return line + compared(row);
}

std::string ceiling_text(const JsonObject& row) {
  return row.contains("gb_per_s") ? fmt::format("ceiling: {} at {:.1f} GB/s", text(row, "what"), number(row, "gb_per_s"))
                                  : fmt::format("ceiling: {} at {:.1f} GFLOP/s", text(row, "what"), number(row, "gflop_per_s"));
}

std::string profile_text(const JsonObject& row) {
  if (!row.contains("kernel"))
    return fmt::format("{:14} {:.1f} ms a step, of which its kernels account for {:.1f} %", text(row, "work"), number(row, "ms"),
                       100 * number(row, "share"));
  std::string line = fmt::format("{:14} {:28} {:8.3f} ms {:5.1f} %  {:5.0f} calls", text(row, "work"), text(row, "kernel"),
                                 number(row, "ms"), 100 * number(row, "share"), number(row, "calls"));
  return row.contains("gflop_per_s") ? line + fmt::format("  {:.1f} GFLOP/s", number(row, "gflop_per_s")) : line;
}

std::string scaling_text(const JsonObject& row) {
  if (text(row, "bench") == "threads")
    return fmt::format("{:14} {:.0f} threads {} a step, {} times one thread's speed", text(row, "work"), number(row, "threads"),
                       interval(row, "step_s", " s", 4), interval(row, "speedup", "", 2));
  return fmt::format("{:14} cost grows with the power {} of it, by its operations {:.2f}", text(row, "axis"),
                     interval(row, "exponent", "", 2), number(row, "theory"));
}

}  // namespace

std::string row_text(const JsonObject& row) {
  std::string bench = text(row, "bench");
  if (bench == "environment")
    return fmt::format("{}, {}, {} cores, load {}; {}; {}", text(row, "plumb"), text(row, "processor"), number(row, "cores"),
                       text(row, "load"), text(row, "build"), text(row, "date"));
  if (bench == "kernels") return kernel_text(row);
  if (bench == "ceiling") return ceiling_text(row);
  if (bench == "profile") return profile_text(row);
  if (bench == "threads" || bench == "scaling") return scaling_text(row);
  if (bench == "start")
    return fmt::format("{:14} {:28} {} from the start of its process to the end of a first step{}", bench, who(row),
                       interval(row, "first_step_s", " s", 3), compared(row));
  return step_text(row);
}

BenchReport::BenchReport(bool json, std::string html) : json_(json), html_(std::move(html)) {
  if (!html_.empty()) check_can_write(html_);  // where a page cannot be written, that is said before anything is measured
  add(environment_row());
}

void BenchReport::add(const JsonObject& row) {
  fmt::print("{}\n", json_ ? row.text() : row_text(row));
  std::fflush(stdout);
  rows_.push_back(row);
}

void BenchReport::finish() const {
  if (!html_.empty()) write_file_atomic(html_, bench_page(rows_));
}

}  // namespace plumb::tools
