// How events become spans. A thread has a stack of what has begun. Operations are told of only when they are recorded, so an operation's
// span begins with the first kernel or block since the one before it.
#include "tools/trace/recorder.h"

#include <algorithm>
#include <chrono>

#include "engine/core/device_runtime.h"

namespace plumb::tools {

Recorder::Recorder() {
  here();
  set_watcher(this);
}
Recorder::~Recorder() {
  if (watcher() == this) set_watcher(nullptr);
}

int64_t Recorder::now() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count() - started_;
}

Recorder::Thread& Recorder::here() {
  auto [entry, added] = threads_.try_emplace(std::this_thread::get_id());
  if (added) entry->second.number = static_cast<int>(threads_.size()) - 1;
  return entry->second;
}

void Recorder::start() {
  std::lock_guard lock(mutex_);
  int64_t elapsed = now();
  started_ += elapsed;
  // Blocks of the past keep their place before 0; those that have gone do not matter.
  std::vector<Block> alive;
  for (auto& [address, i] : live_) {
    alive.push_back(std::move(trace_.blocks[i]));
    alive.back().allocated -= elapsed;
    i = alive.size() - 1;
  }
  trace_.blocks = std::move(alive);
  recording_ = true;
}

Trace Recorder::finish() {
  std::lock_guard lock(mutex_);
  set_watcher(nullptr);
  recording_ = false;
  trace_.end = now();
  live_.clear();
  std::ranges::stable_sort(trace_.blocks, {}, &Block::allocated);
  return std::move(trace_);
}

void Recorder::open_span(Thread& thread, SpanKind kind, std::string name, Device device) {
  Open open{.span = {.kind = kind, .name = std::move(name), .thread = thread.number}, .device = device};
  open.span.begin = now();
  thread.open.push_back(std::move(open));
}

void Recorder::close_span(Thread& thread) {
  thread.open.back().span.end = now();
  trace_.spans.push_back(std::move(thread.open.back().span));
  thread.open.pop_back();
}

void Recorder::boundary(Thread& thread) {
  thread.work_began = -1;
  thread.waiting.clear();
}

void Recorder::work_begins(Thread& thread) {
  if (thread.work_began < 0) thread.work_began = now();
}

void Recorder::enter(SpanKind kind, std::string name) {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  boundary(here());
  open_span(here(), kind, std::move(name));
}

void Recorder::leave() {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  close_span(here());
  boundary(here());
}

void Recorder::name_block(const void* address, const std::string& name) {
  std::lock_guard lock(mutex_);
  if (auto found = live_.find(address); found != live_.end()) trace_.blocks[found->second].name = name;
}

void Recorder::kernel_begins(const char* kernel, Device device, std::span<const Tensor* const> tensors) noexcept {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  Thread& thread = here();
  work_begins(thread);
  std::vector<SeenTensor> arguments;
  for (const Tensor* x : tensors)
    if (x->defined()) arguments.push_back(seen(*x));
  auto given = given_costs_.find(kernel);
  KernelCost cost = given != given_costs_.end() ? given->second : kernel_cost(kernel, arguments, attention_plan_in_work);
  auto around =
      std::ranges::find_if(thread.open.rbegin(), thread.open.rend(), [](const Open& o) { return o.span.kind != SpanKind::kernel; });
  std::string within = around == thread.open.rend() ? "" : around->span.name;
  open_span(thread, SpanKind::kernel, kernel, device);
  Span& span = thread.open.back().span;
  span.within = std::move(within);
  span.tensors = std::move(arguments);
  span.cost = cost;
  span.begin = now();  // what was written down here is not its time
}

void Recorder::kernel_ended() noexcept {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  Thread& thread = here();
  if (thread.open.empty() || thread.open.back().span.kind != SpanKind::kernel) return;  // it began before the recording did
  synchronize(thread.open.back().device);
  close_span(thread);
  thread.waiting.push_back(trace_.spans.size() - 1);
}

void Recorder::operation_recorded(const char* operation) noexcept {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  Thread& thread = here();
  work_begins(thread);
  for (size_t i : thread.waiting) trace_.spans[i].within = operation;
  trace_.spans.push_back(
      {.kind = SpanKind::operation, .name = operation, .begin = thread.work_began, .end = now(), .thread = thread.number});
  boundary(thread);
}

void Recorder::backward_begins(const char* operation) noexcept {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  boundary(here());
  open_span(here(), SpanKind::derivative, std::string(operation) + " backward");
}

void Recorder::backward_ended() noexcept {
  std::lock_guard lock(mutex_);
  if (!recording_) return;
  Thread& thread = here();
  boundary(thread);
  if (!thread.open.empty() && thread.open.back().span.kind == SpanKind::derivative) close_span(thread);
}

void Recorder::allocated(Device, const void* block, size_t bytes, const char* operation, const char* what) noexcept {
  std::lock_guard lock(mutex_);
  if (recording_) work_begins(here());
  live_[block] = trace_.blocks.size();
  trace_.blocks.push_back({.operation = operation, .what = what, .bytes = static_cast<int64_t>(bytes), .allocated = now()});
}

void Recorder::freed(Device, const void* block) noexcept {
  std::lock_guard lock(mutex_);
  auto found = live_.find(block);
  if (found == live_.end()) return;
  trace_.blocks[found->second].freed = now();
  live_.erase(found);
}

}  // namespace plumb::tools
