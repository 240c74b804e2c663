// Scaled dot-product attention, never storing the T×T matrix (Dao et al., FlashAttention, NeurIPS 2022), and position embeddings.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb {

struct AttentionOptions {
  bool causal = false;   ///< query i of T sees key j of S where j ≤ i + S − T: the last query sees all (a key/value cache needs this)
  double scale = 0;      ///< of the scores; 0: 1/√D
  int64_t window = 0;    ///< if > 0, a query sees only its last `window` keys (sliding window); needs causal
  double dropout = 0;    ///< each weight is dropped with this probability, the others scaled by 1/(1 − dropout); draws from default_generator()
  Tensor mask;           ///< broadcast to [B, H, T, S]: bool (true: may see) or floating (added to the scores); its gradient is not tracked
};

/// softmax(q kᵀ · scale + mask) v:  q [B, H, T, D], k [B, G, S, D], v [B, G, S, E] → [B, H, T, E], H a multiple of G (grouped-query heads:
/// head h reads group h / (H/G)). A query that may see nothing gives 0. Any device, any floating type; scores are summed in f32 (f64 for f64).
/// Throws ShapeError for sizes that do not fit, ValueError for options outside their range.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

/// The same from one projection qkv [B, T, (H + 2G) · D], heads of q first, then k, then v → [B, T, H · D]. Saves the copies of
/// splitting and joining heads, forward and backward.
Tensor packed_attention(const Tensor& qkv, int64_t num_heads, int64_t num_groups, const AttentionOptions& options = {});

struct RotaryOptions {
  double base = 10000;
  bool interleaved = false;  ///< pairs (2i, 2i+1) as in GPT-J; else (i, i + D/2) as in Llama
};
/// Rotary position embedding (Su et al. 2021): pairs of x [.., T, D] turned by positions[t] · base^(−2i/D). positions i64 [T]. D even.
Tensor rotary_embedding(const Tensor& x, const Tensor& positions, RotaryOptions options = {});
/// [.., dim] for positions of any shape: sin(p ω_i) for the first half, cos(p ω_i) for the second, ω_i = base^(−i/(dim/2)). dim even.
Tensor sinusoidal_embedding(const Tensor& positions, int64_t dim, double base = 10000);

}  // namespace plumb
