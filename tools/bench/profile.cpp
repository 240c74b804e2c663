// A traced step, summed up by kernel.
#include "tools/bench/profile.h"

#include "tools/trace/summary.h"

namespace plumb::tools {

std::vector<JsonObject> profile_rows(const TraceSettings& settings) {
  Trace trace = trace_steps(settings).trace;
  double whole = 0, accounted = 0;
  for (const Span& span : trace.spans)
    if (span.kind == SpanKind::step) whole += static_cast<double>(span.end - span.begin);
  auto steps = static_cast<double>(settings.steps);
  std::vector<JsonObject> rows;
  auto named = [&] {
    JsonObject row;
    row.set("bench", "profile");
    row.set("work", settings.model);
    return row;
  };
  for (const SummaryRow& kernel : summarize(trace, SummaryBy::kernel)) {
    auto ns = static_cast<double>(kernel.ns);
    accounted += ns;
    JsonObject row = named();
    row.set("kernel", kernel.name);
    row.set("calls", static_cast<double>(kernel.calls) / steps);
    row.set("ms", ns / steps * 1e-6);
    row.set("share", ns / whole);
    if (kernel.flops > 0 && kernel.ns_of_counted > 0) row.set("gflop_per_s", kernel.flops / static_cast<double>(kernel.ns_of_counted));
    if (kernel.bytes > 0 && kernel.ns > 0) row.set("gb_per_s", kernel.bytes / ns);
    rows.push_back(std::move(row));
  }
  JsonObject total = named();
  total.set("ms", whole / steps * 1e-6);
  total.set("share", accounted / whole);
  rows.push_back(std::move(total));
  return rows;
}

}  // namespace plumb::tools
