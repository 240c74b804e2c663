// `plumb trace`: what a training step does, kernel by kernel, in a table and as a Chrome trace.
#include <fmt/format.h>

#include <memory>

#include "engine/core/error.h"
#include "models/train/share.h"
#include "tools/cli/device_option.h"
#include "tools/commands.h"
#include "tools/output_file.h"
#include "tools/probe_run.h"
#include "tools/trace/chrome_trace.h"
#include "tools/trace/summary.h"
#include "tools/trace/traced_step.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string model, out, size = "small", device = "cpu", dtype = "f32", by = "kernel";
  int64_t steps = 1, warmup = 1, rows = 20;
  CommandLine line;
};

TracedSteps traced_steps(const Options& o) {
  if (!is_run(o.model)) {
    return trace_steps({.model = o.model,
                        .size = step_size_from_name(o.size),
                        .device = checked_device(o.device),
                        .dtype = dtype_from_name(o.dtype),
                        .warmup = o.warmup,
                        .steps = o.steps});
  }
  for (const char* own : {"--size", "--device", "--dtype"})
    if (o.line.given(own)) throw ConfigError(fmt::format("{}: a run has its own; leave it out", own));
  return trace_run(o.model, o.warmup, o.steps);
}

int trace(const Options& o) {
  if (o.steps < 1) throw ConfigError(fmt::format("--steps must be at least 1, it is {}", o.steps));
  if (o.warmup < 0) throw ConfigError(fmt::format("--warmup must not be negative, it is {}", o.warmup));
  if (o.rows < 1) throw ConfigError(fmt::format("--rows must be at least 1, it is {}", o.rows));
  if (o.dtype != "f32" && o.dtype != "bf16" && o.dtype != "f16")
    throw ConfigError("--dtype " + o.dtype + " is unknown; choose f32, bf16 or f16");
  SummaryBy by = summary_by_from_name(o.by);
  check_model_or_run(o.model);
  if (!o.out.empty() && train::writes_files()) check_can_write(o.out);
  TracedSteps traced = traced_steps(o);
  fmt::print("{}\n{}", traced.about, summary_page(traced.trace, by, static_cast<size_t>(o.rows)));
  if (o.out.empty() || !train::writes_files()) return 0;
  write_chrome_trace(o.out, traced.trace, traced.about);
  fmt::print("\n{}: open it in chrome://tracing or ui.perfetto.dev\n", o.out);
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>(Options{.line = line});
  line.required("model", o->model, fmt::format("a run directory, or one of {}", fmt::join(step_model_names(), ", ")));
  line.option("--out", o->out, "the Chrome trace (JSON); without it there is only the table");
  line.option("--size", o->size, "size of a named model: tiny, small, or gpt2 (124 M parameters and batches for a GPU)");
  line.option("--steps", o->steps, "recorded steps");
  line.option("--warmup", o->warmup, "steps before them, which may allocate what later ones find");
  line.option("--by", o->by, "rows of the table: kernel, op, or shape");
  line.option("--rows", o->rows, "rows of the table");
  line.option("--device", o->device, "device of a named model: cpu, cuda or cuda:N");
  line.option("--dtype", o->dtype, "type of a named model: f32, bf16 or f16 (autocast)");
  return [o] { return trace(*o); };
}

}  // namespace

extern const Command trace_command;
const Command trace_command{"trace", "record a training step: kernels by time, memory by tensor, a Chrome trace", define};

}  // namespace plumb::tools
