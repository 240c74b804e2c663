// Batch norm on the GPU: x [n, C, s]. Sums of a channel are one reduction (reduce_engine.h), kept in f64 relative to the channel's first
// element so that one sweep gives mean and variance; the rest is element by element. With channels last, [n, s, C], sums and elements go in
// strips of channels (channel_strips.h).
// Bytes: moments read x once; the norm reads x and writes y; backward reads dy and x twice, for the sums and for dx, and writes dx.
// Bound: memory (on an H100 a product in f64 costs two in f32).
#include <cmath>

#include "cuda/kernels/channel_strips.h"
#include "cuda/kernels/reduce_engine.h"
#include "engine/core/tensor.h"
#include "ops/kernels/norm.h"
#include "ops/norm_functions.h"

namespace plumb::cuda_backend {
namespace {

struct TwoSums {
  double a, b;
};

// The channels of x [n, C, s] and what is summed for each; `shift` counts channels.
struct ChannelAxes {
  ReduceAxes channels, elements;
  explicit ChannelAxes(const Tensor& x) {
    int64_t n = x.shape()[0], count = x.shape()[1], space = x.shape()[2];
    channels.add({count, space, 1, 1});
    elements.add({n, count * space, 0, 0});
    elements.add({space, 1, 0, 0});
  }
};

// What both sums of a channel have in common.
template <typename S>
struct ChannelSum {
  using Value = TwoSums;
  static constexpr int kPack = 1;
  __device__ Value start() const { return {0, 0}; }
  __device__ Value join(const Value& x, const Value& y) const { return {x.a + y.a, x.b + y.b}; }
};

// Where the moments of a channel go.
template <typename C>
struct MomentsOut {
  C *mean, *variance, *rstd;
  double eps;
  MomentsOut(Tensor& mean, Tensor& variance, Tensor& rstd, double eps)
      : mean(mean.data<C>()), variance(variance.data<C>()), rstd(rstd.data<C>()), eps(eps) {}
  __device__ void store(int64_t channel, double m, double v) const {
    mean[channel] = static_cast<C>(m);
    variance[channel] = static_cast<C>(v);
    rstd[channel] = C(1) / std::sqrt(static_cast<C>(v) + static_cast<C>(eps));
  }
};

template <typename S>
struct Moments : ChannelSum<S> {
  using C = compute_t<S>;
  const S* x;
  int64_t space;
  double count;
  MomentsOut<C> out;
  Moments(const S* x, int64_t space, double count, const MomentsOut<C>& out) : x(x), space(space), count(count), out(out) {}

  __device__ double pivot(int64_t channel) const { return static_cast<double>(load(x[channel * space])); }
  __device__ TwoSums element(int64_t at, int64_t channel, int64_t) const {
    double d = static_cast<double>(load(x[at])) - pivot(channel);
    return {d, d * d};
  }
  __device__ void store(int64_t channel, const TwoSums& v) const {
    if (count == 0) return out.store(channel, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN());
    double d = v.a / count;
    out.store(channel, pivot(channel) + d, v.b / count - d * d);
  }
};

// Σ dy and Σ dy (x − m); from them the gradients of weight and bias, and what dx takes off (below).
template <typename S>
struct GradientSums : ChannelSum<S> {
  using C = compute_t<S>;
  const S *dy, *x;
  const C *m, *s, *w;
  double count;  ///< infinite where the moments are constants
  C *dweight, *dbias, *slope, *shift;
  GradientSums(const S* dy, const S* x, const C* m, const C* s, const C* w, double count, C* dweight, C* dbias, C* slope, C* shift)
      : dy(dy), x(x), m(m), s(s), w(w), count(count), dweight(dweight), dbias(dbias), slope(slope), shift(shift) {}

  __device__ TwoSums element(int64_t at, int64_t channel, int64_t) const {
    C g = load(dy[at]);
    return {static_cast<double>(g), static_cast<double>(g * (load(x[at]) - m[channel]))};
  }
  __device__ void store(int64_t c, const TwoSums& v) const {
    if (dweight) dweight[c] = static_cast<C>(v.b * static_cast<double>(s[c]));
    if (dbias) dbias[c] = static_cast<C>(v.a);
    C scale = w ? s[c] * w[c] : s[c];
    slope[c] = static_cast<C>(v.b / count) * s[c] * s[c] * scale;
    shift[c] = static_cast<C>(v.a / count) * scale;
  }
};

// The channel of element i of [n, C, s].
__device__ inline int64_t channel_of(int64_t i, int64_t channels, int64_t space) {
  if ((i | space) >= int64_t{1} << 31) return i / space % channels;
  return static_cast<uint32_t>(i) / static_cast<uint32_t>(space) % static_cast<uint32_t>(channels);
}

template <typename C>
struct ChannelParameters {
  const C *mean, *rstd, *weight, *bias, *slope, *shift;
};

// N neighbours at a time: of one channel where `space` is a multiple of N.
template <typename S, int N>
__global__ void channel_norm_elements(const S* x, int64_t packs, int64_t channels, int64_t space, ChannelParameters<compute_t<S>> p, S* y) {
  using C = compute_t<S>;
  for (int64_t k = thread_index(); k < packs; k += grid_threads()) {
    int64_t c = channel_of(k * N, channels, space);
    C m = p.mean[c], scale = p.weight ? p.rstd[c] * p.weight[c] : p.rstd[c], shift = p.bias ? p.bias[c] : C(0), v[N];
    read_pack<N>(x + k * N, v);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] = (v[j] - m) * scale + shift;
    write_pack<N>(y + k * N, v);
  }
}

// a = rstd · weight:  dx = a (dy − mean(dy) − (x − m) rstd² mean(dy (x − m))); with constant moments dx = a dy.
template <typename S, int N>
__global__ void channel_norm_dx(const S* dy, const S* x, int64_t packs, int64_t channels, int64_t space, ChannelParameters<compute_t<S>> p,
                                S* dx) {
  using C = compute_t<S>;
  for (int64_t k = thread_index(); k < packs; k += grid_threads()) {
    int64_t c = channel_of(k * N, channels, space);
    C m = p.mean[c], a = p.weight ? p.rstd[c] * p.weight[c] : p.rstd[c], slope = p.slope ? p.slope[c] : C(0),
      shift = p.shift ? p.shift[c] : C(0), g[N], v[N];
    read_pack<N>(dy + k * N, g);
    read_pack<N>(x + k * N, v);
#pragma unroll
    for (int j = 0; j < N; ++j) g[j] = g[j] * a - (v[j] - m) * slope - shift;
    write_pack<N>(dx + k * N, g);
  }
}

// -- channels last ----------------------------------------------------------------------------------------------------------------------

// Σ (x − pivot) and Σ (x − pivot)², the pivot being the channel's first element; from them mean and variance.
template <typename S>
struct LastMoments {
  using Real = StripReal<S>;
  using C = compute_t<S>;
  const S* x;
  double count;
  MomentsOut<C> out;

  template <int N>
  __device__ Kept<Real, N> channels(int64_t, int64_t channel) const {
    Kept<Real, N> pivot;
    read_pack<N>(x + channel, pivot.v);
    return pivot;
  }
  template <int N>
  __device__ void add(int64_t at, const Kept<Real, N>& pivot, Real (&a)[N], Real (&b)[N]) const {
    Real v[N];
    read_pack<N>(x + at, v);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const Real d = v[j] - pivot.v[j];
      a[j] += d;
      b[j] += d * d;
    }
  }
  __device__ void store(int64_t channel, const ChannelSums<double>& v) const {
    const double d = v.a / count, square = v.b / count - d * d;
    out.store(channel, static_cast<double>(load(x[channel])) + d, square < 0 ? 0 : square);
  }
};

// Σ dy and Σ dy (x − m), and what GradientSums makes of them.
template <typename S>
struct LastGradientSums {
  using Real = StripReal<S>;
  using C = compute_t<S>;
  GradientSums<S> sums;

  template <int N>
  __device__ Kept<Real, N> channels(int64_t, int64_t channel) const {
    Kept<Real, N> m;
#pragma unroll
    for (int j = 0; j < N; ++j) m.v[j] = static_cast<Real>(sums.m[channel + j]);
    return m;
  }
  template <int N>
  __device__ void add(int64_t at, const Kept<Real, N>& m, Real (&a)[N], Real (&b)[N]) const {
    Real g[N], v[N];
    read_pack<N>(sums.dy + at, g);
    read_pack<N>(sums.x + at, v);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      a[j] += g[j];
      b[j] += g[j] * (v[j] - m.v[j]);
    }
  }
  __device__ void store(int64_t channel, const ChannelSums<double>& v) const { sums.store(channel, {v.a, v.b}); }
};

// (x − m) scale + shift, by element; scale and shift as channel_norm_elements.
template <typename S>
struct LastNorm {
  using C = compute_t<S>;
  const S* x;
  ChannelParameters<C> p;
  S* y;

  template <int N>
  struct Channels {
    C m[N], scale[N], shift[N];
  };
  template <int N>
  __device__ Channels<N> channels(int64_t, int64_t channel) const {
    Channels<N> k;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int64_t c = channel + j;
      k.m[j] = p.mean[c];
      k.scale[j] = p.weight ? p.rstd[c] * p.weight[c] : p.rstd[c];
      k.shift[j] = p.bias ? p.bias[c] : C(0);
    }
    return k;
  }
  template <int N>
  __device__ Kept<C, N> load(int64_t at) const {
    Kept<C, N> v;
    read_pack<N>(x + at, v.v);
    return v;
  }
  template <int N>
  __device__ void write(int64_t at, const Channels<N>& k, Kept<C, N> v) const {
#pragma unroll
    for (int j = 0; j < N; ++j) v.v[j] = (v.v[j] - k.m[j]) * k.scale[j] + k.shift[j];
    write_pack<N>(y + at, v.v);
  }
};

// dx, as channel_norm_dx.
template <typename S>
struct LastDx {
  using C = compute_t<S>;
  const S *dy, *x;
  ChannelParameters<C> p;
  S* dx;

  template <int N>
  struct Channels {
    C m[N], a[N], slope[N], shift[N];
  };
  template <int N>
  __device__ Channels<N> channels(int64_t, int64_t channel) const {
    Channels<N> k;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int64_t c = channel + j;
      k.m[j] = p.mean[c];
      k.a[j] = p.weight ? p.rstd[c] * p.weight[c] : p.rstd[c];
      k.slope[j] = p.slope ? p.slope[c] : C(0);
      k.shift[j] = p.shift ? p.shift[c] : C(0);
    }
    return k;
  }
  template <int N>
  __device__ KeptPair<C, N> load(int64_t at) const { return read_pair<N>(dy, x, at); }
  template <int N>
  __device__ void write(int64_t at, const Channels<N>& k, KeptPair<C, N> o) const {
#pragma unroll
    for (int j = 0; j < N; ++j) o.d[j] = o.d[j] * k.a[j] - (o.v[j] - k.m[j]) * k.slope[j] - k.shift[j];
    write_pack<N>(dx + at, o.d);
  }
};

// The cut of x [n, C, s], all of whose places are one plane.
template <typename S>
ChannelStrips strips_of(const Tensor& x, bool packed) {
  return {1, x.shape()[0] * x.shape()[2], x.shape()[1], packed ? kPerAccess<S> : 1};
}

// Both sums of every channel, and op.store() of them.
template <typename S, typename Op>
void sum_channels(const Op& op, const Tensor& x, bool packed) {
  const ChannelStrips s = strips_of<S>(x, packed);
  Scratch<ChannelSums<typename Op::Real>> partial(s.splits * s.channels);
  launch_strip_sums<S>(op, s, packed, partial.data());
  launch_strip_totals(op, partial.data(), s.splits, s.channels);
}

// -- either order -----------------------------------------------------------------------------------------------------------------------

bool channels_last(const Tensor& x) { return !x.is_contiguous(); }

void channel_moments(const Tensor& x, double eps, Tensor& mean, Tensor& variance, Tensor& rstd) {
  visit_floating("batch_norm", x.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    if (channels_last(x)) {
      const S* from = x.data<S>();
      return sum_channels<S>(LastMoments<S>{from, static_cast<double>(x.shape()[0] * x.shape()[2]), {mean, variance, rstd, eps}}, x,
                             strips_packed<S>(x.shape()[1], from));
    }
    ChannelAxes axes(x);
    double count = static_cast<double>(x.shape()[0] * x.shape()[2]);
    reduce_axes(Moments<S>(x.data<S>(), x.shape()[2], count, MomentsOut<C>(mean, variance, rstd, eps)), axes.channels, axes.elements);
  });
}

void channel_norm(const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias, Tensor& y) {
  visit_floating("batch_norm", x.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    constexpr int N = kPerAccess<S>;
    ChannelParameters<C> p{mean.data<C>(), rstd.data<C>(), data_or_null<C>(weight), data_or_null<C>(bias), nullptr, nullptr};
    const S* from = x.data<S>();
    S* to = y.data<S>();
    if (channels_last(x)) {
      bool in_packs = strips_packed<S>(x.shape()[1], from, to);
      return launch_strip_map<S>(LastNorm<S>{from, p, to}, strips_of<S>(x, in_packs), in_packs);
    }
    int64_t count = x.numel(), channels = x.shape()[1], space = x.shape()[2];
    bool packed = space % N == 0 && aligned16(from) && aligned16(to);
    int64_t packs = packed ? count / N : count;
    launch(packed ? channel_norm_elements<S, N> : channel_norm_elements<S, 1>, grid_for(packs), from, packs, channels, space, p, to);
  });
}

void channel_norm_backward(const Tensor& gradient, const Tensor& input, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
                           bool moments, Tensor& dinput, Tensor& dweight, Tensor& dbias) {
  visit_floating("batch_norm", input.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    constexpr int N = kPerAccess<S>;
    const S *dy = gradient.data<S>(), *x = input.data<S>();
    int64_t count = input.numel(), channels = input.shape()[1], space = input.shape()[2];
    ChannelParameters<C> p{mean.data<C>(), rstd.data<C>(), data_or_null<C>(weight), nullptr, nullptr, nullptr};
    Scratch<C> taken(2 * channels);
    S* dx = data_or_null<S>(dinput);
    bool last = channels_last(input), in_packs = last && strips_packed<S>(channels, dy, x, dx);
    if ((moments && dinput.defined()) || dweight.defined() || dbias.defined()) {
      ChannelAxes axes(input);
      double elements = moments ? static_cast<double>(input.shape()[0] * space) : INFINITY;
      GradientSums<S> sums(dy, x, p.mean, p.rstd, p.weight, elements, data_or_null<C>(dweight), data_or_null<C>(dbias), taken.data(),
                           taken.data() + channels);
      last ? sum_channels<S>(LastGradientSums<S>{sums}, input, in_packs) : reduce_axes(sums, axes.channels, axes.elements);
    }
    if (!dinput.defined()) return;
    if (moments) {
      p.slope = taken.data();
      p.shift = taken.data() + channels;
    }
    if (last) return launch_strip_map<S>(LastDx<S>{dy, x, p, dx}, strips_of<S>(input, in_packs), in_packs);
    bool packed = space % N == 0 && aligned16(dy) && aligned16(x) && aligned16(dx);
    int64_t packs = packed ? count / N : count;
    launch(packed ? channel_norm_dx<S, N> : channel_norm_dx<S, 1>, grid_for(packs), dy, x, packs, channels, space, p, dx);
  });
}

template <typename T, typename B>
__global__ void move_running(const B* batch_mean, const B* batch_variance, double correction, double momentum, int64_t channels, T* mean,
                             T* variance, int64_t* batches) {
  using C = compute_t<T>;
  for (int64_t c = thread_index(); c < channels; c += grid_threads()) {
    mean[c] = function::moved_towards(mean[c], batch_mean[c], C(1), static_cast<C>(momentum));
    variance[c] = function::moved_towards(variance[c], batch_variance[c], static_cast<C>(correction), static_cast<C>(momentum));
    if (c == 0 && batches) ++*batches;
  }
}

void running_statistics(const Tensor& batch_mean, const Tensor& batch_variance, double correction, double momentum, Tensor& mean,
                        Tensor& variance, Tensor& batches) {
  visit_floating("batch_norm", mean.dtype(), [&]<typename T>() {
    visit_f32_f64("batch_norm", batch_mean.dtype(), [&]<typename B>() {
      int64_t channels = mean.numel();
      launch(move_running<T, B>, grid_for(channels), batch_mean.data<B>(), batch_variance.data<B>(), correction, momentum, channels,
             mean.data<T>(), variance.data<T>(), data_or_null<int64_t>(batches));
    });
  });
}

}  // namespace

void register_batch_norm() {
  kernel::channel_moments.set(DeviceType::cuda, channel_moments);
  kernel::running_statistics.set(DeviceType::cuda, running_statistics);
  kernel::channel_norm.set(DeviceType::cuda, channel_norm);
  kernel::channel_norm_backward.set(DeviceType::cuda, channel_norm_backward);
}

}  // namespace plumb::cuda_backend
