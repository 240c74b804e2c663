// Catches host code that touches the device's memory, so that a test can say which operation did and go on with the next.
#pragma once
#include <type_traits>

namespace plumb::testing {

/// Calls f(); false if it was cut short because this thread read or wrote memory of the device outside of a kernel. Nothing that f had on
/// its stack is destroyed then.
bool stays_off_device_memory(void (*f)(void* context), void* context);

template <typename F>
bool stays_off_device_memory(F&& f) {
  return stays_off_device_memory([](void* context) { (*static_cast<std::remove_reference_t<F>*>(context))(); }, &f);
}

}  // namespace plumb::testing
