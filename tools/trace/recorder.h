// A watcher that writes down what the engine did: spans of time and blocks of memory.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/watcher.h"
#include "tools/trace/kernel_cost.h"

namespace plumb::tools {

/// From the outside in; spans of one thread lie within or beside each other.
enum class SpanKind { step, phase, operation, derivative, kernel };

/// Times are nanoseconds since recording started.
struct Span {
  SpanKind kind = SpanKind::kernel;
  std::string name;
  std::string within;               ///< kernels: the operation, "… backward", or else the phase that it worked for
  int64_t begin = 0, end = 0;
  int thread = 0;                   ///< 0 for the one that started the recording
  std::vector<SeenTensor> tensors;  ///< kernels: their arguments
  KernelCost cost;                  ///< kernels
};

inline constexpr int64_t kNever = INT64_MAX;

struct Block {
  std::string operation, what;  ///< who asked for it, for what (a shape)
  std::string name;             ///< what name_block said that it is; or empty
  int64_t bytes = 0;
  int64_t allocated = 0;        ///< below 0: before recording started
  int64_t freed = kNever;
};

struct Trace {
  std::vector<Span> spans;    ///< in order of their end
  std::vector<Block> blocks;  ///< those that lived at some time of the recording, in order of allocation
  int64_t end = 0;            ///< when recording ended
};

/// Between construction and finish() it is the watcher and knows every block; spans are kept between start() and finish(). A kernel on a
/// GPU is waited for at its end, so that its time is its own: a step takes longer under it than without.
class Recorder final : public Watcher {
 public:
  Recorder();
  ~Recorder() override;

  void start();
  Trace finish();
  /// A span of this thread around what happens until leave(); kinds step and phase.
  void enter(SpanKind kind, std::string name);
  void leave();
  /// What the block at `address`, if there is one, holds from now on: "parameter w".
  void name_block(const void* address, const std::string& name);
  /// The cost of a kernel whose tensors come in lists, which a watcher is not shown.
  void set_cost(const std::string& kernel, KernelCost cost) { given_costs_[kernel] = cost; }

  void kernel_begins(const char* kernel, Device device, std::span<const Tensor* const> tensors) noexcept override;
  void kernel_ended() noexcept override;
  void operation_recorded(const char* operation) noexcept override;
  void backward_begins(const char* operation) noexcept override;
  void backward_ended() noexcept override;
  void allocated(Device device, const void* block, size_t bytes, const char* operation, const char* what) noexcept override;
  void freed(Device device, const void* block) noexcept override;

 private:
  struct Open {
    Span span;
    Device device;
  };
  struct Thread {
    int number = 0;
    std::vector<Open> open;
    int64_t work_began = -1;      ///< since the last operation, derivative or phase; −1: nothing since
    std::vector<size_t> waiting;  ///< kernels since then, whose operation is not known yet
  };
  int64_t now() const;
  Thread& here();
  void open_span(Thread& thread, SpanKind kind, std::string name, Device device = {});
  void close_span(Thread& thread);
  void work_begins(Thread& thread);
  static void boundary(Thread& thread);

  std::mutex mutex_;
  bool recording_ = false;
  int64_t started_ = 0;
  std::map<std::thread::id, Thread> threads_;
  std::map<std::string, KernelCost> given_costs_;
  std::map<const void*, size_t> live_;  ///< blocks by address
  Trace trace_;
};

}  // namespace plumb::tools
