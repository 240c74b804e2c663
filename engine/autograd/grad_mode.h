// Whether operations are being recorded on this thread.
#pragma once

namespace plumb {

namespace detail {
inline thread_local bool recording = true;
}

/// Operations on this thread are recorded for backward.
inline bool grad_enabled() { return detail::recording; }

/// While alive, sets whether operations on this thread are recorded.
class GradMode {
 public:
  explicit GradMode(bool enabled) : before_(detail::recording) { detail::recording = enabled; }
  ~GradMode() { detail::recording = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// While alive, nothing on this thread is recorded: for evaluation, and for writing to parameters.
class NoGrad : public GradMode {
 public:
  NoGrad() : GradMode(false) {}
};

}  // namespace plumb
