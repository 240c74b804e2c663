// Scaled dot-product attention, never storing the T×T matrix (Dao et al., FlashAttention, NeurIPS 2022), and position embeddings.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb {

struct AttentionOptions {
  bool causal = false;   ///< query i of T sees key j of S where j ≤ i + S − T: the last query sees all (a key/value cache needs this)
  double scale = 0;      ///< of the scores; 0: 1/√D
  int64_t window = 0;    ///< if > 0, a query sees only its last `window` keys (sliding window); needs causal
  double dropout =
      0;  ///< each weight is dropped with this probability, the others scaled by 1/(1 − dropout); draws from default_generator()
  Tensor mask;           ///< broadcast to [B, H, T, S]: bool (true: may see) or floating (added to the scores); its gradient is not tracked
};

/// softmax(q kᵀ · scale + mask) v:  q [B, H, T, D], k [B, G, S, D], v [B, G, S, E] → [B, H, T, E], H a multiple of G (grouped-query heads:
/// head h reads group h / (H/G)). A query that may see nothing gives 0. Any device, any floating type; scores are summed in f32 (f64 for
/// f64). Throws ShapeError for sizes that do not fit, ValueError for options outside their range, DTypeError unless q, k and v are floating
/// and of one type.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

/// The same from one projection qkv [B, T, (H + 2G) · D], heads of q first, then k, then v → [B, T, H · D]. Saves the copies of
/// splitting and joining heads, forward and backward.
Tensor packed_attention(const Tensor& qkv, int64_t num_heads, int64_t num_groups, const AttentionOptions& options = {});

/// Slower rotations for sequences longer than those that a model was first trained on (Llama 3.1). With r = original_context · ω / 2π, how
/// often a pair turns within the first context: ω stays where r > high, becomes ω / factor where r < low, and between them lies
/// (1 − s) ω / factor + s ω with s = (r − low) / (high − low). original_context = 0 slows all of them (position interpolation).
struct RotaryScaling {
  double factor = 1, low = 1, high = 4;
  int64_t original_context = 0;
};
struct RotaryOptions {
  double base = 10000;
  bool interleaved = false;  ///< pairs (2i, 2i+1) as in GPT-J; else (i, i + D/2) as in Llama
  RotaryScaling scaling = {};
};
/// How far each pair turns a position: ω_i = base^(−2i/D), scaled; D/2 numbers.
std::vector<double> rotary_frequencies(int64_t width, const RotaryOptions& options);
/// Rotary position embedding (Su et al. 2021): pairs of x [.., T, D] turned by positions[t] · ω_i. positions i64 [T]. D even.
/// Throws ValueError for a scaling whose factor is not positive or whose high is not above its low.
Tensor rotary_embedding(const Tensor& x, const Tensor& positions, RotaryOptions options = {});
/// [.., dim] for positions of any shape: sin(p ω_i) for the first half, cos(p ω_i) for the second, ω_i = base^(−i/(dim/2)). dim even.
Tensor sinusoidal_embedding(const Tensor& positions, int64_t dim, double base = 10000);

}  // namespace plumb
