// Queries, keys and values that look like noise, and attention on them as a function to be compared across devices.
#pragma once
#include "ops/attention.h"
#include "tests/cuda/compare.h"

namespace plumb::testing {

struct AttentionSizes {
  int64_t batch, heads, groups, queries, keys, width, values;
};

inline std::vector<Tensor> attention_inputs(const AttentionSizes& s, DType type) {
  return {noise({s.batch, s.heads, s.queries, s.width}, type, 1), noise({s.batch, s.groups, s.keys, s.width}, type, 2),
          noise({s.batch, s.groups, s.keys, s.values}, type, 3)};
}

inline Function attend(const AttentionOptions& options) {
  return [options](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    AttentionOptions o = options;
    if (o.mask.defined()) o.mask = on(o.mask, x[0].device());
    return {scaled_dot_product_attention(x[0], x[1], x[2], o)};
  };
}

}  // namespace plumb::testing
