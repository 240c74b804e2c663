// Many tensors in one loop: they are cut into chunks of fixed size, and the flat list of chunks is shared among the threads, so that many
// small tensors cost no more than one large one. Bytes of an update: read p, g and its state, write p and its state. Bound: memory.
#include "ops/kernels/optim.h"

#include <algorithm>
#include <vector>

#include "engine/core/parallel.h"
#include "ops/cpu/strided_loop.h"
#include "ops/optim_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kChunk = 16384;  // elements of a chunk: fixed, because sums are kept a chunk
constexpr int64_t kBlock = 1024;   // elements of a scratch row, which stays in L1

struct Chunk {
  size_t tensor;
  int64_t begin, end;
};

template <typename T, typename Get>
std::vector<Chunk> chunks_of(std::span<const T> tensors, Get get) {
  std::vector<Chunk> chunks;
  for (size_t t = 0; t < tensors.size(); ++t) {
    int64_t n = get(tensors[t]).numel();
    for (int64_t begin = 0; begin < n; begin += kChunk) chunks.push_back({t, begin, std::min(n, begin + kChunk)});
  }
  return chunks;
}
std::vector<Chunk> chunks_of(std::span<const Tensor> tensors) {
  return chunks_of(tensors, [](const Tensor& t) -> const Tensor& { return t; });
}

// body(index of the chunk) on all threads; chunks may be much smaller than kChunk, so a thread takes as many as make up its grain.
template <typename Body>
void for_each_chunk(const std::vector<Chunk>& chunks, Body&& body) {
  int64_t total = 0, count = static_cast<int64_t>(chunks.size());
  for (const Chunk& c : chunks) total += c.end - c.begin;
  int64_t grain = std::max<int64_t>(1, count * kPointwiseGrain / std::max<int64_t>(1, total));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) body(static_cast<size_t>(c));
  });
}

template <typename Rule, typename T>
void update_row(T* __restrict p, const T* __restrict g, T* __restrict s0, T* __restrict s1, T* __restrict s2, const T* k, int64_t n) {
  T constants[8];
  std::copy_n(k, 8, constants);
  for (int64_t i = 0; i < n; ++i) Rule::apply(p[i], g[i], s0[i], s1[i], s2[i], constants);
}

// Where a row of state lies, or zeros if the rule is used without it.
template <typename T>
T* row_of(const Tensor& state, int64_t at, T* none, int64_t n) {
  if (state.defined()) return static_cast<T*>(state.raw_data()) + at;
  std::fill_n(none, n, T(0));
  return none;
}

// 16-bit parameters: the update works on the master, the parameter is its rounding.
template <typename S>
float* master_row(const UpdateTensor& u, int64_t at, int64_t n) {
  float* master = static_cast<float*>(u.master.raw_data()) + at;
  const S* p = static_cast<const S*>(u.parameter.raw_data()) + at;
  for (int64_t i = 0; i < n; ++i)
    if (S(master[i]).bits != p[i].bits) master[i] = static_cast<float>(p[i]);
  return master;
}

template <typename Rule, typename S>
void update_chunk(const UpdateTensor& u, int64_t begin, int64_t end) {
  using T = compute_t<S>;
  constexpr bool narrow = sizeof(S) < sizeof(T);
  T constants[8], none[3][kBlock], gradient[narrow ? kBlock : 1];
  for (size_t i = 0; i < 8; ++i) constants[i] = static_cast<T>(u.constants[i]);
  S* parameter = static_cast<S*>(u.parameter.raw_data());
  const S* raw_gradient = static_cast<const S*>(u.gradient.raw_data());
  for (int64_t at = begin; at < end; at += kBlock) {
    int64_t n = std::min(kBlock, end - at);
    T* s[3];
    for (size_t j = 0; j < 3; ++j) s[j] = row_of<T>(u.state[j], at, none[j], n);
    if constexpr (narrow) {
      for (int64_t i = 0; i < n; ++i) gradient[i] = static_cast<T>(raw_gradient[at + i]);
      T* p = master_row<S>(u, at, n);
      update_row<Rule, T>(p, gradient, s[0], s[1], s[2], constants, n);
      for (int64_t i = 0; i < n; ++i) parameter[at + i] = S(p[i]);
    } else {
      update_row<Rule, T>(parameter + at, raw_gradient + at, s[0], s[1], s[2], constants, n);
    }
  }
}

template <typename Rule>
void update_with(std::span<const UpdateTensor> tensors) {
  std::vector<Chunk> chunks = chunks_of(tensors, [](const UpdateTensor& u) -> const Tensor& { return u.parameter; });
  for_each_chunk(chunks, [&](size_t c) {
    const UpdateTensor& u = tensors[chunks[c].tensor];
    visit_floating("update", u.parameter.dtype(), [&]<typename S>() { update_chunk<Rule, S>(u, chunks[c].begin, chunks[c].end); });
  });
}

void update(UpdateRule rule, std::span<const UpdateTensor> tensors) {
  switch (rule) {
    case UpdateRule::sgd: return update_with<rule::Sgd>(tensors);
    case UpdateRule::adam: return update_with<rule::Adam>(tensors);
    case UpdateRule::adagrad: return update_with<rule::Adagrad>(tensors);
    case UpdateRule::rmsprop: return update_with<rule::RmsProp>(tensors);
    case UpdateRule::lion: return update_with<rule::Lion>(tensors);
    case UpdateRule::count: break;
  }
}

// Eight running sums, joined in a fixed order.
template <typename S>
double dot_row(const S* x, const S* y, int64_t n) {
  constexpr int64_t kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j)
      lanes[j] += static_cast<double>(static_cast<compute_t<S>>(x[i + j])) * static_cast<double>(static_cast<compute_t<S>>(y[i + j]));
  for (int64_t j = 0; i < n; ++i, ++j)
    lanes[j] += static_cast<double>(static_cast<compute_t<S>>(x[i])) * static_cast<double>(static_cast<compute_t<S>>(y[i]));
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

void sum_of_products(std::span<const Tensor> x, std::span<const Tensor> y, double& total) {
  std::vector<Chunk> chunks = chunks_of(x);
  std::vector<double> partial(chunks.size());
  for_each_chunk(chunks, [&](size_t c) {
    auto [t, begin, end] = chunks[c];
    visit_floating("sum_of_products", x[t].dtype(), [&, begin = begin, end = end, t = t]<typename S>() {
      partial[c] = dot_row<S>(static_cast<const S*>(x[t].raw_data()) + begin, static_cast<const S*>(y[t].raw_data()) + begin, end - begin);
    });
  });
  total = 0;
  for (double p : partial) total += p;
}

template <typename S>
void combine_row(double a, const S* x, double b, S* y, int64_t n) {
  using T = compute_t<S>;
  T p = static_cast<T>(a), q = static_cast<T>(b);
  if (a == 0 && b == 0) std::fill_n(y, n, S(T(0)));
  else if (a == 0) for (int64_t i = 0; i < n; ++i) y[i] = S(q * static_cast<T>(y[i]));
  else if (b == 0) for (int64_t i = 0; i < n; ++i) y[i] = S(p * static_cast<T>(x[i]));
  else for (int64_t i = 0; i < n; ++i) y[i] = S(p * static_cast<T>(x[i]) + q * static_cast<T>(y[i]));
}

void combine(double a, std::span<const Tensor> x, double b, std::span<const Tensor> y) {
  std::vector<Chunk> chunks = chunks_of(y);
  for_each_chunk(chunks, [&](size_t c) {
    auto [t, begin, end] = chunks[c];
    visit_floating("combine", y[t].dtype(), [&, begin = begin, end = end, t = t]<typename S>() {
      combine_row<S>(a, x.empty() ? nullptr : static_cast<const S*>(x[t].raw_data()) + begin, b, static_cast<S*>(y[t].raw_data()) + begin,
                     end - begin);
    });
  });
}

}  // namespace

void register_optim() {
  kernel::update.set(DeviceType::cpu, update);
  kernel::sum_of_products.set(DeviceType::cpu, sum_of_products);
  kernel::combine.set(DeviceType::cpu, combine);
}

}  // namespace plumb::cpu_kernels
