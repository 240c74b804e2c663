// Convolution layers.
#pragma once
#include "models/nn/weight_layer.h"
#include "ops/conv.h"

namespace plumb::nn {

/// What an operation's options say (ops/conv.h), and what the layer needs beside. S is the size of a window: Size2, or int64_t along one
/// dimension.
template <typename S>
struct ConvOptions {
  using Size = S;
  Size stride = 1;
  Size padding = 0;
  Size dilation = 1;
  int64_t groups = 1;
  PadMode padding_mode = PadMode::constant;
  bool same = false;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};
using Conv2dOptions = ConvOptions<Size2>;
using Conv1dOptions = ConvOptions<int64_t>;

template <typename S>
struct ConvTransposeOptions {
  using Size = S;
  Size stride = 1;
  Size padding = 0;
  Size output_padding = 0;
  Size dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};
using ConvTranspose2dOptions = ConvTransposeOptions<Size2>;
using ConvTranspose1dOptions = ConvTransposeOptions<int64_t>;

/// The operation that Options belongs to, with a learned weight and bias. Both start as U(−1/√f, 1/√f), f the number of elements of
/// weight[0]. Throws ValueError for sizes that are not positive or groups that do not divide the channels.
template <typename Options>
class ConvLayer : public WeightLayer {
 public:
  using Size = typename Options::Size;
  ConvLayer(int64_t in, int64_t out, Size kernel, Options options = {});
  ConvLayer(Module* parent, std::string name, int64_t in, int64_t out, Size kernel, Options options = {})
      : ConvLayer(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

 private:
  Options options_;
};

/// conv2d(x, weight, bias): x [N, in, H, W] → [N, out, H', W']; weight [out, in / groups, kh, kw], bias [out].
using Conv2d = ConvLayer<Conv2dOptions>;
/// conv1d(x, weight, bias): x [N, in, L] → [N, out, L']; weight [out, in / groups, kernel].
using Conv1d = ConvLayer<Conv1dOptions>;
/// conv_transpose2d(x, weight, bias): x [N, in, H, W] → [N, out, H', W']; weight [in, out / groups, kh, kw], bias [out].
using ConvTranspose2d = ConvLayer<ConvTranspose2dOptions>;
/// conv_transpose1d(x, weight, bias): x [N, in, L] → [N, out, L']; weight [in, out / groups, kernel].
using ConvTranspose1d = ConvLayer<ConvTranspose1dOptions>;

extern template class ConvLayer<Conv2dOptions>;
extern template class ConvLayer<Conv1dOptions>;
extern template class ConvLayer<ConvTranspose2dOptions>;
extern template class ConvLayer<ConvTranspose1dOptions>;

}  // namespace plumb::nn
