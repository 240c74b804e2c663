// Keys and values of the tokens that a decoder has seen, so that a further token costs one step and not a whole sequence.
#pragma once
#include <utility>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::nn {

/// One pair of tensors an attention layer. The layers of one model add to it in turn (extend), then the model advances `length`.
struct KeyValueCache {
  std::vector<Tensor> keys, values;  ///< [B, heads, capacity, head width]; the first `length` positions are filled
  int64_t length = 0;

  KeyValueCache() = default;
  /// Room for `capacity` positions of `batch` sequences in `layers` layers.
  KeyValueCache(int64_t layers, int64_t batch, int64_t heads, int64_t capacity, int64_t head_width, DType dtype = f32, Device device = {});

  Device device() const { return keys.empty() ? cpu : keys[0].device(); }
  /// Puts keys and values [B, heads, T, head width] behind those that `layer` holds; returns all of that layer's, [B, heads, length + T,
  /// ..]. Throws ShapeError if they are not of that shape or there is no room.
  std::pair<Tensor, Tensor> extend(size_t layer, const Tensor& new_keys, const Tensor& new_values);
  /// Makes sequence b what sequence rows[b] was: for beam search. `rows` may name a sequence several times, and be more or fewer than B.
  void reorder(const std::vector<int64_t>& rows);
};

}  // namespace plumb::nn
