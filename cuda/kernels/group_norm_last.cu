// Group norm of images with channels last: sums of each channel of each example in strips of channels (channel_strips.h), joined to those
// of the groups by a warp each, then element by element. An activation after the norm is applied on the way out, and backward to dy on the
// way in, from the norm's result rounded as if it had been stored. Bytes: forward reads x twice (what L2 holds comes from there) and writes
// y; backward reads dy and x twice and writes dx. Bound: memory.
#include "cuda/kernels/group_norm_last.h"

#include <cmath>

#include "cuda/kernels/channel_strips.h"
#include "cuda/kernels/narrow_functions.h"
#include "cuda/runtime/warp.h"
#include "ops/kernels/norm.h"
#include "ops/pointwise_functions.h"

namespace plumb::cuda_backend {
namespace {

// Channel c of example n belongs to group number n · groups + c / width.
struct Groups {
  int64_t groups, width;
  __device__ int64_t of(int64_t example, int64_t channel) const {
    return example * groups + static_cast<uint32_t>(channel) / static_cast<uint32_t>(width);
  }
};

// Σ (x − pivot) and Σ (x − pivot)² of each channel, the pivot being the group's first element.
template <typename S>
struct Moments {
  using Real = StripReal<S>;
  const S* x;
  Groups g;
  int64_t example_size;

  __device__ Real pivot(int64_t example, int64_t channel) const {
    return static_cast<Real>(load(x[example * example_size + channel / g.width * g.width]));
  }
  template <int N>
  __device__ Kept<Real, N> channels(int64_t example, int64_t channel) const {
    Kept<Real, N> kept;
#pragma unroll
    for (int j = 0; j < N; ++j) kept.v[j] = pivot(example, channel + j);
    return kept;
  }
  template <int N>
  __device__ void add(int64_t at, const Kept<Real, N>& kept, Real (&a)[N], Real (&b)[N]) const {
    Real v[N];
    read_pack<N>(x + at, v);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const Real d = v[j] - kept.v[j];
      a[j] += d;
      b[j] += d * d;
    }
  }
};

// A warp a group: mean and rstd from partial [examples, splits, channels].
template <typename S>
__global__ void group_moments(Moments<S> op, const ChannelSums<StripReal<S>>* partial, int64_t rows, int64_t splits, double count,
                              double eps, compute_t<S>* means, compute_t<S>* rstds) {
  using C = compute_t<S>;
  const int64_t row = thread_index() / kWarp, example = row / op.g.groups, first = row % op.g.groups * op.g.width,
                channels = op.g.groups * op.g.width;
  if (row >= rows) return;
  double a = 0, b = 0;
  for (int64_t k = lane_index(); k < splits * op.g.width; k += kWarp) {
    const auto p = partial[(example * splits + k / op.g.width) * channels + first + k % op.g.width];
    a += static_cast<double>(p.a);
    b += static_cast<double>(p.b);
  }
  const double d = warp_sum(a) / count, square = warp_sum(b) / count - d * d;
  if (lane_index() != 0) return;
  means[row] = static_cast<C>(static_cast<double>(op.pivot(example, first)) + d);
  rstds[row] = static_cast<C>(1 / std::sqrt((square < 0 ? 0 : square) + eps));
}

// What follows the norm, and the gradient of the norm's result v.
struct Nothing {
  template <typename S> static __device__ compute_t<S> value(compute_t<S> v) { return v; }
  template <typename S> static __device__ compute_t<S> derivative(compute_t<S>, compute_t<S> dy) { return dy; }
};
struct Silu {
  template <typename S>
  static __device__ compute_t<S> value(compute_t<S> v) {
    return FunctionFor<function::Silu, S>::apply(v, compute_t<S>(0), compute_t<S>(0));
  }
  template <typename S>
  static __device__ compute_t<S> derivative(compute_t<S> v, compute_t<S> dy) {
    return FunctionFor<function::SiluBackward, S>::apply(v, dy);
  }
};

// The norm of N channels of an example: (x − mean) scale + shift.
template <typename C, int N>
struct Affine {
  C mean[N], scale[N], shift[N];
  template <typename S>
  __device__ C rounded(C x, int j) const { return load(static_cast<S>((x - mean[j]) * scale[j] + shift[j])); }
};
template <typename C>
struct Parameters {
  Groups g;
  const C *means, *rstds, *weight, *bias;

  template <int N>
  __device__ Affine<C, N> of(int64_t example, int64_t channel) const {
    Affine<C, N> k;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int64_t c = channel + j, row = g.of(example, c);
      k.mean[j] = means[row];
      k.scale[j] = weight ? rstds[row] * weight[c] : rstds[row];
      k.shift[j] = bias ? bias[c] : C(0);
    }
    return k;
  }
};

template <typename S, typename Activation>
struct Norm {
  using C = compute_t<S>;
  const S* x;
  Parameters<C> p;
  S* y;

  template <int N>
  __device__ Affine<C, N> channels(int64_t example, int64_t channel) const { return p.template of<N>(example, channel); }
  template <int N>
  __device__ Kept<C, N> load(int64_t at) const {
    Kept<C, N> v;
    read_pack<N>(x + at, v.v);
    return v;
  }
  template <int N>
  __device__ void write(int64_t at, const Affine<C, N>& k, Kept<C, N> v) const {
#pragma unroll
    for (int j = 0; j < N; ++j) v.v[j] = Activation::template value<S>(k.template rounded<S>(v.v[j], j));
    write_pack<N>(y + at, v.v);
  }
};

// Σ d and Σ d (x − mean) of each channel, d being the gradient of the norm's result.
template <typename S, typename Activation>
struct GradientSums {
  using Real = StripReal<S>;
  using C = compute_t<S>;
  const S *dy, *x;
  Parameters<C> p;

  template <int N>
  __device__ Affine<C, N> channels(int64_t example, int64_t channel) const { return p.template of<N>(example, channel); }
  template <int N>
  __device__ void add(int64_t at, const Affine<C, N>& k, Real (&a)[N], Real (&b)[N]) const {
    C d[N], v[N];
    read_pack<N>(dy + at, d);
    read_pack<N>(x + at, v);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      d[j] = Activation::template derivative<S>(k.template rounded<S>(v[j], j), d[j]);
      a[j] += static_cast<Real>(d[j]);
      b[j] += static_cast<Real>(d[j]) * (static_cast<Real>(v[j]) - static_cast<Real>(k.mean[j]));
    }
  }
};

// What dx takes off every element of a group: shift, and slope for each step from the mean.
template <typename C>
struct Taken {
  C shift, slope;
};

// A warp a group. x̂ = (x − mean) rstd:  sums [examples, channels] ← Σ dy and Σ dy x̂ of each channel; taken ← what follows for the group.
template <typename S>
__global__ void group_gradients(Groups g, const ChannelSums<StripReal<S>>* partial, int64_t rows, int64_t splits, double count,
                                const compute_t<S>* rstds, const compute_t<S>* weight, ChannelSums<compute_t<S>>* sums,
                                Taken<compute_t<S>>* taken) {
  using C = compute_t<S>;
  const int64_t row = thread_index() / kWarp, example = row / g.groups, first = row % g.groups * g.width, channels = g.groups * g.width;
  if (row >= rows) return;
  const double rstd = static_cast<double>(rstds[row]);
  double total = 0, total_x = 0;
  for (int64_t c = first + lane_index(); c < first + g.width; c += kWarp) {
    double a = 0, b = 0;
    for (int64_t k = 0; k < splits; ++k) {
      const auto p = partial[(example * splits + k) * channels + c];
      a += static_cast<double>(p.a);
      b += static_cast<double>(p.b);
    }
    b *= rstd;
    sums[example * channels + c] = {static_cast<C>(a), static_cast<C>(b)};
    const double w = weight ? static_cast<double>(weight[c]) : 1;
    total += w * a;
    total_x += w * b;
  }
  total = warp_sum(total) / count;
  total_x = warp_sum(total_x) / count;
  if (lane_index() == 0) taken[row] = {static_cast<C>(rstd * total), static_cast<C>(rstd * rstd * total_x)};
}

// dx = scale d − shift − (x − mean) slope
template <typename S, typename Activation>
struct Dx {
  using C = compute_t<S>;
  const S *dy, *x;
  Parameters<C> p;
  const Taken<C>* taken;
  S* dx;

  template <int N>
  struct Channels {
    Affine<C, N> norm;
    Taken<C> taken[N];
  };
  template <int N>
  __device__ Channels<N> channels(int64_t example, int64_t channel) const {
    Channels<N> k{p.template of<N>(example, channel), {}};
#pragma unroll
    for (int j = 0; j < N; ++j) k.taken[j] = taken[p.g.of(example, channel + j)];
    return k;
  }
  template <int N>
  __device__ KeptPair<C, N> load(int64_t at) const { return read_pair<N>(dy, x, at); }
  template <int N>
  __device__ void write(int64_t at, const Channels<N>& k, KeptPair<C, N> o) const {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const C d = Activation::template derivative<S>(k.norm.template rounded<S>(o.v[j], j), o.d[j]);
      o.d[j] = d * k.norm.scale[j] - k.taken[j].shift - (o.v[j] - k.norm.mean[j]) * k.taken[j].slope;
    }
    write_pack<N>(dx + at, o.d);
  }
};

// Over examples, what each channel's parameters get.
template <typename C>
struct ParameterGradients {
  C *dweight, *dbias;
  __device__ void store(int64_t channel, const ChannelSums<double>& v) const {
    if (dweight) dweight[channel] = static_cast<C>(v.b);
    if (dbias) dbias[channel] = static_cast<C>(v.a);
  }
};

// The cut of x [n, C, s], a plane an example.
template <typename S>
ChannelStrips strips_of(const Tensor& x, bool packed) {
  return {x.shape()[0], x.shape()[2], x.shape()[1], packed ? kPerAccess<S> : 1};
}
Grid one_warp_each(int64_t rows) { return {dim3(static_cast<unsigned>(pieces(rows, kStripThreads / kWarp))), dim3(kStripThreads)}; }
Groups groups_of(const Tensor& x, int64_t groups) { return {groups, x.shape()[1] / groups}; }

template <typename Activation>
void forward(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean, Tensor& rstd) {
  visit_floating("group_norm", x.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    const S* from = x.data<S>();
    S* to = y.data<S>();
    const int64_t rows = rstd.numel();
    const Groups g = groups_of(x, groups);
    const bool packed = strips_packed<S>(x.shape()[1], from, to);
    const ChannelStrips s = strips_of<S>(x, packed);
    Scratch<ChannelSums<StripReal<S>>> partial(s.planes * s.splits * s.channels);
    const Moments<S> moments{from, g, s.places * s.channels};
    launch_strip_sums<S>(moments, s, packed, partial.data());
    launch(group_moments<S>, one_warp_each(rows), moments, partial.data(), rows, s.splits, static_cast<double>(g.width * s.places), eps,
           mean.data<C>(), rstd.data<C>());
    const Parameters<C> p{g, mean.data<C>(), rstd.data<C>(), data_or_null<C>(weight), data_or_null<C>(bias)};
    launch_strip_map<S>(Norm<S, Activation>{from, p, to}, s, packed);
  });
}

template <typename Activation>
void backward(const Tensor& gradient, const Tensor& input, int64_t groups, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
              const Tensor& bias, Tensor& dinput, Tensor& dweight, Tensor& dbias) {
  visit_floating("group_norm", input.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    const S *dy = gradient.data<S>(), *x = input.data<S>();
    S* dx = data_or_null<S>(dinput);
    const int64_t rows = rstd.numel();
    const Groups g = groups_of(input, groups);
    const Parameters<C> p{g, mean.data<C>(), rstd.data<C>(), data_or_null<C>(weight), data_or_null<C>(bias)};
    const bool packed = strips_packed<S>(input.shape()[1], dy, x, dx);
    const ChannelStrips s = strips_of<S>(input, packed);
    Scratch<ChannelSums<StripReal<S>>> partial(s.planes * s.splits * s.channels);
    Scratch<ChannelSums<C>> sums(s.planes * s.channels);
    Scratch<Taken<C>> taken(rows);
    launch_strip_sums<S>(GradientSums<S, Activation>{dy, x, p}, s, packed, partial.data());
    launch(group_gradients<S>, one_warp_each(rows), g, partial.data(), rows, s.splits, static_cast<double>(g.width * s.places), p.rstds,
           p.weight, sums.data(), taken.data());
    if (dx) launch_strip_map<S>(Dx<S, Activation>{dy, x, p, taken.data(), dx}, s, packed);
    if (dweight.defined() || dbias.defined())
      launch_strip_totals(ParameterGradients<C>{data_or_null<C>(dweight), data_or_null<C>(dbias)}, sums.data(), s.planes, s.channels);
  });
}

}  // namespace

void group_norm_last(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                     Tensor& rstd) {
  forward<Nothing>(x, groups, weight, bias, eps, y, mean, rstd);
}
void group_norm_last_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                              const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  backward<Nothing>(dy, x, groups, mean, rstd, weight, {}, dx, dweight, dbias);
}
namespace {

void group_norm_silu(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                     Tensor& rstd) {
  if (x.numel() > 0) forward<Silu>(x, groups, weight, bias, eps, y, mean, rstd);
}
void group_norm_silu_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                              const Tensor& weight, const Tensor& bias, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  backward<Silu>(dy, x, groups, mean, rstd, weight, bias, dx, dweight, dbias);
}

}  // namespace

void register_group_norm_last() {
  kernel::group_norm_silu.set(DeviceType::cuda, group_norm_silu);
  kernel::group_norm_silu_backward.set(DeviceType::cuda, group_norm_silu_backward);
}

}  // namespace plumb::cuda_backend
