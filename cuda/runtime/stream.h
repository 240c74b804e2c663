// Streams and events. Everything runs in order on one stream a device unless a program asks for more; nothing here waits unless its name
// says so.
#pragma once
#include <cuda_runtime.h>

namespace plumb::cuda_backend {

/// The stream that the calling thread's launches, copies and allocations go to: the current device's own stream, or that of the
/// innermost StreamScope. Not CUDA's stream 0, which waits for all others and cannot be captured.
cudaStream_t current_stream();
/// Waits until everything on the current stream has been done. Throws DeviceError for what a kernel did wrong.
void synchronize_stream();

/// A stream of one's own on the current device.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// While alive, `stream` is the calling thread's current stream.
class StreamScope {
 public:
  explicit StreamScope(cudaStream_t stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  cudaStream_t before_;
};

/// A point in a stream.
class Event {
 public:
  explicit Event(bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// The event is what the stream has been given so far.
  void record(cudaStream_t stream = current_stream());
  /// What `stream` is given from now on waits for the event; the caller does not.
  void make_wait(cudaStream_t stream = current_stream()) const;
  bool done() const;
  void synchronize() const;
  /// The same in a destructor: what a kernel did wrong is not thrown here, it shows again later.
  void wait_at_end() const noexcept;
  /// Milliseconds from `earlier` to this; both timed and done.
  float milliseconds_since(const Event& earlier) const;

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace plumb::cuda_backend
