// A step, phase by phase.
#include "tools/trace/traced_step.h"

#include <fmt/format.h>

#include "engine/autograd/autocast.h"
#include "engine/core/parallel.h"
#include "models/nn/placement.h"
#include "models/optim/adam.h"
#include "tools/probe_run.h"

namespace plumb::tools {
namespace {

// What AdamW's update reads and writes of each number: parameter, gradient and two moments, of which it writes three; ops/optim_functions.h
// has its 16 operations. Nothing is known of others.
void set_update_cost(Recorder& recorder, const optim::Optimizer& optimizer) {
  if (!dynamic_cast<const optim::AdamW*>(&optimizer)) return;
  double numbers = 0, bytes = 0;
  for (const Tensor& p : optimizer.parameters()) {
    numbers += static_cast<double>(p.numel());
    bytes += 7 * static_cast<double>(p.numel()) * static_cast<double>(item_size(p.dtype()));
  }
  recorder.set_cost("update", {bytes, 16 * numbers});
}

const void* block_of(const Tensor& x) { return x.impl()->storage->data(); }

void name_blocks(Recorder& recorder, const nn::Module& module, const optim::Optimizer& optimizer) {
  for (const auto& [name, x] : module.named_parameters()) {
    recorder.name_block(block_of(x), "parameter " + name);
    if (x.grad().defined()) recorder.name_block(block_of(x.grad()), "gradient of " + name);
  }
  for (const auto& [name, x] : optimizer.state().tensors) recorder.name_block(block_of(x), "optimizer state");
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

// Writes down the steps of a run after the first few.
class TracingProbe final : public train::StepProbe {
 public:
  TracingProbe(int64_t warmup, int64_t steps) : warmup_(warmup), steps_(steps) {}

  bool more() const override { return made_ < warmup_ + steps_; }
  void step_begins(int64_t step, nn::Module& model, const optim::Optimizer& optimizer) override {
    if (made_ == warmup_) {
      first_ = step;
      device_ = nn::device_of(model);
      parameters_ = model.num_parameters();
      set_update_cost(recorder, optimizer);
      name_blocks(recorder, model, optimizer);
      recorder.start();
    }
    recorder.enter(SpanKind::step, fmt::format("step {}", step));
    model_ = &model, optimizer_ = &optimizer;
  }
  void step_ends() override {
    recorder.leave();
    if (made_++ >= warmup_) name_blocks(recorder, *model_, *optimizer_);
  }
  void phase_begins(const char* phase) override { recorder.enter(SpanKind::phase, phase); }
  void phase_ends() override { recorder.leave(); }
  std::string about(const std::string& run) const {
    return fmt::format("{} on {}, {} threads: {} parameters, {} {}", run, to_string(device_), num_threads(), parameters_,
                       steps_ == 1 ? "step" : "steps from", first_);
  }

  Recorder recorder;

 private:
  int64_t warmup_, steps_, made_ = 0, first_ = 0, parameters_ = 0;
  Device device_;
  const nn::Module* model_ = nullptr;
  const optim::Optimizer* optimizer_ = nullptr;
};

}  // namespace

TracedSteps trace_run(const std::string& run, int64_t warmup, int64_t steps) {
  TracingProbe probe(warmup, steps);
  probe_run(run, probe);
  return {probe.recorder.finish(), probe.about(run)};
}

TracedSteps trace_steps(const TraceSettings& s) {
  Recorder recorder;
  StepModel model = make_step_model(s.model, s.size, s.device);
  optim::AdamW adamw(model.module->parameters(), {.lr = 1e-3});
  set_update_cost(recorder, adamw);
  for (int64_t i = 0; i < s.warmup; ++i) step(recorder, model, adamw, s.dtype, "warm-up");
  name_blocks(recorder, *model.module, adamw);
  recorder.start();
  for (int64_t i = 0; i < s.steps; ++i) {
    step(recorder, model, adamw, s.dtype, fmt::format("step {}", i + 1));
    name_blocks(recorder, *model.module, adamw);
  }
  return {recorder.finish(), fmt::format("{} on {}{}, {} threads: {} parameters, {} {} a step", model.name, to_string(s.device),
                                         s.dtype == f32 ? "" : fmt::format(" in {}", name(s.dtype)), num_threads(),
                                         model.module->num_parameters(), model.item_count, model.items)};
}

}  // namespace plumb::tools
