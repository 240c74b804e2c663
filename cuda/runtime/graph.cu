// CUDA graphs.
#include "cuda/runtime/graph.h"

#include <utility>

#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/random_place.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

thread_local Recording* recording = nullptr;

__global__ void set_number(uint64_t* to, uint64_t value) { *to = value; }

}  // namespace

bool is_capturing() { return recording != nullptr; }

void keep_for_replays(PinnedMemory memory) {
  if (recording) recording->kept_.push_back(std::move(memory));
}

Recording::Recording() : device_(current_device()), moved_(std::make_unique<Scratch<uint64_t>>(1, "capture")) {
  keep_memory_of(stream_.get(), true);
  cuda_backend::launch(set_number, Grid{dim3(1), dim3(1)}, moved_->data(), moved_by_);
}

Recording::~Recording() {
  abandon();
  try {
    make_current(device_);  // whose streams' memory this is
  } catch (const DeviceError&) {
    // It was current when the recording was made.
  }
  replayed_.wait_at_end();
  for (cudaGraphExec_t part : parts_)
    if (part) cudaGraphExecDestroy(part);
  keep_memory_of(stream_.get(), false);
}

void Recording::begin() {
  if (recording) throw DeviceError("capture: this thread is capturing a step already");
  make_current(device_);
  scope_ = std::make_unique<StreamScope>(stream_.get());
  recording = this;
  captured_moves() = moved_->data();
  cudaError_t status = cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal);
  if (status == cudaSuccess) return;
  leave();
  check(status, "capture");
}

void Recording::leave() noexcept {
  recording = nullptr;
  captured_moves() = nullptr;
  scope_.reset();
}

size_t Recording::end() {
  leave();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_.get(), &graph), "capture");
  cudaGraphExec_t part = nullptr;
  size_t nodes = 0;
  cudaError_t status = cudaGraphGetNodes(graph, nullptr, &nodes);
  if (status == cudaSuccess && nodes > 0) status = cudaGraphInstantiate(&part, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "capture");
  parts_.push_back(part);
  return parts_.size() - 1;
}

void Recording::abandon() noexcept {
  if (recording != this) return;
  leave();
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream_.get(), &graph) == cudaSuccess && graph) cudaGraphDestroy(graph);
  cudaGetLastError();  // that it was invalidated is known
}

// Two launches at most: how far the generator has moved on, where that is something else than in the last part, and the graph.
void Recording::launch(size_t part, uint64_t shift) {
  if (!parts_[part]) return;
  make_current(device_);
  if (shift != moved_by_) cuda_backend::launch(set_number, Grid{dim3(1), dim3(1)}, moved_->data(), moved_by_ = shift);
  check(cudaGraphLaunch(parts_[part], current_stream()), "captured step");
  replayed_.record();
}

// -- as the engine asks for it -----------------------------------------------------------------------------

static Recording& recording_at(void* at) { return *static_cast<Recording*>(at); }
static void* create(int index) {
  make_current(index);
  return new Recording;
}
static void destroy(void* r) noexcept { delete &recording_at(r); }
static void begin(void* r) { recording_at(r).begin(); }
static size_t end(void* r) { return recording_at(r).end(); }
static void abandon(void* r) noexcept { recording_at(r).abandon(); }
static void launch_part(void* r, size_t part, uint64_t shift) { recording_at(r).launch(part, shift); }

plumb::detail::GraphRuntime graph_runtime() { return {create, destroy, begin, end, abandon, launch_part}; }

}  // namespace plumb::cuda_backend
