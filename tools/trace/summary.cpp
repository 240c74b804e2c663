// Tables of a trace.
#include "tools/trace/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "tools/trace/memory.h"

namespace plumb::tools {
namespace {

constexpr size_t kGroupsAtPeak = 8;

std::string shapes_of(const Span& kernel) {
  std::string text = kernel.name;
  for (const SeenTensor& x : kernel.tensors) text += " " + plumb::to_string(x.shape);
  return text;
}

std::string key(const Span& kernel, SummaryBy by) {
  return by == SummaryBy::kernel ? kernel.name : by == SummaryBy::operation ? kernel.within : shapes_of(kernel);
}

// The time of each kernel without that of kernels within it, in the order of trace.spans. Those end before it does.
std::vector<int64_t> own_times(const Trace& trace) {
  std::vector<int64_t> own(trace.spans.size());
  std::map<int, std::vector<const Span*>> ended;  // by thread: kernels that are not within a later one yet
  for (size_t i = 0; i < trace.spans.size(); ++i) {
    const Span& span = trace.spans[i];
    if (span.kind != SpanKind::kernel) continue;
    std::vector<const Span*>& before = ended[span.thread];
    own[i] = span.end - span.begin;
    for (; !before.empty() && before.back()->begin >= span.begin; before.pop_back()) own[i] -= before.back()->end - before.back()->begin;
    before.push_back(&span);
  }
  return own;
}

int64_t time_of_steps(const Trace& trace) {
  int64_t ns = 0;
  for (const Span& span : trace.spans)
    if (span.kind == SpanKind::step) ns += span.end - span.begin;
  return ns;
}

double ms(int64_t ns) { return static_cast<double>(ns) * 1e-6; }
double percent(int64_t part, int64_t whole) { return whole > 0 ? 100 * static_cast<double>(part) / static_cast<double>(whole) : 0; }
double mib(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::string phases(const Trace& trace) {
  std::vector<std::pair<std::string, int64_t>> times;  // in the order of the first step
  for (const Span& span : trace.spans) {
    if (span.kind != SpanKind::phase) continue;
    auto found = std::ranges::find(times, span.name, [](const auto& entry) { return entry.first; });
    if (found == times.end()) found = times.insert(times.end(), {span.name, 0});
    found->second += span.end - span.begin;
  }
  std::string text;
  for (const auto& [name, ns] : times) text += fmt::format("{}{} {:.2f} ms", text.empty() ? "" : ", ", name, ms(ns));
  return text.empty() ? "" : ": " + text;  // steps that a kind of training makes as a whole have none
}

std::string line(const SummaryRow& row, int64_t whole, size_t width) {
  std::string flops =
      row.ns_of_counted > 0 && row.flops > 0 ? fmt::format("{:.1f}", row.flops / static_cast<double>(row.ns_of_counted)) : "";
  std::string bytes = row.ns > 0 && row.bytes > 0 ? fmt::format("{:.1f}", row.bytes / static_cast<double>(row.ns)) : "";
  return fmt::format("{:{}} {:>6} {:>10.3f} {:>5.1f} % {:>9} {:>8}  {}", row.name, width, row.calls, ms(row.ns), percent(row.ns, whole),
                     flops, bytes, row.mostly);
}

std::string table(const std::vector<SummaryRow>& rows, SummaryBy by, size_t most, int64_t whole) {
  size_t width = 22, shown = std::min(most, rows.size());
  for (size_t i = 0; i < shown; ++i) width = std::max(width, rows[i].name.size());
  const char* heading = by == SummaryBy::kernel ? "kernel" : by == SummaryBy::operation ? "operation" : "kernel and shapes";
  std::string text = fmt::format("{:{}} {:>6} {:>10} {:>7} {:>9} {:>8}  {}\n", heading, width, "calls", "ms", "share", "GFLOP/s", "GB/s",
                                 by == SummaryBy::operation ? "mostly in" : "mostly for");
  int64_t left = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i < shown) text += line(rows[i], whole, width) + "\n";
    else left += rows[i].ns;
  }
  if (shown < rows.size())
    text += fmt::format("{:{}} {:>6} {:>10.3f} {:>5.1f} %\n", fmt::format("{} more", rows.size() - shown), width, "", ms(left),
                        percent(left, whole));
  return text;
}

std::string memory(const Trace& trace) {
  MemoryPeak peak = memory_peak(trace);
  std::string text = fmt::format("memory: {:.1f} MiB of tensors at the peak, {:.2f} ms after the start\n", mib(peak.bytes), ms(peak.time));
  int64_t others = 0;
  for (size_t i = 0; i < peak.groups.size(); ++i) {
    const auto& [name, bytes] = peak.groups[i];
    if (i < kGroupsAtPeak) text += fmt::format("  {:10.2f} MiB {:>5.1f} %  {}\n", mib(bytes), percent(bytes, peak.bytes), name);
    else others += bytes;
  }
  if (peak.groups.size() > kGroupsAtPeak)
    text +=
        fmt::format("  {:10.2f} MiB {:>5.1f} %  {} more\n", mib(others), percent(others, peak.bytes), peak.groups.size() - kGroupsAtPeak);
  return text;
}

}  // namespace

SummaryBy summary_by_from_name(const std::string& name) {
  if (name == "kernel") return SummaryBy::kernel;
  if (name == "op") return SummaryBy::operation;
  if (name == "shape") return SummaryBy::shape;
  throw ConfigError("--by " + name + " is unknown; choose kernel, op or shape");
}

std::vector<SummaryRow> summarize(const Trace& trace, SummaryBy by) {
  std::map<std::string, SummaryRow> rows;
  std::map<std::string, std::map<std::string, int64_t>> shares;  // what a row's time was for
  std::vector<int64_t> own = own_times(trace);
  for (size_t i = 0; i < trace.spans.size(); ++i) {
    const Span& span = trace.spans[i];
    if (span.kind != SpanKind::kernel) continue;
    SummaryRow& row = rows[key(span, by)];
    ++row.calls;
    row.ns += own[i];
    row.bytes += span.cost.bytes;
    if (span.cost.flops) row.flops += *span.cost.flops, row.ns_of_counted += own[i];
    shares[key(span, by)][by == SummaryBy::operation ? span.name : span.within] += own[i];
  }
  std::vector<SummaryRow> sorted;
  for (auto& [name, row] : rows) {
    row.name = name;
    row.mostly = std::ranges::max_element(shares[name], {}, [](const auto& entry) { return entry.second; })->first;
    sorted.push_back(std::move(row));
  }
  std::ranges::stable_sort(sorted, std::greater{}, &SummaryRow::ns);
  return sorted;
}

std::string summary_page(const Trace& trace, SummaryBy by, size_t rows) {
  std::vector<SummaryRow> all = summarize(trace, by);
  int64_t whole = time_of_steps(trace), in_kernels = 0;
  int64_t steps = std::ranges::count(trace.spans, SpanKind::step, &Span::kind);
  for (const SummaryRow& row : all) in_kernels += row.ns;
  std::string text = fmt::format("{} step{} in {:.2f} ms{}\n", steps, steps == 1 ? "" : "s", ms(whole), phases(trace));
  text += fmt::format("{:.1f} % of the time is in kernels\n\n", percent(in_kernels, whole));
  return text + table(all, by, rows, whole) + "\n" + memory(trace);
}

}  // namespace plumb::tools
