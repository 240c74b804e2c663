// CPU kernels of Fourier transforms. Lines are transformed in strips of up to eight: gathered into two buffers (real and imaginary parts
// apart), run through the plan, and put back. A line's arithmetic is the same in any strip, so results do not depend on how work is split.
// Bytes: x read and y written once from memory as long as a strip stays in the cache (about 4,000 complex numbers a line).
#include "ops/cpu/fft/plan.h"

#include <algorithm>

#include "engine/core/parallel.h"
#include "ops/cpu/strided_loop.h"
#include "ops/kernels/fft.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kMostLines = 8;
constexpr int64_t kStripRows = 1 << 15;  // longer lines go alone: their strips would not stay in the cache

// The lines [first, first + width) of [outer, n, inner]: where each begins; its numbers follow `inner` apart.
struct Strip {
  int64_t first, width;
  int64_t start[kMostLines];
  Strip(int64_t first, int64_t width, int64_t n, int64_t inner) : first(first), width(width) {
    for (int64_t c = 0; c < width; ++c) start[c] = (first + c) / inner * n * inner + (first + c) % inner;
  }
};

template <typename T>
struct Buffers {
  std::vector<T> numbers, scratch;
  Lines<T> x;
  Buffers(const FftPlan<T>& plan, int64_t width)
      : numbers(static_cast<size_t>(2 * plan.size() * width)),
        scratch(static_cast<size_t>(plan.scratch(width))),
        x{numbers.data(), numbers.data() + plan.size() * width} {}
};

// Calls strip(first line, width, buffers) for strips that cover all lines.
template <typename T, typename Body>
void for_each_strip(const FftPlan<T>& plan, int64_t lines, Body&& strip) {
  int64_t most = std::clamp<int64_t>(kStripRows / plan.size(), 1, kMostLines), strips = (lines + most - 1) / most;
  int64_t grain = std::max<int64_t>(1, kPointwiseGrain / 8 / (plan.size() * most));
  parallel_for(strips, grain, [&](int64_t begin, int64_t end) {
    Buffers<T> buffers(plan, std::min(most, lines));
    for (int64_t k = begin; k < end; ++k) strip(k * most, std::min(most, lines - k * most), buffers);
  });
}

template <typename T>
void fft_typed(const Tensor& x, bool inverse, T scale, Tensor& y) {
  int64_t n = x.shape()[1], inner = x.shape()[2];
  auto plan = fft_plan<FftPlan<T>>(n);
  const T* from = x.data<T>();
  T* to = y.data<T>();
  for_each_strip(*plan, x.shape()[0] * inner, [&](int64_t first, int64_t width, Buffers<T>& b) {
    Strip s(first, width, n, inner);
    Lines<T> in = inverse ? Lines<T>{b.x.im, b.x.re} : b.x;
    for (int64_t j = 0; j < n; ++j)
      for (int64_t c = 0; c < width; ++c) {
        const T* number = from + 2 * (s.start[c] + j * inner);
        in.re[j * width + c] = number[0];
        in.im[j * width + c] = number[1];
      }
    Lines<T> out = plan->run(b.x, b.scratch.data(), width);
    if (inverse) std::swap(out.re, out.im);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t c = 0; c < width; ++c) {
        T* number = to + 2 * (s.start[c] + j * inner);
        number[0] = scale * out.re[j * width + c];
        number[1] = scale * out.im[j * width + c];
      }
  });
}

void fft(const Tensor& x, bool inverse, double scale, Tensor& y) {
  visit_f32_f64("fft", x.dtype(), [&]<typename T>() { fft_typed<T>(x, inverse, static_cast<T>(scale), y); });
}

// Even n, h = n/2: with z_j = x_(2j) + i x_(2j+1) and Z its transform (Z_h = Z_0), E and O those of the even and the odd places:
//   E_k = (Z_k + conj Z_(h−k)) / 2,   O_k = −i (Z_k − conj Z_(h−k)) / 2,   X_k = E_k + e^(−2πi k/n) O_k
template <typename T>
void untangle(const RealFftPlan<T>& plan, Lines<T> z, const Strip& from, T scale, int64_t inner, T* y, const Strip& to) {
  int64_t h = plan.rows(), width = from.width;
  T half = scale / 2;
  for (int64_t k = 0; k <= h; ++k) {
    const int64_t a = k % h * width, b = (h - k) % h * width;
    T wr = plan.cos(k), wi = plan.sin(k);
    for (int64_t c = 0; c < width; ++c) {
      T er = z.re[a + c] + z.re[b + c], ei = z.im[a + c] - z.im[b + c];
      T pr = z.im[a + c] + z.im[b + c], pi = z.re[b + c] - z.re[a + c];  // −i (Z_k − conj Z_(h−k))
      T* number = y + 2 * (to.start[c] + k * inner);
      number[0] = half * (er + (pr * wr + pi * wi));
      number[1] = half * (ei + (pi * wr - pr * wi));
    }
  }
}

template <typename T>
void rfft_typed(const Tensor& x, T scale, Tensor& y) {
  int64_t n = x.shape()[1], inner = x.shape()[2], kept = y.shape()[1];
  auto plan = fft_plan<RealFftPlan<T>>(n);
  const T* from = x.data<T>();
  T* to = y.data<T>();
  for_each_strip(plan->complex(), x.shape()[0] * inner, [&](int64_t first, int64_t width, Buffers<T>& b) {
    Strip in(first, width, n, inner), out(first, width, kept, inner);
    bool halved = plan->halved();
    for (int64_t j = 0; j < plan->rows(); ++j)
      for (int64_t c = 0; c < width; ++c) {
        const T* number = from + in.start[c] + (halved ? 2 * j : j) * inner;
        b.x.re[j * width + c] = number[0];
        b.x.im[j * width + c] = halved ? number[inner] : T(0);
      }
    Lines<T> z = plan->complex().run(b.x, b.scratch.data(), width);
    if (halved) return untangle(*plan, z, in, scale, inner, to, out);
    for (int64_t k = 0; k < kept; ++k)
      for (int64_t c = 0; c < width; ++c) {
        T* number = to + 2 * (out.start[c] + k * inner);
        number[0] = scale * z.re[k * width + c];
        number[1] = scale * z.im[k * width + c];
      }
  });
}

void rfft(const Tensor& x, double scale, Tensor& y) {
  visit_f32_f64("rfft", x.dtype(), [&]<typename T>() { rfft_typed<T>(x, static_cast<T>(scale), y); });
}

// Coefficient k of a line, 0 ≤ k < n, from those up to n/2; real where it must be.
template <typename T>
struct HalfSpectrum {
  const T* line;
  int64_t n, inner;
  T re(int64_t k) const { return line[2 * std::min(k, n - k) * inner]; }
  T im(int64_t k) const {
    if (k == 0 || 2 * k == n) return 0;
    return k < n - k ? line[2 * k * inner + 1] : -line[2 * (n - k) * inner + 1];
  }
};

// Even n, h = n/2, the other way round:   E_k = X_k + conj X_(h−k),  O_k = e^(2πi k/n) (X_k − conj X_(h−k)),  Z_k = E_k + i O_k
template <typename T>
void tangle(const RealFftPlan<T>& plan, HalfSpectrum<T> x, int64_t column, int64_t width, Lines<T> z) {
  int64_t h = plan.rows();
  for (int64_t k = 0; k < h; ++k) {
    T ar = x.re(k), ai = x.im(k), br = x.re(h - k), bi = x.im(h - k);
    T dr = ar - br, di = ai + bi, wr = plan.cos(k), wi = plan.sin(k);
    T pr = dr * wr - di * wi, pi = dr * wi + di * wr;
    z.re[k * width + column] = ar + br - pi;
    z.im[k * width + column] = ai - bi + pr;
  }
}

template <typename T>
void irfft_typed(const Tensor& x, T scale, Tensor& y) {
  int64_t n = y.shape()[1], inner = y.shape()[2], given = x.shape()[1];
  auto plan = fft_plan<RealFftPlan<T>>(n);
  const T* from = x.data<T>();
  T* to = y.data<T>();
  for_each_strip(plan->complex(), y.shape()[0] * inner, [&](int64_t first, int64_t width, Buffers<T>& b) {
    Strip in(first, width, given, inner), out(first, width, n, inner);
    bool halved = plan->halved();
    Lines<T> swapped{b.x.im, b.x.re};  // an inverse transform
    for (int64_t c = 0; c < width; ++c) {
      HalfSpectrum<T> spectrum{from + 2 * in.start[c], n, inner};
      if (halved) {
        tangle(*plan, spectrum, c, width, swapped);
        continue;
      }
      for (int64_t k = 0; k < n; ++k) {
        swapped.re[k * width + c] = spectrum.re(k);
        swapped.im[k * width + c] = spectrum.im(k);
      }
    }
    Lines<T> z = plan->complex().run(b.x, b.scratch.data(), width);
    for (int64_t j = 0; j < plan->rows(); ++j)
      for (int64_t c = 0; c < width; ++c) {
        T* number = to + out.start[c] + (halved ? 2 * j : j) * inner;
        number[0] = scale * z.im[j * width + c];
        if (halved) number[inner] = scale * z.re[j * width + c];
      }
  });
}

void irfft(const Tensor& x, double scale, Tensor& y) {
  visit_f32_f64("irfft", x.dtype(), [&]<typename T>() { irfft_typed<T>(x, static_cast<T>(scale), y); });
}

}  // namespace

void register_fft() {
  kernel::fft.set(DeviceType::cpu, fft);
  kernel::rfft.set(DeviceType::cpu, rfft);
  kernel::irfft.set(DeviceType::cpu, irfft);
}

}  // namespace plumb::cpu_kernels
