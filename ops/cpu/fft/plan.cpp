// Fast Fourier transforms: passes of radix 2, 3, 4, 5, 7, 11 and 13, and Bluestein's algorithm for what has other factors.
#include "ops/cpu/fft/plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <list>
#include <mutex>
#include <numbers>

namespace plumb::cpu_kernels {
namespace {

// One pass of a transform of length n: m numbers are left to transform in each of s sequences (n = m s), of which this pass takes radix R.
//   y[q + s (R p + k)] = w^(pk) Σ_j x[q + s (p + (m/R) j)] ω^(jk),   w = e^(−2πi/m), ω = e^(−2πi/R),   p < m/R, q < s
// q and the lines side by side make one contiguous run.
struct Pass {
  int64_t parts, run, step;  // m/R; s · width; n/m, the place of w in the table of roots
};

template <typename T>
struct Root {
  T re, im;  // cos, sin of the angle; the root is re − i im
};

template <typename T>
struct Roots {
  const T *cos, *sin;
  Root<T> operator[](int64_t t) const { return {cos[t], sin[t]}; }
};

// y = (a_re + i a_im) · root
template <typename T>
inline void store(T* re, T* im, int64_t q, T a_re, T a_im, Root<T> w) {
  re[q] = a_re * w.re + a_im * w.im;
  im[q] = a_im * w.re - a_re * w.im;
}

template <typename T>
void pass2(Pass f, Roots<T> roots, Lines<T> x, Lines<T> y) {
  for (int64_t p = 0; p < f.parts; ++p) {
    Root<T> w = roots[p * f.step];
    const T *ar = x.re + p * f.run, *ai = x.im + p * f.run, *br = ar + f.parts * f.run, *bi = ai + f.parts * f.run;
    T *__restrict yr = y.re + 2 * p * f.run, *__restrict yi = y.im + 2 * p * f.run;
    T *__restrict zr = yr + f.run, *__restrict zi = yi + f.run;
    for (int64_t q = 0; q < f.run; ++q) {
      T sr = ar[q] + br[q], si = ai[q] + bi[q], dr = ar[q] - br[q], di = ai[q] - bi[q];
      yr[q] = sr;
      yi[q] = si;
      store(zr, zi, q, dr, di, w);
    }
  }
}

template <typename T>
void pass4(Pass f, Roots<T> roots, Lines<T> x, Lines<T> y) {
  const int64_t apart = f.parts * f.run;
  for (int64_t p = 0; p < f.parts; ++p) {
    Root<T> w1 = roots[p * f.step], w2 = roots[2 * p * f.step], w3 = roots[3 * p * f.step];
    const T *xr = x.re + p * f.run, *xi = x.im + p * f.run;
    T* __restrict yr = y.re + 4 * p * f.run, * __restrict yi = y.im + 4 * p * f.run;
    for (int64_t q = 0; q < f.run; ++q) {
      T ar = xr[q], ai = xi[q], br = xr[q + apart], bi = xi[q + apart];
      T cr = xr[q + 2 * apart], ci = xi[q + 2 * apart], dr = xr[q + 3 * apart], di = xi[q + 3 * apart];
      T er = ar + cr, ei = ai + ci, gr = ar - cr, gi = ai - ci, hr = br + dr, hi = bi + di;
      T kr = bi - di, ki = dr - br;  // −i (b − d)
      yr[q] = er + hr;
      yi[q] = ei + hi;
      store(yr + f.run, yi + f.run, q, gr + kr, gi + ki, w1);
      store(yr + 2 * f.run, yi + 2 * f.run, q, er - hr, ei - hi, w2);
      store(yr + 3 * f.run, yi + 3 * f.run, q, gr - kr, gi - ki, w3);
    }
  }
}

// An odd radix. With u_j = a_j + a_(R−j) and v_j = a_j − a_(R−j), j = 1 … (R−1)/2, c = cos and s = sin of 2πjk/R:
//   b_k = a_0 + Σ c u_j − i Σ s v_j,   b_(R−k) = a_0 + Σ c u_j + i Σ s v_j
template <int R, typename T>
void pass_odd(Pass f, Roots<T> roots, int64_t n, Lines<T> x, Lines<T> y) {
  constexpr int H = (R - 1) / 2;
  const int64_t apart = f.parts * f.run;
  T c[H][H], s[H][H];
  for (int k = 0; k < H; ++k)
    for (int j = 0; j < H; ++j) {
      Root<T> w = roots[(j + 1) * (k + 1) % R * (n / R)];
      c[k][j] = w.re;
      s[k][j] = w.im;
    }
  for (int64_t p = 0; p < f.parts; ++p) {
    Root<T> w[R];
    for (int k = 0; k < R; ++k) w[k] = roots[k * p * f.step];
    const T *xr = x.re + p * f.run, *xi = x.im + p * f.run;
    T* __restrict yr = y.re + R * p * f.run, * __restrict yi = y.im + R * p * f.run;
    for (int64_t q = 0; q < f.run; ++q) {
      T ar = xr[q], ai = xi[q], total_r = ar, total_i = ai, ur[H], ui[H], vr[H], vi[H];
      for (int j = 0; j < H; ++j) {
        int64_t low = q + (j + 1) * apart, high = q + (R - 1 - j) * apart;
        ur[j] = xr[low] + xr[high], ui[j] = xi[low] + xi[high];
        vr[j] = xr[low] - xr[high], vi[j] = xi[low] - xi[high];
        total_r += ur[j], total_i += ui[j];
      }
      yr[q] = total_r;
      yi[q] = total_i;
      for (int k = 0; k < H; ++k) {
        T er = ar, ei = ai, gr = 0, gi = 0;
        for (int j = 0; j < H; ++j) {
          er += c[k][j] * ur[j], ei += c[k][j] * ui[j];
          gr += s[k][j] * vr[j], gi += s[k][j] * vi[j];
        }
        store(yr + (k + 1) * f.run, yi + (k + 1) * f.run, q, er + gi, ei - gr, w[k + 1]);
        store(yr + (R - 1 - k) * f.run, yi + (R - 1 - k) * f.run, q, er - gi, ei + gr, w[R - 1 - k]);
      }
    }
  }
}

// The radices whose product is n, fours first; none if a prime factor above 13 is left (and for 1).
std::vector<int> factors_of(int64_t n) {
  std::vector<int> factors;
  for (int r : {4, 2, 3, 5, 7, 11, 13})
    for (; n % r == 0; n /= r) factors.push_back(r);
  return n == 1 ? factors : std::vector<int>();
}

// cos and sin of 2π t / n, from an angle of at most an eighth turn, so that symmetric roots are exactly symmetric.
std::array<double, 2> root(int64_t t, int64_t n) {
  auto quarters = [n](int64_t k) { return std::numbers::pi / 2 * static_cast<double>(k) / static_cast<double>(n); };
  switch (8 * t / n) {
    case 0:
      return {std::cos(quarters(4 * t)), std::sin(quarters(4 * t))};
    case 1:
    case 2:
      return {std::sin(quarters(n - 4 * t)), std::cos(quarters(n - 4 * t))};
    case 3:
    case 4:
      return {-std::cos(quarters(2 * n - 4 * t)), std::sin(quarters(2 * n - 4 * t))};
    case 5:
    case 6:
      return {-std::sin(quarters(3 * n - 4 * t)), -std::cos(quarters(3 * n - 4 * t))};
    default:
      return {std::cos(quarters(4 * n - 4 * t)), -std::sin(quarters(4 * n - 4 * t))};
  }
}

int64_t power_of_two(int64_t at_least) {
  int64_t m = 1;
  while (m < at_least) m *= 2;
  return m;
}

}  // namespace

template <typename T>
FftPlan<T>::FftPlan(int64_t n) : n_(n), factors_(factors_of(n)) {
  if (n > 1 && factors_.empty()) {
    prepare_convolution();
    return;
  }
  for (int64_t t = 0; t < n; ++t) {
    auto [c, s] = root(t, n);
    cos_.push_back(static_cast<T>(c));
    sin_.push_back(static_cast<T>(s));
  }
}

// The chirp's own transform is made in double, once.
template <typename T>
void FftPlan<T>::prepare_convolution() {
  int64_t m = power_of_two(2 * n_ - 1);
  std::vector<double> re(static_cast<size_t>(m)), im(re), scratch;
  for (int64_t j = 0; j < n_; ++j) {
    auto squared = static_cast<int64_t>(static_cast<unsigned __int128>(j) * static_cast<unsigned __int128>(j) %
                                        static_cast<unsigned __int128>(2 * n_));
    auto [c, s] = root(squared, 2 * n_);
    cos_.push_back(static_cast<T>(c));
    sin_.push_back(static_cast<T>(s));
    for (int64_t at : {j, (m - j) % m}) re[static_cast<size_t>(at)] = c, im[static_cast<size_t>(at)] = s;
  }
  FftPlan<double> exact(m);
  scratch.resize(static_cast<size_t>(exact.scratch(1)));
  Lines<double> kernel = exact.run({re.data(), im.data()}, scratch.data(), 1);
  for (int64_t j = 0; j < m; ++j) {
    kernel_re_.push_back(static_cast<T>(kernel.re[j] / static_cast<double>(m)));
    kernel_im_.push_back(static_cast<T>(kernel.im[j] / static_cast<double>(m)));
  }
  convolution_ = std::make_unique<FftPlan>(m);
}

template <typename T>
Lines<T> FftPlan<T>::run(Lines<T> x, T* scratch, int64_t width) const {
  if (convolution_) return convolve(x, scratch, width);
  return run_passes(x, {scratch, scratch + n_ * width}, width);
}

template <typename T>
Lines<T> FftPlan<T>::run_passes(Lines<T> x, Lines<T> other, int64_t width) const {
  Roots<T> roots{cos_.data(), sin_.data()};
  int64_t left = n_, sequences = 1;
  for (int radix : factors_) {
    Pass f{left / radix, sequences * width, n_ / left};
    switch (radix) {
      case 2:
        pass2(f, roots, x, other);
        break;
      case 3:
        pass_odd<3>(f, roots, n_, x, other);
        break;
      case 4:
        pass4(f, roots, x, other);
        break;
      case 5:
        pass_odd<5>(f, roots, n_, x, other);
        break;
      case 7:
        pass_odd<7>(f, roots, n_, x, other);
        break;
      case 11:
        pass_odd<11>(f, roots, n_, x, other);
        break;
      default:
        pass_odd<13>(f, roots, n_, x, other);
        break;
    }
    std::swap(x, other);
    left /= radix;
    sequences *= radix;
  }
  return x;
}

// X_k = c_k Σ_j (x_j c_j) c̄_(k−j), c the chirp.
template <typename T>
Lines<T> FftPlan<T>::convolve(Lines<T> x, T* scratch, int64_t width) const {
  int64_t m = convolution_->size(), run = m * width;
  Lines<T> a{scratch, scratch + run};
  for (int64_t j = 0; j < n_; ++j)
    for (int64_t q = j * width; q < (j + 1) * width; ++q)
      store(a.re, a.im, q, x.re[q], x.im[q], Root<T>{cos_[static_cast<size_t>(j)], sin_[static_cast<size_t>(j)]});
  std::fill(a.re + n_ * width, a.re + run, T(0));
  std::fill(a.im + n_ * width, a.im + run, T(0));
  Lines<T> b = convolution_->run(a, scratch + 2 * run, width);
  for (int64_t j = 0; j < m; ++j) {
    T kr = kernel_re_[static_cast<size_t>(j)], ki = kernel_im_[static_cast<size_t>(j)];
    for (int64_t q = j * width; q < (j + 1) * width; ++q) {
      T re = b.re[q] * kr - b.im[q] * ki, im = b.re[q] * ki + b.im[q] * kr;
      b.re[q] = re;
      b.im[q] = im;
    }
  }
  bool first = b.re == a.re;
  Lines<T> inverse = convolution_->run({b.im, b.re}, first ? scratch + 2 * run : scratch, width);
  for (int64_t j = 0; j < n_; ++j)
    for (int64_t q = j * width; q < (j + 1) * width; ++q)
      store(x.re, x.im, q, inverse.im[q], inverse.re[q], Root<T>{cos_[static_cast<size_t>(j)], sin_[static_cast<size_t>(j)]});
  return x;
}

template <typename T>
RealFftPlan<T>::RealFftPlan(int64_t n) : n_(n), complex_(n % 2 == 0 ? n / 2 : n) {
  if (!halved()) return;
  for (int64_t k = 0; k <= n / 2; ++k) {
    auto [c, s] = root(k, n);
    cos_.push_back(static_cast<T>(c));
    sin_.push_back(static_cast<T>(s));
  }
}

template <typename Plan>
std::shared_ptr<const Plan> fft_plan(int64_t n) {
  constexpr size_t kKept = 16;
  static std::mutex mutex;
  static std::list<std::shared_ptr<const Plan>> plans;  // the last used first
  std::lock_guard lock(mutex);
  auto found = std::find_if(plans.begin(), plans.end(), [n](const auto& plan) { return plan->size() == n; });
  if (found != plans.end()) {
    plans.splice(plans.begin(), plans, found);
  } else {
    plans.push_front(std::make_shared<const Plan>(n));
    if (plans.size() > kKept) plans.pop_back();
  }
  return plans.front();
}

template class FftPlan<float>;
template class FftPlan<double>;
template class RealFftPlan<float>;
template class RealFftPlan<double>;
template std::shared_ptr<const FftPlan<float>> fft_plan(int64_t);
template std::shared_ptr<const FftPlan<double>> fft_plan(int64_t);
template std::shared_ptr<const RealFftPlan<float>> fft_plan(int64_t);
template std::shared_ptr<const RealFftPlan<double>> fft_plan(int64_t);

}  // namespace plumb::cpu_kernels
