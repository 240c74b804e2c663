// A step, phase by phase.
#include "tools/trace/traced_step.h"

#include <fmt/format.h>

#include "engine/autograd/autocast.h"
#include "engine/core/parallel.h"
#include "models/optim/adam.h"

namespace plumb::tools {
namespace {

// What AdamW's update reads and writes of each number: parameter, gradient and two moments, of which it writes three; ops/optim_functions.h
// has its 16 operations.
KernelCost update_cost(const nn::Module& module) {
  double numbers = static_cast<double>(module.num_parameters());
  return {7 * 4 * numbers, 16 * numbers};
}

const void* block_of(const Tensor& x) { return x.impl()->storage->data(); }

void name_blocks(Recorder& recorder, const nn::Module& module, const optim::AdamW& adamw) {
  for (const auto& [name, x] : module.named_parameters()) {
    recorder.name_block(block_of(x), "parameter " + name);
    if (x.grad().defined()) recorder.name_block(block_of(x.grad()), "gradient of " + name);
  }
  for (const auto& [name, x] : adamw.state().tensors) recorder.name_block(block_of(x), "optimizer state");
}

class Phase {
 public:
  Phase(Recorder& recorder, SpanKind kind, std::string name) : recorder_(recorder) { recorder_.enter(kind, std::move(name)); }
  ~Phase() { recorder_.leave(); }
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  Recorder& recorder_;
};

void step(Recorder& recorder, const StepModel& model, optim::AdamW& adamw, DType dtype, const std::string& name) {
  Phase whole(recorder, SpanKind::step, name);
  Tensor loss;
  {
    Phase phase(recorder, SpanKind::phase, "forward");
    Autocast cast(dtype);
    loss = model.loss();
  }
  {
    Phase phase(recorder, SpanKind::phase, "zero_grad");
    adamw.zero_grad();
  }
  {
    Phase phase(recorder, SpanKind::phase, "backward");
    loss.backward();
  }
  Phase phase(recorder, SpanKind::phase, "optimizer");
  adamw.step();
}

}  // namespace

TracedSteps trace_steps(const TraceSettings& s) {
  Recorder recorder;
  StepModel model = make_step_model(s.model, s.size, s.device);
  optim::AdamW adamw(model.module->parameters(), {.lr = 1e-3});
  recorder.set_cost("update", update_cost(*model.module));
  for (int64_t i = 0; i < s.warmup; ++i) step(recorder, model, adamw, s.dtype, "warm-up");
  name_blocks(recorder, *model.module, adamw);
  recorder.start();
  for (int64_t i = 0; i < s.steps; ++i) {
    step(recorder, model, adamw, s.dtype, fmt::format("step {}", i + 1));
    name_blocks(recorder, *model.module, adamw);
  }
  return {recorder.finish(), fmt::format("{} on {}{}, {} threads: {} parameters, {} {} a step", model.name, to_string(s.device), s.dtype == f32 ? "" : fmt::format(" in {}", name(s.dtype)), num_threads(),
                                         model.module->num_parameters(), model.item_count, model.items)};
}

}  // namespace plumb::tools
