// Random draws on the GPU: a thread turns the four words of a Philox counter into four numbers (two of the kinds that take two words each),
// as the CPU does, word for word. Bytes: write once, 16 a thread in f32. Bound: the arithmetic of Philox (about 20 integer instructions a
// word) and of the distribution.
#include <cmath>
#include <limits>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/random_place.h"
#include "engine/core/generator.h"
#include "ops/random_bounds.h"
#include "ops/random_functions.h"

namespace plumb::cuda_backend {
namespace {

// out ← make(words, v) for each counter, v the N numbers that it makes.
template <typename T, int N, typename Make>
__global__ void fill_draws(DevicePlace place, Make make, int64_t n, bool packed, T* out) {
  for (int64_t k = thread_index(); k * N < n; k += grid_threads()) {
    auto words = philox(place.seed, place.first() + static_cast<uint64_t>(k));
    compute_t<T> v[N];
    const uint32_t w[4] = {words[0], words[1], words[2], words[3]};
    make(w, v);
    if (packed && k * N + N <= n) {
      write_pack<N>(out + k * N, v);
    } else {
      for (int j = 0; j < N && k * N + j < n; ++j) out[k * N + j] = static_cast<T>(v[j]);
    }
  }
}

// A number a word: v[j] = number(w[j]).
template <typename Number>
struct ByWords {
  Number number;
  template <typename V>
  __device__ void operator()(const uint32_t (&w)[4], V (&v)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = static_cast<V>(number(w[j]));
  }
};
// A number for two words: v[j] = number(w[2j], w[2j + 1]).
template <typename Number>
struct ByPairs {
  Number number;
  template <typename V>
  __device__ void operator()(const uint32_t (&w)[4], V (&v)[2]) const {
    v[0] = static_cast<V>(number(w[0], w[1]));
    v[1] = static_cast<V>(number(w[2], w[3]));
  }
};

template <typename T, int N, typename Make>
void fill(RandomPlace place, const Make& make, Tensor& out) {
  T* y = out.data<T>();
  int64_t n = out.numel();
  launch(fill_draws<T, N, Make>, grid_for(pieces(n, N)), device_place(place), make, n, aligned16(y), y);
}
template <typename T, typename Number>
void by_words(RandomPlace place, const Number& number, Tensor& out) { fill<T, 4>(place, ByWords<Number>{number}, out); }
template <typename T, typename Number>
void by_pairs(RandomPlace place, const Number& number, Tensor& out) { fill<T, 2>(place, ByPairs<Number>{number}, out); }

struct UniformFloat {
  float start, width, last;
  int bits;
  __device__ float operator()(uint32_t w) const {
    float v = start + random::unit(w, bits) * width;
    return v < last ? v : last;
  }
};
struct UniformDouble {
  double low, width, last;
  __device__ double operator()(uint32_t a, uint32_t b) const {
    double v = low + random::unit(a, b) * width;
    return last < v ? last : v;
  }
};

template <typename T>
void uniform(RandomPlace place, double low, double high, Tensor& out) {
  if constexpr (std::is_same_v<T, double>) {
    double last = std::max(low, std::nextafter(high, -std::numeric_limits<double>::infinity()));
    by_pairs<T>(place, UniformDouble{low, high - low, last}, out);
  } else {
    constexpr int bits = std::is_same_v<T, float> ? 24 : std::is_same_v<T, half> ? 11 : 8;
    auto start = static_cast<float>(low);
    by_words<T>(place, UniformFloat{start, static_cast<float>(high - low), std::max(start, random::largest_below<T>(high)), bits}, out);
  }
}

// Box and Muller: two numbers of two words, or in f64 of four.
template <typename C>
struct Normal {
  C mean, std;
  __device__ void operator()(const uint32_t (&w)[4], float (&v)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
      float a, b;
      random::normal_pair(w[j], w[j + 1], a, b);
      v[j] = mean + std * a;
      v[j + 1] = mean + std * b;
    }
  }
  __device__ void operator()(const uint32_t (&w)[4], double (&v)[2]) const {
    double a, b;
    random::normal_pair(w[0], w[1], w[2], w[3], a, b);
    v[0] = mean + std * a;
    v[1] = mean + std * b;
  }
};

struct ExponentialFloat {
  float scale;
  __device__ float operator()(uint32_t w) const { return random::exponential(w) * scale; }
};
struct ExponentialDouble {
  double rate;
  __device__ double operator()(uint32_t a, uint32_t b) const { return random::exponential(a, b) / rate; }
};
struct Gumbel {
  __device__ float operator()(uint32_t w) const { return -special::log(random::exponential(w)); }
  __device__ double operator()(uint32_t a, uint32_t b) const { return -special::log(random::exponential(a, b)); }
};

void draw(Draw kind, RandomPlace place, double a, double b, Tensor& out) {
  visit_floating("draw", out.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    constexpr bool wide = std::is_same_v<T, double>;
    switch (kind) {
      case Draw::uniform: return uniform<T>(place, a, b, out);
      case Draw::normal: return fill<T, wide ? 2 : 4>(place, Normal<C>{static_cast<C>(a), static_cast<C>(b)}, out);
      case Draw::exponential:
        if constexpr (wide) return by_pairs<T>(place, ExponentialDouble{a}, out);
        else return by_words<T>(place, ExponentialFloat{static_cast<float>(1 / a)}, out);
      case Draw::gumbel:
        if constexpr (wide) return by_pairs<T>(place, Gumbel(), out);
        else return by_words<T>(place, Gumbel(), out);
    }
  });
}

// The tail in which the interval lies is mirrored to the lower side, where Φ keeps its precision.
struct TruncatedNormal {
  double mean, std, from, width, low, high;  ///< std is negative where mirrored
  __device__ double operator()(uint32_t h, uint32_t l) const {
    double z = mean + std * random::normal_quantile(from + random::open_unit(h, l) * width);
    return z < low ? low : z > high ? high : z;
  }
};

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
    by_pairs<T>(place, TruncatedNormal{mean, sign * std, from, width, low, high}, out);
  });
}

struct Bernoulli {
  uint32_t last;
  bool possible;
  __device__ bool operator()(uint32_t w) const { return w <= last && possible; }
};

void bernoulli(RandomPlace place, double rate, Tensor& out) {
  auto threshold = static_cast<uint64_t>(std::llround(rate * 0x1p32));
  Bernoulli below{static_cast<uint32_t>(threshold - 1), threshold > 0};  // word < threshold, in 32 bits; threshold 0 is apart
  visit_dtype(out.dtype(), [&]<typename T>() { by_words<T>(place, below, out); });
}

template <typename T>
__global__ void bernoulli_elements(DevicePlace place, const T* rate, int64_t n, T* out, int* invalid) {
  for (int64_t k = thread_index(); k * 4 < n; k += grid_threads()) {
    auto words = philox(place.seed, place.first() + static_cast<uint64_t>(k));
    for (int j = 0; j < 4 && 4 * k + j < n; ++j) {
      double p = static_cast<double>(load(rate[4 * k + j]));
      if (!(p >= 0 && p <= 1)) *invalid = 1;
      out[4 * k + j] = static_cast<T>(static_cast<compute_t<T>>(static_cast<double>(words[static_cast<size_t>(j)]) < p * 0x1p32));
    }
  }
}

void bernoulli_rates(RandomPlace place, const Tensor& rate, Tensor& out, bool& valid) {
  Scratch<int> invalid(1);
  check(cudaMemsetAsync(invalid.data(), 0, sizeof(int), current_stream()), "bernoulli");
  visit_floating("bernoulli", out.dtype(), [&]<typename T>() {
    launch(bernoulli_elements<T>, grid_for(pieces(out.numel(), 4)), device_place(place), rate.data<T>(), out.numel(), out.data<T>(),
           invalid.data());
  });
  valid = read_back(invalid.data()) == 0;
}

struct Integer {
  int64_t low;
  uint64_t count;
  __device__ int64_t operator()(uint32_t h, uint32_t l) const {
    return static_cast<int64_t>(static_cast<uint64_t>(low) + random::below(count, h, l));
  }
};

void integers(RandomPlace place, int64_t low, uint64_t count, Tensor& out) {
  switch (out.dtype()) {
    case DType::i64: return by_pairs<int64_t>(place, Integer{low, count}, out);
    case DType::i32: return by_pairs<int32_t>(place, Integer{low, count}, out);
    case DType::u8: return by_pairs<uint8_t>(place, Integer{low, count}, out);
    default: unsupported_dtype("randint", out.dtype());
  }
}

}  // namespace

void register_random() {
  kernel::draw.set(DeviceType::cuda, draw);
  kernel::truncated_normal.set(DeviceType::cuda, truncated_normal);
  kernel::bernoulli.set(DeviceType::cuda, bernoulli);
  kernel::bernoulli_rates.set(DeviceType::cuda, bernoulli_rates);
  kernel::integers.set(DeviceType::cuda, integers);
}

}  // namespace plumb::cuda_backend
