// Sparse parity: a few bits of many decide, on which generalisation can come long after memorisation.
#pragma once
#include "engine/data/parts.h"

namespace plumb::data {

struct SparseParityOptions {
  int64_t relevant = 3;     ///< k: the label is the parity of the first k bits
  int64_t irrelevant = 40;  ///< m: bits that say nothing
  int64_t samples = 2000;
  double train = 0.5;  ///< share of the samples to learn from; the rest is the test part
  uint64_t seed = 0;
};

/// Distinct random bit vectors: features [k + m] f32, 0 or 1, and label = the sum of the first k modulo 2 (Barak et al., "Hidden progress
/// in deep learning", 2022). Sample::index is the place among all samples. Throws ValueError for k < 1, m < 0, k + m > 63, fewer than 2 or
/// more than 2^(k + m) samples, or a share outside [0, 1].
DatasetParts sparse_parity(SparseParityOptions options = {});

}  // namespace plumb::data
