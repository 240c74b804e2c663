// Streams and events over the CUDA runtime's.
#include "cuda/runtime/stream.h"

#include <array>
#include <mutex>

#include "cuda/runtime/deferred_error.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kMostDevices = 64;

cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return stream;
}

// Never destroyed: tensors of static lifetime are freed on them.
cudaStream_t own_stream(int device) {
  static std::array<std::once_flag, kMostDevices> once;
  static std::array<cudaStream_t, kMostDevices> streams;
  auto d = static_cast<size_t>(device);
  std::call_once(once[d], [d] { streams[d] = make_stream(); });
  return streams[d];
}

thread_local cudaStream_t scoped = nullptr;

}  // namespace

cudaStream_t current_stream() { return scoped ? scoped : own_stream(current_device()); }

void synchronize_stream() {
  check(cudaStreamSynchronize(current_stream()), "synchronize");
  throw_deferred_error();
}

Stream::Stream() {
  current_device();
  stream_ = make_stream();
}
Stream::~Stream() {
  // A later stream may get its name, and with it the blocks that its work may still use. What a kernel did wrong shows again later.
  if (cudaStreamSynchronize(stream_) != cudaSuccess) cudaGetLastError();
  cudaStreamDestroy(stream_);
}
void Stream::synchronize() const { check(cudaStreamSynchronize(stream_), "synchronize"); }

StreamScope::StreamScope(cudaStream_t stream) : before_(scoped) { scoped = stream; }
StreamScope::~StreamScope() { scoped = before_; }

Event::Event(bool timed) {
  current_device();
  check(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming), "event");
}
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "event"); }
void Event::make_wait(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "event"); }
bool Event::done() const {
  cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) {
    cudaGetLastError();  // the runtime keeps the answer as an error, which the next launch would report
    return false;
  }
  check(status, "event");
  return true;
}
void Event::synchronize() const { check(cudaEventSynchronize(event_), "event"); }
void Event::wait_at_end() const noexcept {
  if (cudaEventSynchronize(event_) != cudaSuccess) cudaGetLastError();
}
float Event::milliseconds_since(const Event& earlier) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "event");
  return milliseconds;
}

}  // namespace plumb::cuda_backend
