// Recompute checkpointing: saved tensors of a region are left out, and a second run of the region brings them back.
#include "engine/autograd/checkpoint.h"

#include <memory>

#include "engine/autograd/autocast.h"
#include "engine/autograd/checkpoint_frame.h"
#include "engine/autograd/grad_mode.h"

namespace plumb {

CheckpointContext& checkpoint_context() {
  static thread_local CheckpointContext context;
  return context;
}

bool recomputing() { return checkpoint_context().again; }

namespace {

class ContextScope {
 public:
  explicit ContextScope(CheckpointContext next) : before_(std::exchange(checkpoint_context(), std::move(next))) {}
  ~ContextScope() { checkpoint_context() = std::move(before_); }

 private:
  CheckpointContext before_;
};

}  // namespace

void CheckpointFrame::recompute() {
  if (recomputed) return;
  Generator now = std::exchange(default_generator(), generator);
  struct Restore {
    Generator state;
    ~Restore() { default_generator() = state; }
  } restore{now};
  Autocast cast(autocast);
  GradMode recording(true);
  ContextScope scope({std::shared_ptr<CheckpointFrame>(this, [](CheckpointFrame*) {}), true, true});
  values.clear();  // of an earlier attempt that threw
  values.reserve(dropped);
  run();
  if (values.size() != dropped)
    throw AutogradError("checkpoint: the function saved " + std::to_string(dropped) + " tensors the first time and " +
                        std::to_string(values.size()) + " when run again; it must compute the same both times");
  recomputed = true;
}

std::vector<Tensor> checkpoint(const std::function<std::vector<Tensor>()>& f) {
  if (!grad_enabled()) return f();
  auto frame = std::make_shared<CheckpointFrame>();
  frame->run = [f] { f(); };
  frame->generator = default_generator();
  frame->autocast = Autocast::type();
  ContextScope scope({frame, false, recomputing()});
  return f();
}

Tensor checkpoint(const std::function<Tensor()>& f) {
  if (!f) throw ValueError("checkpoint: there is no function to run");
  return checkpoint(std::function<std::vector<Tensor>()>([f] { return std::vector<Tensor>{f()}; }))[0];
}

}  // namespace plumb
