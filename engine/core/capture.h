// A step of work that is recorded once and then started by one call: on a GPU, launching a kernel at a time costs more than small kernels
// take.
#pragma once
#include <functional>
#include <memory>

#include "engine/core/tensor.h"

namespace plumb {

/// A function whose work on a GPU is recorded (as a CUDA graph) in its third call and replayed in later ones; the first two, which find
/// what has to be made only once, and all calls on the CPU run it as it is. Every call is a step.
///
///   Tensor tokens = …, target = …;                        // stay: copy_data(batch, tokens) before each call
///   CapturedStep step = capture([&] { adamw.zero_grad();  Tensor loss = f(tokens, target);  loss.backward();  adamw.step();  return loss;
///   }, device); for (…) { copy_data(batch.tokens, tokens);  …  Tensor loss = step(); }
///
/// A replay runs the same kernels on the same memory. So the function must read its inputs from tensors that stay, have one shape, and
/// keep what it made for others, such as gradients, alive; it cannot wait for the GPU (item(), to_vector(), masked_select): that throws
/// DeviceError in the third call. Code of the host is not run again but for eagerly() and before_replay(). Draws from the default generator
/// go on as they would; draws from others would repeat. A replay gives what the function would have given, bit for bit.
/// Belongs to one thread.
class CapturedStep {
 public:
  /// `step` returns what is to be read of each call (the loss), or an undefined tensor.
  CapturedStep(std::function<Tensor()> step, Device device);
  ~CapturedStep();
  CapturedStep(CapturedStep&&) noexcept;
  CapturedStep& operator=(CapturedStep&&) noexcept;

  /// Does the step. The tensor is the same in all replays: its elements are those of the last.
  Tensor operator()();
  /// Whether the next call is a replay.
  bool captured() const;
  /// Forgets the recording: after a change of shapes, or of what is trained.
  void reset();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// CapturedStep(step, device).
CapturedStep capture(std::function<Tensor()> step, Device device);

/// work(); in a step that is captured, its kernels are not recorded: the recording goes up to here and continues behind, and each replay
/// calls work() again in between. For what depends on the host.
void eagerly(const std::function<void()>& work);
/// work(); in a step that is captured it is put off until what is being recorded is run, and done again before each replay of it. For
/// numbers of the host that recorded kernels read from a tensor which stays, as an optimiser's learning rate.
void before_replay(std::function<void()> work);
/// Whether this thread's work is being recorded.
bool is_recording();

}  // namespace plumb
