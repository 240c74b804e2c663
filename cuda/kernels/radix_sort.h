// Sorting entries of key and place (ops/sort_keys.h) on the GPU: by their bytes, the lowest first, each pass stable.
#pragma once
#include "cuda/runtime/memory.h"
#include "ops/sort_keys.h"

namespace plumb::cuda_backend {

using sorting::Narrow;
using sorting::Wide;

/// Sorts each of `rows` rows of n < 2³² entries by the lowest `bytes` bytes of their keys, equal ones as they come. Returns where the
/// sorted entries are: `entries` or `scratch`, which has as much room.
template <typename E>
E* sort_entries(E* entries, E* scratch, int64_t rows, int64_t n, int bytes);
extern template Narrow* sort_entries(Narrow*, Narrow*, int64_t, int64_t, int);
extern template Wide* sort_entries(Wide*, Wide*, int64_t, int64_t, int);

/// keys[i] and places[i] ← the n keys in ascending order and where they were; equal ones as they come. Keys are in [0, limit).
void sort_by_key(int64_t* keys, int64_t* places, int64_t n, int64_t limit);

}  // namespace plumb::cuda_backend
