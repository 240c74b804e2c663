// Random draws on the CPU: blocks of Philox counters, each block turned into numbers lane by lane, then put in order. Threads take
// whole blocks, and a number depends on its place alone. Bytes: write once. Bound: the arithmetic of Philox and of the distribution.
#include <cmath>
#include <limits>

#include "engine/core/parallel.h"
#include "ops/cpu/philox_block.h"
#include "ops/random_bounds.h"
#include "ops/random_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kGrain = 64 * kWords;

// Calls fill(words, values) for each block of a draw that takes one word a number; values are then stored as T.
template <typename T, typename V, typename Fill>
void by_blocks(RandomPlace place, Tensor& out, Fill&& fill) {
  T* y = out.data<T>();
  parallel_for(out.numel(), kGrain, [&](int64_t begin, int64_t end) {
    WordBlock block;
    alignas(64) V values[kWords];
    for (int64_t i = begin; i < end; i += kWords) {
      philox_block(place.seed, place.offset + static_cast<uint64_t>(i) / 4, block);
      fill(block.words, values);
      int64_t m = std::min(kWords, end - i);
      for (int64_t k = 0; k < m; ++k) y[i + k] = static_cast<T>(values[k]);
    }
  });
}

// values[k] = number(words[k])
template <typename T, typename V = float, typename Number>
void by_words(RandomPlace place, Tensor& out, Number&& number) {
  by_blocks<T, V>(place, out, [&](const uint32_t* words, V* values) {
    for (int64_t k = 0; k < kWords; ++k) values[k] = number(words[k]);
  });
}

// out[i] = number(high, low), two words a number.
template <typename T, typename Number>
void by_pairs(RandomPlace place, Tensor& out, Number&& number) {
  T* y = out.data<T>();
  parallel_for(out.numel(), kGrain / 2, [&](int64_t begin, int64_t end) {
    WordBlock block;
    for (int64_t i = begin; i < end; i += kWords / 2) {
      philox_block(place.seed, place.offset + static_cast<uint64_t>(i) / 2, block);
      int64_t m = std::min(kWords / 2, end - i);
      for (int64_t k = 0; k < m; ++k) y[i + k] = static_cast<T>(number(block.words[2 * k], block.words[2 * k + 1]));
    }
  });
}

template <typename T>
void uniform(RandomPlace place, double low, double high, Tensor& out) {
  if constexpr (std::is_same_v<T, double>) {
    double last = std::max(low, std::nextafter(high, -std::numeric_limits<double>::infinity()));
    by_pairs<T>(place, out, [=](uint32_t a, uint32_t b) { return std::min(last, low + random::unit(a, b) * (high - low)); });
  } else {
    constexpr int bits = std::is_same_v<T, float> ? 24 : std::is_same_v<T, half> ? 11 : 8;
    auto start = static_cast<float>(low), width = static_cast<float>(high - low), last = std::max(start, random::largest_below<T>(high));
    by_words<T>(place, out, [=](uint32_t w) {
      float v = start + random::unit(w, bits) * width;
      return v < last ? v : last;
    });
  }
}

template <typename T>
void normal(RandomPlace place, double mean, double std, Tensor& out) {
  if constexpr (std::is_same_v<T, double>) {
    int64_t n = out.numel();
    double* p = out.data<double>();
    parallel_for((n + 1) / 2, kGrain / 2, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        auto w = philox(place.seed, place.offset + static_cast<uint64_t>(c));
        double a, b;
        random::normal_pair(w[0], w[1], w[2], w[3], a, b);
        p[2 * c] = mean + std * a;
        if (2 * c + 1 < n) p[2 * c + 1] = mean + std * b;
      }
    });
  } else {
    auto m = static_cast<float>(mean), s = static_cast<float>(std);
    by_blocks<T, float>(place, out, [=](const uint32_t* words, float* values) {
      for (int64_t k = 0; k < kWords; k += 2) {
        float a, b;
        random::normal_pair(words[k], words[k + 1], a, b);
        values[k] = m + s * a;
        values[k + 1] = m + s * b;
      }
    });
  }
}

template <typename T>
void exponential(RandomPlace place, double rate, Tensor& out) {
  if constexpr (std::is_same_v<T, double>)
    by_pairs<T>(place, out, [=](uint32_t a, uint32_t b) { return random::exponential(a, b) / rate; });
  else
    by_words<T>(place, out, [scale = static_cast<float>(1 / rate)](uint32_t w) { return random::exponential(w) * scale; });
}

template <typename T>
void gumbel(RandomPlace place, Tensor& out) {
  if constexpr (std::is_same_v<T, double>)
    by_pairs<T>(place, out, [](uint32_t a, uint32_t b) { return -std::log(random::exponential(a, b)); });
  else
    by_words<T>(place, out, [](uint32_t w) { return -special::log(random::exponential(w)); });
}

void draw(Draw kind, RandomPlace place, double a, double b, Tensor& out) {
  visit_floating("draw", out.dtype(), [&]<typename T>() {
    switch (kind) {
      case Draw::uniform: return uniform<T>(place, a, b, out);
      case Draw::normal: return normal<T>(place, a, b, out);
      case Draw::exponential: return exponential<T>(place, a, out);
      case Draw::gumbel: return gumbel<T>(place, out);
    }
  });
}

// The tail in which the interval lies is mirrored to the lower side, where Φ keeps its precision.
void truncated_normal(RandomPlace place, double mean, double std, double low, double high, Tensor& out) {
  double a = (low - mean) / std, b = (high - mean) / std, sign = 1;
  if (a > 0) {
    sign = -1;
    std::swap(a, b);
    a = -a;
    b = -b;
  }
  auto cdf = [](double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); };
  double from = cdf(a), width = cdf(b) - from;
  visit_floating("truncated_normal", out.dtype(), [&]<typename T>() {
    by_pairs<T>(place, out, [&](uint32_t h, uint32_t l) {
      double z = random::normal_quantile(from + random::open_unit(h, l) * width);
      return static_cast<compute_t<T>>(std::clamp(mean + sign * std * z, low, high));
    });
  });
}

void bernoulli(RandomPlace place, double rate, Tensor& out) {
  auto threshold = static_cast<uint64_t>(std::llround(rate * 0x1p32));
  auto last = static_cast<uint32_t>(threshold - 1);  // word < threshold, in 32 bits; threshold 0 is apart
  bool possible = threshold > 0;
  visit_dtype(out.dtype(), [&]<typename T>() {
    by_words<T, compute_t<T>>(place, out, [=](uint32_t w) { return static_cast<compute_t<T>>(w <= last && possible); });
  });
}

void bernoulli_rates(RandomPlace place, const Tensor& rate, Tensor& out, bool& valid) {
  int64_t n = out.numel();
  visit_floating("bernoulli", out.dtype(), [&]<typename T>() {
    const T* p = rate.data<T>();
    T* y = out.data<T>();
    valid = std::all_of(p, p + n, [](T v) { return static_cast<compute_t<T>>(v) >= 0 && static_cast<compute_t<T>>(v) <= 1; });
    if (!valid) return;
    parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
      WordBlock block;
      for (int64_t i = begin; i < end; i += kWords) {
        philox_block(place.seed, place.offset + static_cast<uint64_t>(i) / 4, block);
        for (int64_t k = 0; k < std::min(kWords, end - i); ++k) {
          double word = block.words[k], limit = static_cast<double>(static_cast<compute_t<T>>(p[i + k])) * 0x1p32;
          y[i + k] = static_cast<T>(static_cast<compute_t<T>>(word < limit));
        }
      }
    });
  });
}

void integers(RandomPlace place, int64_t low, uint64_t count, Tensor& out) {
  auto number = [=](uint32_t h, uint32_t l) { return static_cast<int64_t>(static_cast<uint64_t>(low) + random::below(count, h, l)); };
  switch (out.dtype()) {
    case DType::i64: return by_pairs<int64_t>(place, out, number);
    case DType::i32: return by_pairs<int32_t>(place, out, number);
    case DType::u8: return by_pairs<uint8_t>(place, out, number);
    default: unsupported_dtype("randint", out.dtype());
  }
}

}  // namespace

void register_random() {
  kernel::draw.set(DeviceType::cpu, draw);
  kernel::truncated_normal.set(DeviceType::cpu, truncated_normal);
  kernel::bernoulli.set(DeviceType::cpu, bernoulli);
  kernel::bernoulli_rates.set(DeviceType::cpu, bernoulli_rates);
  kernel::integers.set(DeviceType::cpu, integers);
}

}  // namespace plumb::cpu_kernels
