// What generation needs of a model that predicts the next token.
#pragma once
#include "models/nn/key_value_cache.h"

namespace plumb::transformer {

using nn::KeyValueCache;

/// A model that predicts tokens one after the other, given the keys and values of those before.
class CausalDecoder {
 public:
  virtual ~CausalDecoder() = default;
  /// Logits of the token after the last of `tokens` [B, T] → [B, vocab], given what the cache holds; the cache then holds them too.
  virtual Tensor next(const Tensor& tokens, KeyValueCache& cache) const = 0;
  /// An empty cache for `batch` sequences.
  virtual KeyValueCache make_cache(int64_t batch = 1) const = 0;
  /// Tokens that one sequence may have. An empty cache is one whose length is 0.
  virtual int64_t context() const = 0;
};

}  // namespace plumb::transformer
