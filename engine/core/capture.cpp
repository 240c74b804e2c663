// Recording parts of a step between pieces of work for the host.
#include "engine/core/capture.h"

#include <utility>
#include <variant>
#include <vector>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "engine/core/generator.h"

namespace plumb {

struct CapturedStep::Impl {
  // What was recorded between two pieces of host work, where the default generator stood before and behind it, and what the host does
  // first.
  struct Part {
    size_t number;
    Generator before, after;
    std::vector<std::function<void()>> preparations;
  };
  using Piece = std::variant<Part, std::function<void()>>;

  std::function<Tensor()> step;
  Device device;
  int64_t calls = 0;
  void* recording = nullptr;
  std::vector<Piece> pieces;
  Generator part_began;
  std::vector<std::function<void()>> preparations;  // of the part that is being recorded
  Tensor result;

  const detail::GraphRuntime& graphs() const { return detail::device_runtime().graphs; }

  void begin() {
    part_began = default_generator();
    preparations.clear();
    graphs().begin(recording);
  }
  // The part is run now: capturing alone does nothing.
  void end() {
    Part part{graphs().end(recording), part_began, default_generator(), std::move(preparations)};
    for (const auto& prepare : part.preparations) prepare();
    graphs().launch(recording, part.number, 0);
    pieces.push_back(std::move(part));
  }

  void record();
  void replay();
  void forget() {
    result = {};
    if (recording) graphs().destroy(recording);
    recording = nullptr;
    pieces.clear();
    calls = 0;
  }
};

namespace {
thread_local CapturedStep::Impl* capturing = nullptr;
}

void CapturedStep::Impl::record() {
  struct Scope {
    explicit Scope(Impl* impl) { capturing = impl; }
    ~Scope() { capturing = nullptr; }
  } scope(this);
  recording = graphs().create(device.index);
  begin();
  try {
    result = step();
    end();
  } catch (...) {
    graphs().abandon(recording);
    forget();
    throw;
  }
}

void CapturedStep::Impl::replay() {
  for (Piece& piece : pieces) {
    if (auto* work = std::get_if<std::function<void()>>(&piece)) {
      (*work)();
      continue;
    }
    const Part& part = std::get<Part>(piece);
    Generator& generator = default_generator();
    if (generator.seed() != part.before.seed())
      throw ValueError("capture: the default generator was seeded anew after the step was captured; call reset() then");
    for (const auto& prepare : part.preparations) prepare();
    graphs().launch(recording, part.number, generator.offset() - part.before.offset());
    generator.take(part.after.offset() - part.before.offset());
  }
}

CapturedStep::CapturedStep(std::function<Tensor()> step, Device device) : impl_(std::make_unique<Impl>()) {
  impl_->step = std::move(step);
  impl_->device = device;
}
CapturedStep::~CapturedStep() { reset(); }
CapturedStep::CapturedStep(CapturedStep&&) noexcept = default;
CapturedStep& CapturedStep::operator=(CapturedStep&& other) noexcept {
  reset();
  impl_ = std::move(other.impl_);
  return *this;
}

Tensor CapturedStep::operator()() {
  constexpr int64_t kEagerCalls = 2;
  Impl& impl = *impl_;
  if (impl.device.type == DeviceType::cpu || capturing || impl.calls < kEagerCalls) {
    ++impl.calls;
    return impl.step();
  }
  if (!impl.recording) impl.record();
  else impl.replay();
  return impl.result;
}

bool CapturedStep::captured() const { return impl_->recording != nullptr; }
void CapturedStep::reset() {
  if (impl_) impl_->forget();
}

CapturedStep capture(std::function<Tensor()> step, Device device) {
  if (!step) throw ValueError("capture: there is no step to run");
  return {std::move(step), device};
}

void eagerly(const std::function<void()>& work) {
  CapturedStep::Impl* impl = std::exchange(capturing, nullptr);
  if (!impl) return work();
  struct Scope {
    CapturedStep::Impl* impl;
    ~Scope() { capturing = impl; }
  } scope{impl};
  impl->end();
  work();
  impl->pieces.push_back(work);
  impl->begin();
}

void before_replay(std::function<void()> work) {
  if (!capturing) return work();
  capturing->preparations.push_back(std::move(work));
}

bool is_recording() { return capturing != nullptr; }

}  // namespace plumb
