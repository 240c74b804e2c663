// Whether f32 products may be less precise where a device is faster so.
#pragma once
#include <atomic>

namespace plumb {

namespace detail {
inline std::atomic<bool> tf32{false};
}

/// On GPUs, products and convolutions of f32 tensors may round their factors to TF32 (10 bits of fraction) and sum in f32. Off at the start,
/// so that results agree with the CPU's; for the whole process. The CPU does not heed it.
inline void allow_tf32(bool on) { detail::tf32.store(on, std::memory_order_relaxed); }
inline bool tf32_allowed() { return detail::tf32.load(std::memory_order_relaxed); }

}  // namespace plumb
