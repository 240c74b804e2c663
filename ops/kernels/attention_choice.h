// Who computes attention of 16-bit types on a GPU.
#pragma once
#include <atomic>

namespace plumb {

/// `automatic`: a library where it can, if shapes say that making its plan is repaid; `library`: wherever it can; `own_kernels`: never a
/// library. What it cannot do (f32, f64, masks, dropout) is own kernels' in any case.
enum class AttentionChoice { automatic, library, own_kernels };

namespace detail {
inline std::atomic<AttentionChoice> attention_choice{AttentionChoice::automatic};
}

/// For the whole process, from the next call on: tests and benchmarks compare the ways. Sums are taken in another order in each.
inline void choose_attention(AttentionChoice choice) { detail::attention_choice.store(choice, std::memory_order_relaxed); }
inline AttentionChoice attention_choice() { return detail::attention_choice.load(std::memory_order_relaxed); }

}  // namespace plumb
