// Primitives of oneDNN 2 (Debian) and their arguments.
#include "bench/onednn.h"

#ifndef PLUMB_HAS_ONEDNN

namespace plumb::bench::onednn {

const bool available = false;
std::function<void()> product(const Product&, const float*, const float*, float*) { return {}; }
std::function<void()> convolution(const Convolution&, Pass) { return {}; }
std::function<void()> softmax(int64_t, int64_t, const float*, float*) { return {}; }
std::function<void()> layer_norm(int64_t, int64_t, const float*, float*) { return {}; }
std::function<void()> gelu(int64_t, const float*, float*) { return {}; }

}  // namespace plumb::bench::onednn

#else

#include <dnnl.hpp>
#include <unordered_map>

namespace plumb::bench::onednn {

using Tag = dnnl::memory::format_tag;
using Desc = dnnl::memory::desc;

const bool available = true;

namespace {

dnnl::engine& engine() {
  static dnnl::engine the_cpu(dnnl::engine::kind::cpu, 0);
  return the_cpu;
}

Desc described(const dnnl::memory::dims& sizes, Tag tag) { return Desc(sizes, dnnl::memory::data_type::f32, tag); }
dnnl::memory wrapped(const Desc& desc, const float* data) { return dnnl::memory(desc, engine(), const_cast<float*>(data)); }
dnnl::memory made(const Desc& desc) { return dnnl::memory(desc, engine()); }

std::function<void()> call(const dnnl::primitive& primitive, std::unordered_map<int, dnnl::memory> arguments) {
  return [primitive, arguments, stream = dnnl::stream(engine())]() mutable {
    primitive.execute(stream, arguments);
    stream.wait();
  };
}

}  // namespace

std::function<void()> product(const Product& p, const float* a, const float* b, float* c) {
  Desc left = described({p.batch, p.m, p.k}, p.a_transposed ? Tag::acb : Tag::abc),
       right = described({p.batch, p.k, p.n}, p.b_transposed ? Tag::acb : Tag::abc), out = described({p.batch, p.m, p.n}, Tag::abc);
  dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(left, right, out), engine());
  return call(dnnl::matmul(pd), {{DNNL_ARG_SRC, wrapped(left, a)}, {DNNL_ARG_WEIGHTS, wrapped(right, b)}, {DNNL_ARG_DST, wrapped(out, c)}});
}

std::function<void()> convolution(const Convolution& c, Pass pass) {
  dnnl::memory::dims strides{c.stride, c.stride}, padding{c.padding, c.padding};
  Desc x = described({c.n, c.channels, c.side, c.side}, Tag::any), w = described({c.outputs, c.channels, c.kernel, c.kernel}, Tag::any),
       y = described({c.n, c.outputs, c.out_side(), c.out_side()}, Tag::any);
  constexpr auto direct = dnnl::algorithm::convolution_auto;
  dnnl::convolution_forward::primitive_desc forward(
      dnnl::convolution_forward::desc(dnnl::prop_kind::forward_training, direct, x, w, y, strides, padding, padding), engine());
  if (pass == Pass::forward)
    return call(dnnl::convolution_forward(forward), {{DNNL_ARG_SRC, made(forward.src_desc())},
                                                     {DNNL_ARG_WEIGHTS, made(forward.weights_desc())},
                                                     {DNNL_ARG_DST, made(forward.dst_desc())}});
  if (pass == Pass::input_gradient) {
    dnnl::convolution_backward_data::primitive_desc pd(dnnl::convolution_backward_data::desc(direct, x, w, y, strides, padding, padding),
                                                       engine(), forward);
    return call(dnnl::convolution_backward_data(pd), {{DNNL_ARG_DIFF_DST, made(pd.diff_dst_desc())},
                                                      {DNNL_ARG_WEIGHTS, made(pd.weights_desc())},
                                                      {DNNL_ARG_DIFF_SRC, made(pd.diff_src_desc())}});
  }
  dnnl::convolution_backward_weights::primitive_desc pd(
      dnnl::convolution_backward_weights::desc(direct, x, w, y, strides, padding, padding), engine(), forward);
  return call(dnnl::convolution_backward_weights(pd), {{DNNL_ARG_SRC, made(pd.src_desc())},
                                                       {DNNL_ARG_DIFF_DST, made(pd.diff_dst_desc())},
                                                       {DNNL_ARG_DIFF_WEIGHTS, made(pd.diff_weights_desc())}});
}

std::function<void()> softmax(int64_t rows, int64_t columns, const float* x, float* y) {
  Desc both = described({rows, columns}, Tag::ab);
  dnnl::softmax_forward::primitive_desc pd(dnnl::softmax_forward::desc(dnnl::prop_kind::forward_training, both, 1), engine());
  return call(dnnl::softmax_forward(pd), {{DNNL_ARG_SRC, wrapped(both, x)}, {DNNL_ARG_DST, wrapped(both, y)}});
}

std::function<void()> layer_norm(int64_t rows, int64_t columns, const float* x, float* y) {
  Desc both = described({rows, columns}, Tag::ab), affine = described({columns}, Tag::a);
  using Flags = dnnl::normalization_flags;
  dnnl::layer_normalization_forward::primitive_desc pd(
      dnnl::layer_normalization_forward::desc(dnnl::prop_kind::forward_training, both, 1e-5f, Flags::use_scale | Flags::use_shift),
      engine());
  return call(dnnl::layer_normalization_forward(pd), {{DNNL_ARG_SRC, wrapped(both, x)},
                                                      {DNNL_ARG_DST, wrapped(both, y)},
                                                      {DNNL_ARG_SCALE, made(affine)},
                                                      {DNNL_ARG_SHIFT, made(affine)},
                                                      {DNNL_ARG_MEAN, made(pd.mean_desc())},
                                                      {DNNL_ARG_VARIANCE, made(pd.variance_desc())}});
}

std::function<void()> gelu(int64_t count, const float* x, float* y) {
  Desc both = described({count}, Tag::a);
  dnnl::eltwise_forward::primitive_desc pd(
      dnnl::eltwise_forward::desc(dnnl::prop_kind::forward_training, dnnl::algorithm::eltwise_gelu_erf, both, 0, 0), engine());
  return call(dnnl::eltwise_forward(pd), {{DNNL_ARG_SRC, wrapped(both, x)}, {DNNL_ARG_DST, wrapped(both, y)}});
}

}  // namespace plumb::bench::onednn

#endif
