// `plumb trace`: costs of known kernels, spans that nest, memory that adds up, and the file read back.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/tools/run_command.h"
#include "tools/trace/chrome_trace.h"
#include "tools/trace/memory.h"
#include "tools/trace/summary.h"
#include "tools/trace/traced_step.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;
using Json = nlohmann::json;

namespace {

template <typename F>
Trace recorded(F&& work) {
  Recorder recorder;
  recorder.start();
  recorder.enter(SpanKind::step, "step 1");
  work();
  recorder.leave();
  return recorder.finish();
}

std::vector<Span> spans_called(const Trace& trace, SpanKind kind, const std::string& name) {
  std::vector<Span> found;
  std::ranges::copy_if(trace.spans, std::back_inserter(found), [&](const Span& s) { return s.kind == kind && s.name == name; });
  return found;
}

bool within(const Span& inner, const Span& outer) { return inner.begin >= outer.begin && inner.end <= outer.end; }
bool beside(const Span& a, const Span& b) { return a.end <= b.begin || b.end <= a.begin; }

const TracedSteps& tiny_gpt() {
  static const TracedSteps traced = trace_steps({.model = "gpt", .size = StepSize::tiny, .warmup = 1, .steps = 2});
  return traced;
}

}  // namespace

TEST_CASE("trace: a matrix product counts 2 m n k operations and each operand's bytes once") {
  Tensor a = ones({5, 7}), b = ones({7, 3});
  a.requires_grad_();
  Trace trace = recorded([&] { matmul(a, b); });
  auto kernels = spans_called(trace, SpanKind::kernel, "matmul");
  REQUIRE(kernels.size() == 1);
  CHECK(kernels[0].cost.flops == 2.0 * 5 * 7 * 3);
  CHECK(kernels[0].cost.bytes == 4 * (5 * 7 + 7 * 3 + 5 * 3));
  CHECK(kernels[0].within == "matmul");
  CHECK(spans_called(trace, SpanKind::operation, "matmul").size() == 1);
}

TEST_CASE("trace: a product's derivative is two products of the same size") {
  Tensor x = ones({2, 5, 7}).requires_grad_(), w = ones({3, 7}).requires_grad_();
  Tensor loss = sum(linear(x, w));
  Trace trace = recorded([&] { loss.backward(); });
  auto kernels = spans_called(trace, SpanKind::kernel, "matmul");
  REQUIRE(kernels.size() == 2);
  for (const Span& kernel : kernels) {
    CHECK(kernel.cost.flops == 2.0 * 2 * 5 * 7 * 3);
    CHECK(kernel.within == "linear backward");
  }
}

TEST_CASE("trace: convolutions and attention count the products of their formulas") {
  Tensor image = ones({2, 4, 6, 6}).requires_grad_(), filter = ones({8, 2, 3, 3}).requires_grad_();
  Trace conv = recorded([&] { sum(conv2d(image, filter, {}, {.padding = 1, .groups = 2})).backward(); });
  double products = 2.0 * (2 * 8 * 6 * 6) * (2 * 3 * 3);  // two of four channels for each output
  for (const char* kernel : {"conv", "conv_transpose", "conv_weight"}) {
    CAPTURE(kernel);
    auto spans = spans_called(conv, SpanKind::kernel, kernel);
    REQUIRE(spans.size() == 1);
    CHECK(spans[0].cost.flops == products);
  }
  Tensor q = ones({2, 3, 5, 4}).requires_grad_(), k = ones({2, 3, 7, 4}).requires_grad_(), v = ones({2, 3, 7, 4}).requires_grad_();
  Trace attention = recorded([&] { sum(scaled_dot_product_attention(q, k, v)).backward(); });
  double dense = 2.0 * 2 * 3 * 5 * 7 * 4;
  CHECK(spans_called(attention, SpanKind::kernel, "attention").at(0).cost.flops == 2 * dense);
  CHECK(spans_called(attention, SpanKind::kernel, "attention_backward").at(0).cost.flops == 5 * dense);
}

TEST_CASE("trace: what is repeated by a stride of 0 is moved once, and a kernel of unknown work has no operations") {
  CHECK(seen(expand(ones({1, 3}), {4, 3})).bytes == 3 * 4);
  CHECK(seen(ones({4, 3})).bytes == 12 * 4);
  CHECK(seen(zeros({0, 3})).bytes == 0);
  CHECK(to_string(seen(ones({4, 3}, bf16))) == "bf16 [4, 3]");
  std::vector<SeenTensor> two{seen(ones({4})), seen(ones({4}))};
  CHECK_FALSE(kernel_cost("sort", two).flops.has_value());
  CHECK(kernel_cost("copy", two).flops == 0.0);
  CHECK(kernel_cost("accumulate", two).bytes == 3 * 16);
}

TEST_CASE("trace: spans of a training step lie within or beside each other, kernels in operations, operations in phases") {
  const Trace& trace = tiny_gpt().trace;
  for (const Span& a : trace.spans) {
    REQUIRE(a.begin >= 0);
    REQUIRE(a.begin <= a.end);
    REQUIRE(a.end <= trace.end);
    for (const Span& b : trace.spans) {
      bool nested = &a == &b || within(a, b) || within(b, a) || beside(a, b);
      REQUIRE_MESSAGE(nested, a.name << " and " << b.name << " overlap");
    }
  }
  CHECK(spans_called(trace, SpanKind::step, "step 1").size() == 1);
  for (const char* phase : {"forward", "zero_grad", "backward", "optimizer"})
    CHECK(spans_called(trace, SpanKind::phase, phase).size() == 2);
  auto in_phase = [&](const Span& span, const char* phase) {
    auto phases = spans_called(trace, SpanKind::phase, phase);
    return std::ranges::any_of(phases, [&](const Span& p) { return within(span, p); });
  };
  for (const Span& span : trace.spans) {
    if (span.kind == SpanKind::operation) REQUIRE(in_phase(span, "forward"));
    if (span.kind == SpanKind::derivative) REQUIRE(in_phase(span, "backward"));
    if (span.kind == SpanKind::kernel) REQUIRE(!span.within.empty());
  }
  CHECK(spans_called(trace, SpanKind::operation, "packed_attention").size() +
            spans_called(trace, SpanKind::operation, "scaled_dot_product_attention").size() ==
        2 * 2);
  CHECK(spans_called(trace, SpanKind::derivative, "cross_entropy backward").size() == 2);
  CHECK(spans_called(trace, SpanKind::kernel, "update").size() == 2);
}

TEST_CASE("trace: kernels take no longer than the steps, and every table has the same time in all") {
  const Trace& trace = tiny_gpt().trace;
  int64_t steps = 0, in_kernels = 0;
  for (const Span& span : trace.spans)
    if (span.kind == SpanKind::step) steps += span.end - span.begin;
  for (const SummaryRow& row : summarize(trace, SummaryBy::kernel)) in_kernels += row.ns;
  CHECK(in_kernels > 0);
  CHECK(in_kernels <= steps);
  for (SummaryBy by : {SummaryBy::operation, SummaryBy::shape}) {
    int64_t same = 0;
    auto rows = summarize(trace, by);
    for (const SummaryRow& row : rows) same += row.ns;
    CHECK(same == in_kernels);
    CHECK(std::ranges::is_sorted(rows, std::greater{}, &SummaryRow::ns));
  }
}

TEST_CASE("trace: memory at the peak is made of parameters, gradients and the optimiser's state by name, and of the rest by operation") {
  const Trace& trace = tiny_gpt().trace;
  MemoryPeak peak = memory_peak(trace);
  std::map<std::string, int64_t> groups(peak.groups.begin(), peak.groups.end());
  StepModel model = make_step_model("gpt", StepSize::tiny, cpu);
  int64_t bytes = 4 * model.module->num_parameters();
  CHECK(groups["parameters"] == bytes);
  CHECK(groups["optimizer state"] == 2 * bytes);
  int64_t sum = 0;
  for (const auto& [name, size] : peak.groups) sum += size;
  CHECK(sum == peak.bytes);
  int64_t live = 0, most = 0;
  for (const MemoryChange& change : memory_changes(trace)) {
    live += change.bytes;
    most = std::max(most, live);
    REQUIRE(live >= 0);
  }
  CHECK(most == peak.bytes);
  int64_t gradients = 0;  // live at the end of the step, each with its name
  for (const Block& block : trace.blocks)
    if (block.name.starts_with("gradient of ") && block.freed == kNever) gradients += block.bytes;
  CHECK(gradients == bytes);
}

TEST_CASE("trace: a kernel within a kernel is not counted twice") {
  Trace trace;
  trace.spans = {
      {.name = "inner", .begin = 20, .end = 50}, {.name = "outer", .begin = 10, .end = 100}, {.name = "outer", .begin = 100, .end = 110}};
  auto rows = summarize(trace, SummaryBy::kernel);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].name == "outer");
  CHECK(rows[0].ns == 60 + 10);
  CHECK(rows[1].ns == 30);
}

TEST_CASE("trace: the Chrome trace reads back with every span, its durations, and counters that follow the blocks") {
  Scratch scratch;
  const Trace& trace = tiny_gpt().trace;
  write_chrome_trace(scratch.path("t.json"), trace, tiny_gpt().about);
  Json json = Json::parse(scratch.get("t.json"));
  std::map<std::string, int64_t> phases;
  std::map<int64_t, std::pair<double, double>> lives;
  int64_t blocks_begun = 0;
  double total = 0, last_memory = 0, counters = 0;
  std::map<std::string, double> groups;
  for (const Json& e : json["traceEvents"]) {
    ++phases[e["ph"]];
    if (e["ph"] == "X") {
      REQUIRE(e["dur"] >= 0);
      if (e["cat"] == "kernel") REQUIRE(e["args"].contains("bytes"));
      if (e["name"] == "matmul" && e["cat"] == "kernel") {
        REQUIRE(e["args"]["flops"] > 0);
        REQUIRE(e["args"]["tensors"].size() >= 3);
      }
      if (e["cat"] == "step") total += e["dur"].get<double>();
    }
    if (e["ph"] == "C" && e["name"] == "memory") last_memory = e["args"]["bytes"];
    else if (e["ph"] == "C") groups[e["name"]] = e["args"]["bytes"];
    if (e["ph"] == "b") lives[e["id"]].first = e["ts"], ++blocks_begun;
    if (e["ph"] == "e") lives[e["id"]].second = e["ts"];
  }
  CHECK(static_cast<size_t>(phases["X"]) == trace.spans.size());
  CHECK(static_cast<size_t>(blocks_begun) == trace.blocks.size());
  CHECK(phases["b"] == phases["e"]);
  for (const auto& [id, life] : lives) REQUIRE(life.first <= life.second);
  for (const auto& [name, bytes] : groups) counters += bytes;
  CHECK(counters == last_memory);
  CHECK(groups.contains("memory: parameters"));
  int64_t steps = 0;
  for (const Span& span : trace.spans)
    if (span.kind == SpanKind::step) steps += span.end - span.begin;
  CHECK(total == doctest::Approx(static_cast<double>(steps) / 1000).epsilon(1e-9));
  CHECK(json["otherData"]["traced"] == tiny_gpt().about);
}

TEST_CASE("trace: every model has a tiny step") {
  for (const std::string& name : step_model_names()) {
    CAPTURE(name);
    TracedSteps traced = trace_steps({.model = name, .size = StepSize::tiny, .warmup = 0, .steps = 1});
    CHECK(traced.about.starts_with(name + "-tiny on cpu"));
    CHECK(spans_called(traced.trace, SpanKind::kernel, "update").size() == 1);
  }
}

TEST_CASE("trace: the command prints its tables and writes the file; bad input is one line and leaves none") {
  Scratch scratch;
  Outcome o = run_plumb("trace mlp --size tiny --out " + scratch.path("mlp.json"));
  CHECK(o.code == 0);
  CHECK(o.out.starts_with("mlp-tiny on cpu, "));
  for (const char* text : {"\n1 step in ", "forward ", "optimizer ", "kernel ", "GFLOP/s", "\nmatmul", "\nupdate",
                           "memory: ", "optimizer state", "ui.perfetto.dev"})
    CHECK_MESSAGE(o.out.find(text) != std::string::npos, text);
  CHECK(Json::parse(scratch.get("mlp.json"))["traceEvents"].size() > 10);
  CHECK(run_plumb("trace mlp --size tiny --by op").out.find("\nlinear backward") != std::string::npos);
  struct {
    const char *arguments, *err;
  } mistakes[] = {
      {"gtp",
       "plumb: trace: gtp is neither a run directory (it has no config.json) nor one of the models gpt, moe, unet, resnet, mlp, vit\n"},
      {"mlp --size huge", "plumb: trace: --size huge is unknown; choose tiny, small or gpt2\n"},
      {"mlp --by time", "plumb: trace: --by time is unknown; choose kernel, op or shape\n"},
      {"mlp --steps 0", "plumb: trace: --steps must be at least 1, it is 0\n"},
      {"mlp --dtype f64", "plumb: trace: --dtype f64 is unknown; choose f32, bf16 or f16\n"},
  };
  for (const auto& mistake : mistakes) {
    Outcome wrong = run_plumb(std::string("trace ") + mistake.arguments + " --out " + scratch.path("wrong.json"));
    CHECK(wrong.code == 2);
    CHECK(wrong.err == mistake.err);
    CHECK_FALSE(scratch.has("wrong.json"));
  }
  CHECK(run_plumb("trace mlp --size tiny --out " + scratch.path("no/such/t.json")).code == 2);
}

TEST_CASE("trace: causal attention counts the pairs that see each other, within a window too") {
  CHECK(seen_share({.causal = false}, 4, 6) == 1);
  CHECK(seen_share({.causal = true}, 4, 4) == 10 / 16.0);            // 1 + 2 + 3 + 4
  CHECK(seen_share({.causal = true}, 2, 6) == 11 / 12.0);            // 5 + 6: the last query sees all
  CHECK(seen_share({.causal = true}, 6, 2) == 3 / 12.0);             // the first four see nothing
  CHECK(seen_share({.causal = true, .window = 2}, 4, 4) == 7 / 16.0);  // 1 + 2 + 2 + 2
  Tensor q = ones({2, 3, 4, 8}).requires_grad_(), k = ones({2, 3, 4, 8}).requires_grad_(), v = ones({2, 3, 4, 8}).requires_grad_();
  Trace trace = recorded([&] { sum(scaled_dot_product_attention(q, k, v, {.causal = true})).backward(); });
  double pairs = 2 * 3 * 10;
  CHECK(spans_called(trace, SpanKind::kernel, "attention").at(0).cost.flops == pairs * 2 * (8 + 8));
  CHECK(spans_called(trace, SpanKind::kernel, "attention_backward").at(0).cost.flops == pairs * 2 * (3 * 8 + 2 * 8));
}

namespace {

// Every file of a directory with what it holds.
std::string listing(const std::string& directory) {
  return run_shell("cd " + directory + " && find . -type f | sort | xargs sha256sum").out;
}

}  // namespace

TEST_CASE("trace: a run's own next steps, before its end and after it, which leave it as it was") {
  Scratch scratch;
  std::string text, run = scratch.path("run");
  for (int i = 0; i < 300; ++i) text += "the " + std::to_string(i % 13) + " cats\n";
  REQUIRE(run_plumb("train gpt --data " + scratch.put("text", text) +
                    " --layers 2 --heads 2 --width 16 --context 8 --batch 4 --accumulate 2 --steps 6 --checkpoint-every 3 --out " + run)
              .code == 0);
  for (bool finished : {true, false}) {
    CAPTURE(finished);
    if (!finished) REQUIRE(run_shell("rm " + run + "/model.safetensors " + run + "/checkpoints/step-*6.safetensors").code == 0);
    std::string before = listing(run);
    Outcome o = run_plumb("trace " + run + " --steps 2 --out " + scratch.path("t.json"));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(o.out.starts_with(run + " on cpu, "));
    CHECK(o.out.find(finished ? " parameters, steps from 8\n" : " parameters, steps from 5\n") != std::string::npos);  // after a warm-up
    CHECK(listing(run) == before);
    std::map<std::string, int> named;
    std::map<std::string, double> memory;
    Json trace = Json::parse(scratch.get("t.json"));
    for (const Json& e : trace["traceEvents"]) {
      if (e["ph"] == "X" && (e["cat"] == "phase" || e["cat"] == "step" || e["name"] == "update")) ++named[e["name"]];
      if (e["ph"] == "C") memory[e["name"]] = std::max(memory[e["name"]], e["args"]["bytes"].get<double>());
    }
    CHECK(named["forward"] == 4);  // two parts a step
    CHECK(named["backward"] == 4);
    for (const char* once : {"zero_grad", "clip", "optimizer", "update"}) CHECK(named[once] == 2);
    CHECK(named[finished ? "step 8" : "step 5"] == 1);
    CHECK(memory["memory: parameters"] > 0);
    CHECK(memory["memory: optimizer state"] == 2 * memory["memory: parameters"]);
  }
  Outcome own = run_plumb("trace " + run + " --size tiny");
  CHECK(own.err == "plumb: trace: --size: a run has its own; leave it out\n");
}
