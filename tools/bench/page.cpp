// Sections of the page, each from the rows of its kind.
#include "tools/bench/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "models/train/html.h"
#include "tools/bench/charts.h"
#include "tools/bench/row.h"

namespace plumb::tools {
namespace {

using Rows = std::vector<JsonObject>;
using train::escape_html;

Rows of_kind(const Rows& rows, std::initializer_list<const char*> kinds) {
  Rows found;
  for (const JsonObject& row : rows)
    if (std::ranges::find(kinds, text(row, "bench")) != kinds.end()) found.push_back(row);
  return found;
}

std::vector<std::string> values_of(const Rows& rows, const char* name) {
  std::vector<std::string> all;
  for (const JsonObject& row : rows)
    if (std::string value = text(row, name); std::ranges::find(all, value) == all.end()) all.push_back(value);
  return all;
}

using Cells = std::vector<std::string>;

std::string table(const Cells& heading, const std::vector<Cells>& lines) {
  std::string html = "<div class='wide'><table>\n<tr>";
  for (const std::string& cell : heading) html += "<th>" + escape_html(cell) + "</th>";
  html += "</tr>\n";
  for (const Cells& line : lines) {
    html += "<tr>";
    for (const std::string& cell : line) html += "<td>" + escape_html(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

// One table; of further runs whose rows were put into the same file, what differs.
std::string environment_section(const Rows& rows) {
  Rows runs = of_kind(rows, {"environment"});
  std::string html;
  if (!runs.empty()) {
    html += "<table>\n";
    for (const auto& [name, value] : runs[0].listing())
      if (name != "bench") html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(name), escape_html(value));
    html += "</table>\n";
  }
  std::vector<Cells> further;
  for (size_t i = 1; i < runs.size(); ++i) further.push_back({text(runs[i], "command"), text(runs[i], "date"), text(runs[i], "load")});
  if (!further.empty()) html += table({"and by", "date", "load"}, further);
  return html +
         "<p class='about'>Brackets and whiskers are 95 % intervals over rounds in which all sides took turns. Ratios above 1: Plumb is "
         "faster.</p>\n";
}

// Who, and what differs from a step in f32 with Winograd's usual tiles.
std::string whose_step(const JsonObject& row) {
  std::string type = text(row, "dtype");
  return who(row) + (type == "f32" ? "" : ", " + type) + (row.contains("winograd") ? ", Winograd " + text(row, "winograd") : "");
}

Bar time_bar(const JsonObject& row, const std::string& name, const char* unit, int digits) {
  std::vector<double> both = ends(row, name);
  return {whose_step(row),   fmt::format("{:.{}f} {}", number(row, name), digits, unit),
          number(row, name), both[0],
          both[1],           text(row, "side") == "plumb"};
}

std::string steps_section(const Rows& rows) {
  Rows steps = of_kind(rows, {"steps"});
  std::erase_if(steps, [](const JsonObject& row) { return !row.contains("step_s"); });
  if (steps.empty()) return "";
  std::string html = "<h2>Training steps</h2>\n";
  std::vector<Cells> lines;
  for (const std::string& work : values_of(steps, "work")) {
    std::vector<Bar> bars;
    for (const JsonObject& row : steps) {
      if (text(row, "work") != work) continue;
      bars.push_back(time_bar(row, "step_s", "s", 4));
      lines.push_back({work, whose_step(row), text(row, "dtype"), fmt::format("{}", number(row, "threads")), interval(row, "step_s", "", 4),
                       row.contains("ratio") ? interval(row, "ratio", "", 2) : "", fmt::format("{:.0f}", number(row, "over_import_mib")),
                       row.contains("memory_ratio") ? fmt::format("{:.2f}", number(row, "memory_ratio")) : "",
                       row.contains("share_of_product")
                           ? fmt::format("{:.0f} of {:.0f}: {:.0f} %", number(row, "gflop_per_s"), number(row, "product_gflop_per_s"),
                                         100 * number(row, "share_of_product"))
                       : row.contains("share_of_sgemm") ? fmt::format("{:.0f} of {:.0f}: {:.0f} %", number(row, "gflop_per_s"),
                                                                      number(row, "sgemm_gflop_per_s"), 100 * number(row, "share_of_sgemm"))
                                                        : ""});
    }
    html += bar_chart(work + ": seconds a step", bars);
  }
  return html +
         table({"work", "side", "type", "threads", "seconds a step", "ratio", "MiB over start", "memory ratio", "GFLOP/s of sgemm"}, lines);
}

std::string overhead_section(const Rows& rows) {
  Rows all = of_kind(rows, {"overhead", "start", "steps"});
  std::vector<Cells> lines;
  for (const JsonObject& row : all) {
    std::string name = row.contains("ns_per_op_fwd_bwd") ? "ns_per_op_fwd_bwd"
                       : row.contains("ns_per_op")       ? "ns_per_op"
                       : row.contains("first_step_s")    ? "first_step_s"
                                                         : "";
    if (name.empty()) continue;
    bool start = name == "first_step_s";
    lines.push_back({start ? "process start to first step" : text(row, "work"), who(row),
                     interval(row, name, start ? " s" : " ns", start ? 3 : 0), row.contains("ratio") ? interval(row, "ratio", "", 2) : ""});
  }
  return lines.empty() ? "" : "<h2>Overhead</h2>\n" + table({"work", "side", "an operation, or a start", "ratio"}, lines);
}

std::string memory_section(const Rows& rows) {
  std::vector<Bar> bars;
  for (const JsonObject& row : of_kind(rows, {"memory"}))
    bars.push_back({text(row, "work") + ", " + text(row, "side"), fmt::format("{:.0f} MiB", number(row, "over_import_mib")),
                    number(row, "over_import_mib"), 0, 0, text(row, "side") == "plumb"});
  return bars.empty() ? "" : "<h2>Memory</h2>\n" + bar_chart("MiB over the process's own start", bars);
}

std::string roofline(const Rows& kernels, const Rows& ceilings) {
  std::vector<RooflinePoint> points;
  for (const JsonObject& row : kernels)
    if (text(row, "side") == "plumb" && text(row, "dtype") == "f32" && number(row, "flops") > 0 && number(row, "bytes") > 0)
      points.push_back({fmt::format("{} {}: {:.1f} GFLOP/s, {:.0f} % of its ceiling", text(row, "kernel"), text(row, "shape"),
                                    number(row, "gflop_per_s"), 100 * number(row, "share_of_ceiling")),
                        number(row, "flops") / number(row, "bytes"), 1e9 * number(row, "gflop_per_s")});
  std::map<std::string, double> bandwidths;  // the best of several runs
  double peak = 0;
  for (const JsonObject& row : ceilings) {
    if (row.contains("gb_per_s")) bandwidths[text(row, "what")] = std::max(bandwidths[text(row, "what")], number(row, "gb_per_s"));
    else if (text(row, "what") == "product f32") peak = std::max(peak, 1e9 * number(row, "gflop_per_s"));
  }
  std::vector<Roof> roofs;
  for (const auto& [what, rate] : bandwidths) roofs.push_back({fmt::format("{}: {:.0f} GB/s", what, rate), 1e9 * rate});
  return roofline_chart(points, roofs, peak);
}

std::string kernels_section(const Rows& rows) {
  Rows kernels = of_kind(rows, {"kernels"}), ceilings = of_kind(rows, {"ceiling"});
  if (kernels.empty()) return "";
  std::string html = "<h2>Kernels</h2>\n" + roofline(kernels, ceilings);
  std::vector<Bar> bars;
  std::vector<Cells> lines;
  for (const JsonObject& row : kernels) {
    bool own = text(row, "side") == "plumb", memory = text(row, "bound") == "memory";
    double share = 100 * number(row, "share_of_ceiling");
    if (own)
      bars.push_back(
          {fmt::format("{} {}{}", text(row, "kernel"), text(row, "shape"), text(row, "dtype") == "f32" ? "" : " " + text(row, "dtype")),
           fmt::format("{:.0f} %, {}", share, text(row, "bound")), share, 0, 0, true});
    lines.push_back(
        {text(row, "kernel"), text(row, "shape"), text(row, "dtype"), own ? "plumb" : who(row), interval(row, "us", "", 1),
         memory ? fmt::format("{:.1f} GB/s", number(row, "gb_per_s")) : fmt::format("{:.1f} GFLOP/s", number(row, "gflop_per_s")),
         fmt::format("{:.0f} %", share), row.contains("ratio") ? interval(row, "ratio", "", 2) : ""});
  }
  return html + bar_chart("Share of the ceiling that binds: of a copy of about as many bytes, or of the fastest product", bars) +
         table({"kernel", "shape", "type", "side", "µs", "achieves", "of its ceiling", "ratio"}, lines);
}

std::string scaling_section(const Rows& rows) {
  std::vector<Cells> threads, lines;
  for (const JsonObject& row : of_kind(rows, {"threads"}))
    threads.push_back(
        {text(row, "work"), fmt::format("{}", number(row, "threads")), interval(row, "step_s", "", 4), interval(row, "speedup", "", 2)});
  for (const JsonObject& row : of_kind(rows, {"scaling"})) {
    std::vector<double> sizes, seconds;
    row.read("sizes", sizes);
    row.read("seconds", seconds);
    std::string points;
    for (size_t i = 0; i < std::min(sizes.size(), seconds.size()); ++i)
      points += fmt::format("{}{:.0f}: {:.2f} ms", i ? ", " : "", sizes[i], 1e3 * seconds[i]);
    lines.push_back({text(row, "axis"), points, interval(row, "exponent", "", 2), fmt::format("{:.2f}", number(row, "theory"))});
  }
  std::string html;
  if (!threads.empty() || !lines.empty()) html += "<h2>Scaling</h2>\n";
  if (!threads.empty()) html += table({"work", "threads", "seconds a step", "times one thread's speed"}, threads);
  if (!lines.empty()) html += table({"grows", "forward and backward", "exponent, measured", "of its operations"}, lines);
  return html;
}

std::string profile_section(const Rows& rows) {
  Rows profile = of_kind(rows, {"profile"});
  std::string html = profile.empty() ? "" : "<h2>Where the time of a step goes</h2>\n";
  for (const std::string& work : values_of(profile, "work")) {
    std::vector<Bar> bars;
    std::string title = work;
    for (const JsonObject& row : profile) {
      if (text(row, "work") != work) continue;
      if (row.contains("kernel"))
        bars.push_back({text(row, "kernel"), fmt::format("{:.1f} %, {:.2f} ms", 100 * number(row, "share"), number(row, "ms")),
                        number(row, "ms"), 0, 0, true});
      else
        title =
            fmt::format("{}: {:.1f} ms a step, of which kernels account for {:.1f} %", work, number(row, "ms"), 100 * number(row, "share"));
    }
    html += bar_chart(title, bars);
  }
  return html;
}

}  // namespace

std::string bench_page(const Rows& rows) {
  return train::html_page("Plumb, measured", environment_section(rows) + steps_section(rows) + overhead_section(rows) +
                                                 memory_section(rows) + kernels_section(rows) + scaling_section(rows) +
                                                 profile_section(rows));
}

Rows parse_rows(const std::string& lines, const std::string& path) {
  Rows rows;
  size_t line_number = 0;
  for (size_t at = 0; at < lines.size();) {
    size_t end = std::min(lines.find('\n', at), lines.size());
    std::string line = lines.substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (line.empty()) continue;
    JsonObject row = JsonObject::parse(line, fmt::format("{}, line {}", path, line_number));
    if (!row.contains("bench"))
      throw ConfigError(fmt::format("{}, line {}: no row of plumb bench --json: it has no \"bench\"", path, line_number));
    rows.push_back(std::move(row));
  }
  if (rows.empty()) throw ConfigError(path + " has no rows");
  return rows;
}

}  // namespace plumb::tools
