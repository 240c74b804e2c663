// Streams, events, copies and graphs of the simulated device. A stream is a list of work that waits; it runs when the host waits for it, or
// for something that comes after.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/cuda/simulated/device.h"
#include "tests/cuda/simulated/runtime.h"
#include "tests/cuda/simulated/symbols.h"

namespace plumb::simulated {

bool is_pinned(const void* at);

using Work = std::function<void()>;

struct Graph {
  std::vector<Work> work;
};
// The GPU that the calling thread has made current. All share one memory; streams and events belong to the one they were made on.
thread_local int current = 0;

struct Stream {
  int device = current;
  std::deque<Work> waiting;
  std::unique_ptr<Graph> captured;
};
struct Event {
  int device = current;
  Stream* stream = nullptr;
  int64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;
};

namespace {

constexpr size_t kMostWaiting = 4096;  // as a driver's queue, which makes the host wait when it is full

struct Device {
  std::recursive_mutex mutex;
  Stream zero;
  std::set<Stream*> streams{&zero};
  cudaError_t error = cudaSuccess;  // what a kernel did wrong stays, as on a GPU
  cudaError_t last = cudaSuccess;
  std::string problem;
  int count = 1;
  bool driver = true;
};
Device& device() {
  static auto& d = *new Device;
  return d;
}

Stream& stream_or_zero(cudaStream_t stream) { return stream ? *stream : device().zero; }

cudaError_t remember(cudaError_t status) {
  if (status != cudaSuccess) device().last = status;
  return status;
}

cudaError_t run(Stream& stream) {
  std::lock_guard lock(device().mutex);
  OpenMemory open;
  while (!stream.waiting.empty() && device().error == cudaSuccess) {
    Work work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    try {
      work();
    } catch (const KernelError& error) {
      device().problem = error.what();
      device().error = cudaErrorLaunchFailure;
    }
  }
  if (device().error != cudaSuccess) stream.waiting.clear();
  return remember(device().error);
}

}  // namespace

cudaError_t enqueue(cudaStream_t at, Work work) {
  std::lock_guard lock(device().mutex);
  Stream& stream = stream_or_zero(at);
  if (stream.captured) {
    stream.captured->work.push_back(std::move(work));
    return cudaSuccess;
  }
  stream.waiting.push_back(std::move(work));
  return stream.waiting.size() > kMostWaiting ? run(stream) : cudaSuccess;
}

cudaError_t check_grid(const dim3& blocks, const dim3& threads, size_t shared_bytes) {
  bool fits = threads.x >= 1 && threads.y >= 1 && threads.z >= 1 && threads.x <= 1024 && threads.y <= 1024 && threads.z <= 64 &&
              threads.x * threads.y * threads.z <= 1024 && blocks.x < 1u << 31 && blocks.y <= 65535 && blocks.z <= 65535 &&
              shared_bytes <= 227 << 10;
  return fits ? cudaSuccess : remember(cudaErrorInvalidConfiguration);
}
cudaError_t check_stream(cudaStream_t stream) {
  return !stream || stream->device == current ? cudaSuccess : remember(cudaErrorInvalidResourceHandle);
}

void reset() {
  std::lock_guard lock(device().mutex);
  for (Stream* stream : device().streams) stream->waiting.clear();
  device().error = device().last = cudaSuccess;
}
void set_device_count(int count) { device().count = count; }
void set_driver(bool installed) { device().driver = installed; }

}  // namespace plumb::simulated

using namespace plumb::simulated;

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorLaunchFailure: return device().problem.c_str();
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    default: return "unknown error";
  }
}
const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    default: return "cudaErrorUnknown";
  }
}
cudaError_t cudaGetLastError() { return std::exchange(device().last, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return device().last; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device().driver ? device().count : 0;
  if (!device().driver) return remember(cudaErrorInsufficientDriver);
  return device().count ? cudaSuccess : remember(cudaErrorNoDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::snprintf(properties->name, sizeof properties->name, "simulated GPU");
  properties->major = 9;
  properties->minor = 0;
  size_t free;
  return cudaMemGetInfo(&free, &properties->totalGlobalMem);
}
// Few multiprocessors, so that loops over a grid go round more than once in small tests.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  *value = which == cudaDevAttrMultiProcessorCount ? 1 : 227 << 10;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= device().count) return remember(cudaErrorInvalidDevice);
  current = index;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* index) {
  *index = current;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  for (Stream* stream : device().streams)
    if (cudaError_t status = run(*stream); status != cudaSuccess) return status;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  bool pageable_source = !is_device_memory(from) && !is_pinned(from), pageable_target = !is_device_memory(to) && !is_pinned(to);
  if (pageable_source) {  // is read before the call returns
    auto staged =
        std::make_shared<std::vector<std::byte>>(static_cast<const std::byte*>(from), static_cast<const std::byte*>(from) + bytes);
    return enqueue(stream, [=] { std::memcpy(to, staged->data(), bytes); });
  }
  cudaError_t status = enqueue(stream, [=] { std::memmove(to, from, bytes); });
  return pageable_target && status == cudaSuccess && !stream_or_zero(stream).captured ? run(stream_or_zero(stream)) : status;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemsetAsync(void* at, int byte, size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] { std::memset(at, byte, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  std::lock_guard lock(device().mutex);
  *stream = new Stream;
  device().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  run(*stream);
  std::lock_guard lock(device().mutex);
  device().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream_or_zero(stream).captured) return remember(cudaErrorStreamCaptureUnsupported);
  return run(stream_or_zero(stream));
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return stream_or_zero(stream).waiting.empty() ? cudaSuccess : cudaErrorNotReady; }

static void reach(Event* event, int64_t version) {
  if (event->reached < version && event->stream) run(*event->stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!event->stream) return cudaSuccess;  // never recorded
  return enqueue(stream, [event, version = event->recorded] { reach(event, version); });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event->stream) reach(event, event->recorded);
  cudaDeviceSynchronize();  // others may still wait for it
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream && stream->device != event->device) return remember(cudaErrorInvalidResourceHandle);
  event->stream = &stream_or_zero(stream);
  return enqueue(stream, [event, version = ++event->recorded] {
    event->reached = version;
    event->time = std::chrono::steady_clock::now();
  });
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return event->reached >= event->recorded ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  reach(event, event->recorded);
  return remember(device().error);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (cudaEventQuery(from) != cudaSuccess || cudaEventQuery(to) != cudaSuccess) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(*mode, current);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->captured) return remember(cudaErrorStreamCaptureUnsupported);
  stream->captured = std::make_unique<Graph>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream || !stream->captured) return remember(cudaErrorInvalidValue);
  *graph = stream->captured.release();
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream_or_zero(stream).captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void*, size_t* count) {
  *count = graph->work.size();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return enqueue(stream, [work = executable->work] {
    for (const Work& w : work) w();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  return value <= 227 << 10 ? cudaSuccess : remember(cudaErrorInvalidValue);
}
cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  *name = function_at(kernel);
  return *name ? cudaSuccess : cudaErrorInvalidValue;
}
