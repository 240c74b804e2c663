// Hooks to observe training steps: while a probe is set, train() runs steps for it and writes nothing (`plumb trace RUN`, `plumb graph
// RUN`).
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"
#include "models/nn/module.h"
#include "models/optim/optimizer.h"

namespace plumb::train {

/// While one is set, train() takes up the run where it is, makes steps for as long as more() says so, and returns 0. It writes nothing: no
/// file of the run changes. What it is told comes on the thread that trains.
class StepProbe {
 public:
  virtual ~StepProbe() = default;
  virtual bool more() const = 0;
  /// Step `step` (from 1) of `model` begins, with its optimisers' first.
  virtual void step_begins(int64_t, nn::Module&, const optim::Optimizer&) {}
  virtual void step_ends() {}
  /// "forward", "backward", "zero_grad", "clip", "optimizer"; a kind of training that makes whole steps of its own has none.
  virtual void phase_begins(const char*) {}
  virtual void phase_ends() {}
  /// Whether loss_made is what it is for: kinds of training without a loss of a step then throw ConfigError.
  virtual bool wants_loss() const { return false; }
  /// The loss of a part of the batch, before its backward pass; false: enough was seen, nothing follows.
  virtual bool loss_made(const Tensor&, nn::Module&) { return true; }
};

/// The probe that is set, or null.
StepProbe* step_probe();
/// Sets the probe (null removes it); it must stay alive while it is set.
void set_step_probe(StepProbe* probe);

/// Around a phase of a step.
class ProbedPhase {
 public:
  explicit ProbedPhase(const char* name) {
    if (StepProbe* probe = step_probe()) probe->phase_begins(name);
  }
  ~ProbedPhase() {
    if (StepProbe* probe = step_probe()) probe->phase_ends();
  }
  ProbedPhase(const ProbedPhase&) = delete;
  ProbedPhase& operator=(const ProbedPhase&) = delete;
};

}  // namespace plumb::train
