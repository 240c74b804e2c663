// Permutations and draws of classes on the CPU.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "engine/core/parallel.h"
#include "ops/cpu/philox_block.h"
#include "ops/random_functions.h"

namespace plumb::cpu_kernels {
namespace {

struct Keyed {
  uint64_t key;
  int64_t index;
  bool operator<(const Keyed& o) const { return key != o.key ? key < o.key : index < o.index; }
};

// Keys are uniform, so their leading bits spread them evenly over buckets of about four, which are then sorted: O(n).
void permutation(RandomPlace place, Tensor& out) {
  int64_t n = out.numel();
  int64_t* p = out.data<int64_t>();
  if (n < 2) return std::iota(p, p + n, 0);
  int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(n))) - 3);
  auto bucket = [bits](uint64_t key) { return static_cast<size_t>(key >> (64 - bits)); };
  std::unique_ptr<Keyed[]> keyed(new Keyed[static_cast<size_t>(n)]), sorted(new Keyed[static_cast<size_t>(n)]);
  parallel_for(n, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      WordPair w = word_pair(place, i);
      keyed[static_cast<size_t>(i)] = {uint64_t{w.high} << 32 | w.low, i};
    }
  });
  std::vector<int64_t> start((size_t{1} << bits) + 1, 0);
  for (int64_t i = 0; i < n; ++i) ++start[bucket(keyed[static_cast<size_t>(i)].key) + 1];
  std::partial_sum(start.begin(), start.end(), start.begin());
  std::vector<int64_t> next(start.begin(), start.end() - 1);
  for (int64_t i = 0; i < n; ++i) {
    const Keyed& k = keyed[static_cast<size_t>(i)];
    sorted[static_cast<size_t>(next[bucket(k.key)]++)] = k;
  }
  parallel_for(int64_t{1} << bits, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t from = start[static_cast<size_t>(b)], to = start[static_cast<size_t>(b) + 1];
      std::sort(&sorted[0] + from, &sorted[0] + to);
      for (int64_t i = from; i < to; ++i) p[i] = sorted[static_cast<size_t>(i)].index;
    }
  });
}

// A row's weights in f64, and whether they are a distribution from which `distinct` classes can be drawn.
template <typename T>
bool row_weights(const T* row, int64_t classes, bool logits, int64_t distinct, double* weights) {
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t c = 0; c < classes; ++c) {
    weights[c] = static_cast<compute_t<T>>(row[c]);
    if (weights[c] != weights[c] || weights[c] == std::numeric_limits<double>::infinity() || (!logits && weights[c] < 0)) return false;
    highest = std::max(highest, weights[c]);
  }
  if (logits && highest == -std::numeric_limits<double>::infinity()) return false;
  int64_t possible = 0;
  for (int64_t c = 0; c < classes; ++c) {
    if (logits) weights[c] = std::exp(weights[c] - highest);
    possible += weights[c] > 0;
  }
  return possible >= distinct;
}

// The first class whose cumulative weight exceeds u · total.
void draw_with_replacement(RandomPlace place, int64_t first, double* weights, int64_t classes, int64_t samples, int64_t* out) {
  std::partial_sum(weights, weights + classes, weights);
  for (int64_t s = 0; s < samples; ++s) {
    WordPair w = word_pair(place, first + s);
    double target = random::unit(w.high, w.low) * weights[classes - 1];
    int64_t c = std::upper_bound(weights, weights + classes, target) - weights;
    if (c == classes) c = std::lower_bound(weights, weights + classes, weights[classes - 1]) - weights;  // rounded up to the total
    out[s] = c;
  }
}

// The classes of the smallest E_c / weight_c.
void draw_distinct(RandomPlace place, int64_t first, const double* weights, int64_t classes, int64_t samples, int64_t* out) {
  std::vector<std::pair<double, int64_t>> race;
  for (int64_t c = 0; c < classes; ++c) {
    WordPair w = word_pair(place, first + c);
    if (weights[c] > 0) race.push_back({random::exponential(w.high, w.low) / weights[c], c});
  }
  std::partial_sort(race.begin(), race.begin() + samples, race.end());
  for (int64_t s = 0; s < samples; ++s) out[s] = race[static_cast<size_t>(s)].second;
}

void categorical(RandomPlace place, const Tensor& weights, bool logits, bool replacement, Tensor& out, int64_t& bad_row) {
  int64_t rows = weights.shape()[0], classes = weights.shape()[1], samples = out.shape()[1];
  std::vector<uint8_t> bad(static_cast<size_t>(rows), 0);
  visit_floating("categorical", weights.dtype(), [&]<typename T>() {
    const T* w = weights.data<T>();
    int64_t* y = out.data<int64_t>();
    parallel_for(rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, classes)), [&](int64_t begin, int64_t end) {
      std::vector<double> row(static_cast<size_t>(classes));
      for (int64_t r = begin; r < end; ++r) {
        bool usable = row_weights(w + r * classes, classes, logits, replacement ? 1 : samples, row.data());
        bad[static_cast<size_t>(r)] = !usable;
        if (!usable) continue;
        if (replacement) draw_with_replacement(place, r * samples, row.data(), classes, samples, y + r * samples);
        else draw_distinct(place, r * classes, row.data(), classes, samples, y + r * samples);
      }
    });
  });
  auto found = std::find(bad.begin(), bad.end(), 1);
  bad_row = found == bad.end() ? -1 : found - bad.begin();
}

}  // namespace

void register_random_choice() {
  kernel::permutation.set(DeviceType::cpu, permutation);
  kernel::categorical.set(DeviceType::cpu, categorical);
}

}  // namespace plumb::cpu_kernels
