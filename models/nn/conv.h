// Convolution layers.
#pragma once
#include "models/nn/module.h"
#include "ops/conv.h"

namespace plumb::nn {

/// As plumb::Conv2dOptions, and what the layer needs beside.
struct Conv2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 dilation = 1;
  int64_t groups = 1;
  PadMode padding_mode = PadMode::constant;
  bool same = false;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// conv2d(x, weight, bias): x [N, in, H, W] → [N, out, H', W']; weight [out, in / groups, kh, kw], bias [out].
/// Both start as U(−1/√f, 1/√f), f = in / groups · kh · kw. Throws ValueError for sizes that are not positive or groups that do not divide.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, Size2 kernel, Conv2dOptions options = {});
  Conv2d(Module* parent, std::string name, int64_t in, int64_t out, Size2 kernel, Conv2dOptions options = {}) : Conv2d(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  plumb::Conv2dOptions options_;
};

struct Conv1dOptions {
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
  int64_t groups = 1;
  PadMode padding_mode = PadMode::constant;
  bool same = false;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// The same along one dimension: x [N, in, L] → [N, out, L']; weight [out, in / groups, kernel].
class Conv1d : public Module {
 public:
  Conv1d(int64_t in, int64_t out, int64_t kernel, Conv1dOptions options = {});
  Conv1d(Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, Conv1dOptions options = {}) : Conv1d(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  plumb::Conv1dOptions options_;
};

struct ConvTranspose2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 output_padding = 0;
  Size2 dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// conv_transpose2d(x, weight, bias): x [N, in, H, W] → [N, out, H', W']; weight [in, out / groups, kh, kw], bias [out].
/// Both start as U(−1/√f, 1/√f), f = out / groups · kh · kw.
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(int64_t in, int64_t out, Size2 kernel, ConvTranspose2dOptions options = {});
  ConvTranspose2d(Module* parent, std::string name, int64_t in, int64_t out, Size2 kernel, ConvTranspose2dOptions options = {})
      : ConvTranspose2d(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  plumb::ConvTranspose2dOptions options_;
};

struct ConvTranspose1dOptions {
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t output_padding = 0;
  int64_t dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// The same along one dimension: x [N, in, L] → [N, out, L']; weight [in, out / groups, kernel].
class ConvTranspose1d : public Module {
 public:
  ConvTranspose1d(int64_t in, int64_t out, int64_t kernel, ConvTranspose1dOptions options = {});
  ConvTranspose1d(Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, ConvTranspose1dOptions options = {})
      : ConvTranspose1d(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  plumb::ConvTranspose1dOptions options_;
};

}  // namespace plumb::nn
