// Prefix tuning: learned rows in front of an attention's keys and values, beside weights that may be frozen (Li & Liang, ACL 2021).
#pragma once
#include <vector>

#include "models/nn/attention.h"

namespace plumb::nn {

/// What is put in front of one attention's keys and values: [L, width] for every sequence, or [B, L, width] for each its own; width is that
/// of the keys of all heads together. They are keys and values as they are: no projection is applied. Undefined: nothing.
struct AttentionPrefix {
  Tensor key, value;
  bool defined() const { return key.defined(); }
};
/// By block; those behind the last are undefined.
using Prefixes = std::vector<AttentionPrefix>;

/// A prompt's first half as keys, the second as values: [.., L, width] → two of [.., L / 2, width]. Throws ValueError for an odd L.
AttentionPrefix split_prompt(const Tensor& prompt);

/// attention.out(softmax(q [P^K; key(x)]ᵀ / √D) [P^V; value(x)]), q = query(x): as many rows as x has. x [B, T, width]. Positions are not
/// turned: for attention without rotary embedding. Throws ShapeError for a prefix of another width, or for another batch.
Tensor prefix_attention(const MultiheadAttention& attention, const Tensor& x, const AttentionPrefix& prefix,
                        const AttentionOptions& options = {});

/// One prompt [length, width] for each of some blocks, starting as U(0, 1).
class PrefixPrompt : public Module {
 public:
  /// Throws ValueError for an odd or negative length, or for a block number that is negative or occurs twice.
  PrefixPrompt(std::vector<int64_t> layers, int64_t length, int64_t width);
  /// Puts the prompts to their blocks, whose list grows if it must.
  void place(Prefixes& prefixes) const;
  const std::vector<int64_t>& layers() const { return layers_; }

  Parameter weight;  ///< [layers, length, width]

 private:
  std::vector<int64_t> layers_;
};

/// Throws ValueError, naming `who`, for a block number that is negative or occurs twice, or an odd or negative length.
void check_prompt(const char* who, const std::vector<int64_t>& layers, int64_t length);

}  // namespace plumb::nn
