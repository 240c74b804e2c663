// Recurrent cells whose products are convolutions, so that the hidden state is an image. x [B, inputs, H, W] and h [B, hidden, H, W] (zeros
// if undefined) → the next h; convolutions keep the size. All throw ValueError for sizes that are not positive or a kernel whose padding
// cannot be even, ShapeError for an h of another shape.
#pragma once
#include "models/nn/conv.h"
#include "ops/recurrent.h"

namespace plumb::nn {

struct ConvCellOptions {
  int64_t kernel = 3;  ///< of the convolutions of x and of h; odd
  int64_t dilation = 1;
  PadMode padding_mode = PadMode::constant;
  bool bias = true;  ///< of the convolution of x; that of h has none
  DType dtype = f32;
  Device device = {};
};

/// A pair of convolutions that make `gates` images of `hidden` channels each, of x and of h.
class ConvGates : public Module {
 public:
  Conv2d input;   ///< inputs → gates · hidden
  Conv2d hidden;  ///< hidden → gates · hidden, without bias

 protected:
  ConvGates(const char* cell, int64_t gates, int64_t inputs, int64_t channels, const ConvCellOptions& options);
  /// The gates' parts of the convolution of x, and of that of h (undefined where h is).
  struct Parts {
    std::vector<Tensor> x, h;
    /// part i of x plus that of h
    Tensor both(size_t i) const;
  };
  Parts convolved(const Tensor& x, const Tensor& h) const;

 private:
  const char* cell_;
  int64_t channels_;
};

/// The convolutional GRU (Ballas et al. 2016; reset after the product):
///   r, z = σ(W x + U h),   n = tanh(W_n x + r ⊙ (U_n h)),   h' = (1 − z) n + z h.   Gates in the order r, z, n.
class ConvGRUCell : public ConvGates {
 public:
  ConvGRUCell(int64_t inputs, int64_t hidden, ConvCellOptions options = {}) : ConvGates("conv_gru_cell", 3, inputs, hidden, options) {}
  ConvGRUCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, ConvCellOptions options = {})
      : ConvGRUCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;
};

/// The minimal gated unit (Zhou et al. 2016) with convolutions:
///   f = σ(W x + U h),   n = tanh(W_n x + f ⊙ (U_n h)),   h' = (1 − f) n + f h.   Gates in the order f, n.
class ConvMGUCell : public ConvGates {
 public:
  ConvMGUCell(int64_t inputs, int64_t hidden, ConvCellOptions options = {}) : ConvGates("conv_mgu_cell", 2, inputs, hidden, options) {}
  ConvMGUCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, ConvCellOptions options = {})
      : ConvMGUCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;
};

/// The convolutional LSTM (Shi et al. 2015, without peepholes):
///   i, f, o = σ(W x + U h),   g = tanh(W_g x + U_g h),   c' = f c + i g,   h' = o tanh(c').   Gates in the order i, f, g, o.
class ConvLSTMCell : public ConvGates {
 public:
  ConvLSTMCell(int64_t inputs, int64_t hidden, ConvCellOptions options = {}) : ConvGates("conv_lstm_cell", 4, inputs, hidden, options) {}
  ConvLSTMCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, ConvCellOptions options = {})
      : ConvLSTMCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  LstmState operator()(const Tensor& x, const LstmState& state = {}) const;
};

/// The independently recurrent unit of images: h' = relu(W x + b + u ⊙ h), u one number a channel, which starts as U(0, 1).
class ConvIndRNNCell : public Module {
 public:
  ConvIndRNNCell(int64_t inputs, int64_t hidden, ConvCellOptions options = {});
  ConvIndRNNCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, ConvCellOptions options = {})
      : ConvIndRNNCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;

  Conv2d input;
  Parameter recurrent;  ///< u [hidden]
};

}  // namespace plumb::nn
