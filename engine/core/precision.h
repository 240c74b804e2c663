// Whether f32 products may be computed in other ways than the plain sum where a device is faster so, and what that costs.
#pragma once
#include <atomic>

namespace plumb {

namespace detail {
inline std::atomic<bool> tf32{false};
}

/// On GPUs, products and convolutions of f32 tensors may round their factors to TF32 (10 bits of fraction) and sum in f32. Off at the
/// start, so that results agree with the CPU's; for the whole process. The CPU does not heed it.
inline void allow_tf32(bool on) { detail::tf32.store(on, std::memory_order_relaxed); }
inline bool tf32_allowed() { return detail::tf32.load(std::memory_order_relaxed); }

/// Tiles of Winograd's algorithm for convolution. See allow_winograd.
enum class Winograd { off, tiles_2x2, tiles_4x4 };

namespace detail {
inline std::atomic<Winograd> winograd{Winograd::tiles_2x2};
inline std::atomic<bool> winograd_bf16{false};
}

/// On CPUs, f32 convolutions of 3 × 3 kernels with a stride of 1, and their gradients, may be computed by Winograd's algorithm; for the
/// whole process. Tiles of 2 × 2, as at the start, take 2.25 times fewer multiplications and err about as much as the plain sum does (0.7
/// to 1.5 times, root mean square, from 16 to 512 channels; a test holds 2); tiles of 4 × 4 take 4 times fewer and err 5 to 10 times as
/// much (a test holds 16). `off` is the plain sum. bf16 has a switch of its own; GPUs and other types do not heed this one.
inline void allow_winograd(Winograd tiles) { detail::winograd.store(tiles, std::memory_order_relaxed); }
inline Winograd winograd_allowed() { return detail::winograd.load(std::memory_order_relaxed); }

/// The same convolutions of bf16, where the CPU has dot products of bf16, by Winograd's algorithm on tiles of 2 × 2; off at the start,
/// since transformed values are rounded to bf16 and the error is 2.6 times that of the plain sum, whose result alone is rounded (a test
/// holds 4).
inline void allow_winograd_bf16(bool on) { detail::winograd_bf16.store(on, std::memory_order_relaxed); }
inline bool winograd_bf16_allowed() { return detail::winograd_bf16.load(std::memory_order_relaxed); }

}  // namespace plumb
