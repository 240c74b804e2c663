// Events of the Chrome trace format, one a line.
#include "tools/trace/chrome_trace.h"

#include <map>

#include "engine/io/file.h"
#include "engine/io/json_object.h"
#include "tools/trace/memory.h"

namespace plumb::tools {
namespace {

constexpr int64_t kProcess = 1;

const char* category(SpanKind kind) {
  switch (kind) {
    case SpanKind::step: return "step";
    case SpanKind::phase: return "phase";
    case SpanKind::operation: return "operation";
    case SpanKind::derivative: return "derivative";
    case SpanKind::kernel: return "kernel";
  }
  return "";
}

double microseconds(int64_t ns) { return static_cast<double>(ns) / 1000; }

class Writer {
 public:
  explicit Writer(const std::string& path) : file_(path) { file_.write("{\"traceEvents\": [\n"); }
  void add(const JsonObject& event) {
    file_.write(first_ ? "" : ",\n");
    file_.write(event.text());
    first_ = false;
  }
  void commit(const JsonObject& other) {
    file_.write("\n], \"displayTimeUnit\": \"ms\", \"otherData\": " + other.text() + "}\n");
    file_.commit();
  }

 private:
  AtomicFile file_;
  bool first_ = true;
};

JsonObject event(const char* phase, const std::string& name, int64_t time, int thread) {
  JsonObject e;
  e.set("ph", phase);
  e.set("name", name);
  e.set("pid", kProcess);
  e.set("tid", thread);
  e.set("ts", microseconds(time));
  return e;
}

JsonObject named(const char* what, const std::string& name, int thread) {
  JsonObject args, e = event("M", what, 0, thread);
  args.set("name", name);
  e.set("args", args);
  return e;
}

JsonObject arguments(const Span& kernel) {
  JsonObject args;
  std::vector<std::string> tensors;
  for (const SeenTensor& x : kernel.tensors) tensors.push_back(to_string(x));
  args.set("op", kernel.within);
  args.set("tensors", tensors);
  args.set("bytes", kernel.cost.bytes);
  double ns = static_cast<double>(kernel.end - kernel.begin);
  if (ns > 0) args.set("gb_per_s", kernel.cost.bytes / ns);
  if (!kernel.cost.flops) return args;
  args.set("flops", *kernel.cost.flops);
  if (ns > 0) args.set("gflop_per_s", *kernel.cost.flops / ns);
  return args;
}

void add_spans(Writer& out, const Trace& trace) {
  std::map<int, bool> threads;
  for (const Span& span : trace.spans) {
    if (threads.try_emplace(span.thread, true).second)
      out.add(named("thread_name", span.thread == 0 ? "step" : "thread " + std::to_string(span.thread), span.thread));
    JsonObject e = event("X", span.name, span.begin, span.thread);
    e.set("cat", category(span.kind));
    e.set("dur", microseconds(span.end - span.begin));
    if (span.kind == SpanKind::kernel) e.set("args", arguments(span));
    out.add(e);
  }
}

JsonObject counter(const std::string& name, int64_t time, int64_t bytes) {
  JsonObject args, e = event("C", name, time, 0);
  args.set("bytes", bytes);
  e.set("args", args);
  return e;
}

// Groups with a counter of their own: at some time a hundredth of the peak, or more.
std::map<std::string, int64_t> counted(const std::vector<MemoryChange>& changes, int64_t peak) {
  std::map<std::string, int64_t> live, largest, chosen;
  for (const MemoryChange& change : changes) {
    int64_t& bytes = live[group(*change.block)];
    bytes += change.bytes;
    int64_t& most = largest[group(*change.block)];
    most = std::max(most, bytes);
  }
  for (const auto& [name, bytes] : largest)
    if (100 * bytes >= peak) chosen[name] = 0;
  return chosen;
}

void add_counters(Writer& out, const Trace& trace) {
  std::vector<MemoryChange> changes = memory_changes(trace);
  std::map<std::string, int64_t> groups = counted(changes, memory_peak(trace).bytes);
  int64_t total = 0, others = 0;
  for (const MemoryChange& change : changes) {
    auto own = groups.find(group(*change.block));
    int64_t& bytes = own == groups.end() ? others : own->second;
    out.add(counter("memory", change.time, total += change.bytes));
    out.add(counter("memory: " + (own == groups.end() ? "other tensors" : own->first), change.time, bytes += change.bytes));
  }
}

void add_lives(Writer& out, const Trace& trace) {
  int64_t id = 0;
  for (const Block& block : trace.blocks) {
    JsonObject args, begin = event("b", label(block), std::max<int64_t>(0, block.allocated), 0),
                     end = event("e", label(block), std::min(block.freed, trace.end), 0);
    args.set("bytes", block.bytes);
    begin.set("args", args);
    ++id;
    for (JsonObject* e : {&begin, &end}) {
      e->set("cat", "tensor");
      e->set("id", id);
      out.add(*e);
    }
  }
}

}  // namespace

void write_chrome_trace(const std::string& path, const Trace& trace, const std::string& about) {
  Writer out(path);
  out.add(named("process_name", about, 0));
  add_spans(out, trace);
  add_counters(out, trace);
  add_lives(out, trace);
  JsonObject other;
  other.set("traced", about);
  out.commit(other);
}

}  // namespace plumb::tools
