// Sorting and searching on the CPU: entries of key and place (ops/sort_keys.h). Short rows go to a comparison sort, long ones to a radix
// sort, byte by byte; a very long row is cut into pieces that threads sort and merge.
#include <algorithm>
#include <bit>
#include <cstring>

#include "ops/cpu/strided_loop.h"
#include "ops/kernels/sort.h"
#include "ops/sort_keys.h"

namespace plumb::cpu_kernels {
namespace {

using namespace sorting;

constexpr int64_t kRadixFrom = 1024;       // below, comparisons are faster
constexpr int64_t kPieceFrom = 1 << 16;    // a piece of a long row that is worth a thread

// Sorts e[0, n) by way of scratch[0, n).
template <typename E>
void radix_sort(E* e, E* scratch, int64_t n) {
  std::array<std::array<int64_t, 256>, E::kDigits> counts{};
  for (int64_t i = 0; i < n; ++i)
    for (int b = 0; b < E::kDigits; ++b) ++counts[static_cast<size_t>(b)][e[i].digit(b)];
  E *from = e, *to = scratch;
  for (int b = 0; b < E::kDigits; ++b) {
    auto& count = counts[static_cast<size_t>(b)];
    if (count[from[0].digit(b)] == n) continue;  // a byte that all share
    int64_t start = 0;
    for (int64_t& c : count) start += std::exchange(c, start);
    for (int64_t i = 0; i < n; ++i) to[count[from[i].digit(b)]++] = from[i];
    std::swap(from, to);
  }
  if (from != e) std::memcpy(e, from, static_cast<size_t>(n) * sizeof(E));
}

template <typename E>
void sort_entries(E* e, E* scratch, int64_t n) {
  if (n < kRadixFrom) std::sort(e, e + n);
  else radix_sort(e, scratch, n);
}

// Part `part` of `parts` of merging the sorted [a, middle) and [middle, end) into out: a's entries are cut evenly, the others follow.
template <typename E>
void merge_part(const E* a, const E* middle, const E* end, E* out, int64_t part, int64_t parts) {
  auto cut = [&](int64_t p) { return p == parts ? middle : a + (middle - a) * p / parts; };
  auto other = [&](const E* at, int64_t p) { return p == 0 ? middle : p == parts ? end : std::lower_bound(middle, end, *at); };
  const E *a0 = cut(part), *a1 = cut(part + 1), *b0 = other(a0, part), *b1 = other(a1, part + 1);
  std::merge(a0, a1, b0, b1, out + (a0 - a) + (b0 - middle));
}

// One long row on all threads: pieces sorted, then merged in pairs. Returns where the sorted entries are, e or scratch.
template <typename E>
E* sort_long(E* e, E* scratch, int64_t n) {
  auto pieces = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(num_threads())));
  while (pieces > 1 && n / pieces < kPieceFrom) pieces /= 2;
  auto bound = [&](int64_t p) { return n / pieces * p + std::min(p, n % pieces); };
  parallel_for(pieces, 1, [&](int64_t b, int64_t end) {
    for (int64_t p = b; p < end; ++p) sort_entries(e + bound(p), scratch + bound(p), bound(p + 1) - bound(p));
  });
  for (int64_t width = 1; width < pieces; width *= 2) {
    int64_t pairs = pieces / (2 * width), parts = pieces / pairs;
    parallel_for(pieces, 1, [&](int64_t b, int64_t end) {
      for (int64_t task = b; task < end; ++task) {
        int64_t first = task / parts * 2 * width;
        merge_part(e + bound(first), e + bound(first + width), e + bound(first + 2 * width), scratch + bound(first), task % parts, parts);
      }
    });
    std::swap(e, scratch);
  }
  return e;
}

template <typename T>
void load_entries(const T* x, int64_t n, bool descending, Entry<T>* e) {
  for (int64_t i = 0; i < n; ++i) e[i] = Entry<T>::make(key_of(x[i], descending), i);
}
template <typename T>
void store_entries(const T* x, const Entry<T>* e, int64_t n, T* values, int64_t* indices) {
  for (int64_t i = 0; i < n; ++i) {
    indices[i] = e[i].place();
    values[i] = x[indices[i]];
  }
}

template <typename E> Tensor entries(int64_t n) { return empty({n * static_cast<int64_t>(sizeof(E))}, u8, cpu, "sort"); }
template <typename E> E* entries_of(Tensor& t) { return reinterpret_cast<E*>(t.data<uint8_t>()); }

template <typename T>
void sort_typed(const Tensor& input, bool descending, Tensor& values, Tensor& indices) {
  using E = Entry<T>;
  int64_t rows = input.shape()[0], n = input.shape()[1];
  const T* x = input.data<T>();
  T* v = values.data<T>();
  auto* places = indices.data<int64_t>();
  if (rows < num_threads() && n >= 2 * kPieceFrom) {
    Tensor a = entries<E>(n), b = entries<E>(n);
    for (int64_t r = 0; r < rows; ++r, x += n, v += n, places += n) {
      parallel_for(n, kPointwiseGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) entries_of<E>(a)[i] = E::make(key_of(x[i], descending), i);
      });
      const E* sorted = sort_long(entries_of<E>(a), entries_of<E>(b), n);
      parallel_for(n, kPointwiseGrain,
                   [&](int64_t begin, int64_t end) { store_entries(x, sorted + begin, end - begin, v + begin, places + begin); });
    }
    return;
  }
  parallel_for(rows, std::max<int64_t>(1, 1024 / n), [&](int64_t begin, int64_t end) {
    Tensor a = entries<E>(n), b = entries<E>(n);
    for (int64_t r = begin; r < end; ++r) {
      load_entries(x + r * n, n, descending, entries_of<E>(a));
      sort_entries(entries_of<E>(a), entries_of<E>(b), n);
      store_entries(x + r * n, entries_of<E>(a), n, v + r * n, places + r * n);
    }
  });
}

// The first k entries of a row, in order: candidates better than the k-th best so far are collected and now and then cut back to k.
template <typename T>
void topk_row(const T* x, int64_t n, int64_t k, bool descending, Entry<T>* candidates, int64_t capacity) {
  using E = Entry<T>;
  int64_t held = 0;
  E worst{};
  bool full = false;
  for (int64_t i = 0; i < n; ++i) {
    E e = E::make(key_of(x[i], descending), i);
    if (full && !(e < worst)) continue;
    candidates[held++] = e;
    if (held < capacity) continue;
    std::nth_element(candidates, candidates + k - 1, candidates + held);
    worst = candidates[k - 1];
    held = k;
    full = true;
  }
  if (held > k) std::nth_element(candidates, candidates + k - 1, candidates + held);
  std::sort(candidates, candidates + k);
}

template <typename T>
void topk_typed(const Tensor& input, int64_t k, bool descending, Tensor& values, Tensor& indices) {
  using E = Entry<T>;
  int64_t rows = input.shape()[0], n = input.shape()[1], capacity = std::min(n, std::max<int64_t>(2 * k, 256)) + 1;
  const T* x = input.data<T>();
  T* v = values.data<T>();
  auto* places = indices.data<int64_t>();
  parallel_for(rows, std::max<int64_t>(1, 4096 / n), [&](int64_t begin, int64_t end) {
    Tensor candidates = entries<E>(capacity);
    for (int64_t r = begin; r < end; ++r) {
      topk_row(x + r * n, n, k, descending, entries_of<E>(candidates), capacity);
      store_entries(x + r * n, entries_of<E>(candidates), k, v + r * k, places + r * k);
    }
  });
}

template <typename F>
void visit_sortable(DType t, F&& f) {
  visit_dtype(t, [&]<typename T>() {
    if constexpr (std::is_same_v<T, bool>) unsupported_dtype("sort", t);
    else f.template operator()<T>();
  });
}

void sort(const Tensor& x, bool descending, Tensor& values, Tensor& indices) {
  if (x.numel() > 0) visit_sortable(x.dtype(), [&]<typename T>() { sort_typed<T>(x, descending, values, indices); });
}
void topk(const Tensor& x, int64_t k, bool descending, Tensor& values, Tensor& indices) {
  if (values.numel() > 0) visit_sortable(x.dtype(), [&]<typename T>() { topk_typed<T>(x, k, descending, values, indices); });
}

void searchsorted(const Tensor& sorted, const Tensor& wanted, bool right, Tensor& places) {
  int64_t rows = sorted.shape()[0], n = sorted.shape()[1], per_row = wanted.numel() / std::max<int64_t>(1, rows);
  visit_sortable(sorted.dtype(), [&]<typename T>() {
    const T *s = sorted.data<T>(), *w = wanted.data<T>();
    auto* out = places.data<int64_t>();
    auto less = [](T a, T b) { return key_of(a, false) < key_of(b, false); };
    parallel_for(wanted.numel(), 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* row = s + i / per_row * n;
        out[i] = (right ? std::upper_bound(row, row + n, w[i], less) : std::lower_bound(row, row + n, w[i], less)) - row;
      }
    });
  });
}

}  // namespace

void register_sort() {
  kernel::sort.set(DeviceType::cpu, sort);
  kernel::topk.set(DeviceType::cpu, topk);
  kernel::searchsorted.set(DeviceType::cpu, searchsorted);
}

}  // namespace plumb::cpu_kernels
