// Rows of attention, position embeddings and dropout.
#include "ops/attention.h"

#include "engine/core/generator.h"
#include "ops/dropout.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> attention_cases() {
  using T = const Tensor&;
  Tensor mask = tensor({{true, false, true}, {true, true, false}}), positions = tensor({0, 3});
  return {
      {"attention",
       {real({1, 2, 2, 3}), real({1, 2, 3, 3}), real({1, 2, 3, 2})},
       [](T q, T k, T v) { return scaled_dot_product_attention(q, k, v); }},
      {"attention causal, grouped",
       {real({1, 2, 3, 2}), real({1, 1, 3, 2}), real({1, 1, 3, 2})},
       [](T q, T k, T v) { return scaled_dot_product_attention(q, k, v, {.causal = true}); }},
      {"attention in a window",
       {real({1, 1, 4, 2}), real({1, 1, 4, 2}), real({1, 1, 4, 2})},
       [](T q, T k, T v) { return scaled_dot_product_attention(q, k, v, {.causal = true, .window = 2}); }},
      {"attention masked",
       {real({1, 1, 2, 2}), real({1, 1, 3, 2}), real({1, 1, 3, 2})},
       [mask](T q, T k, T v) { return scaled_dot_product_attention(q, k, v, {.scale = 0.5, .mask = to(mask, q.device())}); }},
      {"attention with dropout",
       {real({1, 1, 3, 2}), real({1, 1, 3, 2}), real({1, 1, 3, 2})},
       [](T q, T k, T v) {
         manual_seed(2);  // the same mask at every evaluation
         return scaled_dot_product_attention(q, k, v, {.dropout = 0.4});
       }},
      {"packed attention", {real({1, 3, 16})}, [](T x) { return packed_attention(x, 2, 1, {.causal = true}); }},
      {"rotary embedding", {real({2, 2, 4})}, [positions](T x) { return rotary_embedding(x, to(positions, x.device())); }},
      {"rotary embedding interleaved",
       {real({2, 4})},
       [positions](T x) { return rotary_embedding(x, to(positions, x.device()), {.base = 50, .interleaved = true}); }},
      {"rotary embedding scaled",
       {real({2, 4})},
       [positions](T x) {
         return rotary_embedding(x, to(positions, x.device()),
                                 {.base = 50, .scaling = {.factor = 4, .low = 1, .high = 4, .original_context = 16}});
       }},
      {"sinusoidal embedding", {real({2, 3})}, [](T p) { return sinusoidal_embedding(p, 4, 50); }},
      {"feature_dropout",
       {real({3, 4, 2})},
       [](T x) {
         manual_seed(5);
         return feature_dropout(x, 0.3);
       }},
      {"alpha_dropout",
       {real({3, 5})},
       [](T x) {
         manual_seed(5);
         return alpha_dropout(x, 0.3);
       }},
      {"dropout",
       {real({3, 5})},
       [](T x) {
         manual_seed(5);
         return dropout(x, 0.3);
       }},
  };
}

}  // namespace plumb::testing
