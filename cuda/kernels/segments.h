// Rows that are joined by key, deterministically and however uneven the keys: the sums behind scatter_add and the gradients of embeddings.
// Entries are sorted by key (stably, so those of a key stay in order) and the sorted list is cut into chunks of 64. A chunk joins its
// entries one after the other; segments that lie within it are complete, and those that cross its ends leave a partial result, which a
// second launch joins chunk by chunk. So no thread walks more than 64 entries, or 1/64 of the longest segment.
// Bytes: every value once, two numbers of 8 bytes an entry, and 1/32 of the values as partial results; before, the sort. Bound: memory.
//
// An operation is a small struct, copied to the device:
//   Value                       the type of partial results
//   Value read(place, column)   the entry's value
//   Value join(a, b)            two results as one, a of earlier entries
//   put(key, column, value)     what to do with a complete segment (keys that do not count are for it to ignore)
#pragma once
#include <algorithm>
#include <bit>

#include "cuda/kernels/elements.h"
#include "cuda/kernels/radix_sort.h"
#include "cuda/runtime/launch.h"

namespace plumb::cuda_backend {

inline constexpr int64_t kChunk = 64;

/// Sorted keys and places, and how the work is laid out: `width` threads across the columns, the others of a block take other chunks.
struct SegmentTask {
  const int64_t *keys, *places;
  int64_t entries, chunks, columns;
  int width;
};
struct SegmentThread {
  int64_t chunk, column, first, last;
  bool inside;
  __device__ explicit SegmentThread(const SegmentTask& t) {
    int64_t strips = (t.columns + t.width - 1) / t.width, depth = blockDim.x / static_cast<unsigned>(t.width);
    column = blockIdx.x % strips * t.width + threadIdx.x % static_cast<unsigned>(t.width);
    chunk = blockIdx.x / strips * depth + threadIdx.x / static_cast<unsigned>(t.width);
    first = chunk * kChunk;
    last = first + kChunk < t.entries ? first + kChunk : t.entries;
    inside = chunk < t.chunks && column < t.columns;
  }
};

// heads[chunk] ← of the segment that began before the chunk; tails[chunk] ← of one that begins in it and goes on after it.
template <typename Op>
__global__ void join_chunks(Op op, SegmentTask t, typename Op::Value* heads, typename Op::Value* tails) {
  SegmentThread me(t);
  if (!me.inside) return;
  int64_t key = t.keys[me.first];
  bool began_before = me.first > 0 && t.keys[me.first - 1] == key;
  auto value = op.read(t.places[me.first], me.column);
  for (int64_t i = me.first + 1; i < me.last; ++i) {
    int64_t next = t.keys[i];
    auto read = op.read(t.places[i], me.column);
    if (next == key) {
      value = op.join(value, read);
      continue;
    }
    if (began_before) heads[me.chunk * t.columns + me.column] = value;
    else op.put(key, me.column, value);
    began_before = false;
    key = next;
    value = read;
  }
  bool goes_on = me.last < t.entries && t.keys[me.last] == key;
  if (began_before) heads[me.chunk * t.columns + me.column] = value;
  else if (goes_on) tails[me.chunk * t.columns + me.column] = value;
  else op.put(key, me.column, value);
}

template <typename Op>
__global__ void join_across_chunks(Op op, SegmentTask t, const typename Op::Value* heads, const typename Op::Value* tails) {
  SegmentThread me(t);
  if (!me.inside || me.last == t.entries) return;
  int64_t key = t.keys[me.last - 1];
  bool begins_here = me.first == 0 || t.keys[me.first - 1] != key, goes_on = t.keys[me.last] == key;
  if (!begins_here || !goes_on) return;
  auto value = tails[me.chunk * t.columns + me.column];
  for (int64_t chunk = me.chunk + 1; goes_on; ++chunk) {
    value = op.join(value, heads[chunk * t.columns + me.column]);
    int64_t end = (chunk + 1) * kChunk;
    goes_on = end < t.entries && t.keys[end - 1] == key && t.keys[end] == key;
  }
  op.put(key, me.column, value);
}

/// Joins the rows of `entries` entries; keys[i] in [0, limit) is entry i's key. keys are sorted in place.
template <typename Op>
void join_segments(const Op& op, int64_t* keys, int64_t entries, int64_t limit, int64_t columns) {
  if (entries == 0 || columns == 0) return;
  Scratch<int64_t> places(entries);
  sort_by_key(keys, places, entries, limit);
  SegmentTask t{keys,    places,
                entries, pieces(entries, kChunk),
                columns, static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::min<int64_t>(256, columns))))};
  Grid grid{dim3(static_cast<unsigned>(pieces(columns, t.width) * pieces(t.chunks, 256 / t.width))), dim3(256)};
  Scratch<typename Op::Value> heads(t.chunks * columns), tails(t.chunks * columns);
  launch(join_chunks<Op>, grid, op, t, heads.data(), tails.data());
  if (t.chunks > 1) launch(join_across_chunks<Op>, grid, op, t, heads.data(), tails.data());
}

}  // namespace plumb::cuda_backend
