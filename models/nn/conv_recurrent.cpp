// Convolutional recurrent cells: two convolutions, and the gates of each cell.
#include "models/nn/conv_recurrent.h"

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

Conv2dOptions same_size(const char* cell, const ConvCellOptions& o, bool bias) {
  if (o.kernel < 1 || o.kernel % 2 == 0 || o.dilation < 1)
    throw ValueError(std::string(cell) + ": the kernel must be odd and the dilation positive, they are " + std::to_string(o.kernel) +
                     " and " + std::to_string(o.dilation));
  return {.padding = o.dilation * (o.kernel - 1) / 2,
          .dilation = o.dilation,
          .padding_mode = o.padding_mode,
          .bias = bias,
          .dtype = o.dtype,
          .device = o.device};
}

void check_hidden(const char* cell, const Tensor& h, const Shape& wanted) {
  if (h.shape() != wanted)
    throw ShapeError(std::string(cell) + ": the hidden state is " + to_string(h.shape()) + ", it should be " + to_string(wanted));
}

// (1 − gate) n + gate h, with h = 0 where it is undefined.
Tensor gated(const Tensor& gate, const Tensor& n, const Tensor& h) { return h.defined() ? n + gate * (h - n) : n - gate * n; }

}  // namespace

ConvGates::ConvGates(const char* cell, int64_t gates, int64_t inputs, int64_t channels, const ConvCellOptions& o)
    : input(this, "input", inputs, gates * channels, o.kernel, same_size(cell, o, o.bias)),
      hidden(this, "hidden", channels, gates * channels, o.kernel, same_size(cell, o, false)),
      cell_(cell),
      channels_(channels) {}

ConvGates::Parts ConvGates::convolved(const Tensor& x, const Tensor& h) const {
  Parts parts{split(input(x), channels_, 1), {}};
  if (!h.defined()) return parts;
  check_hidden(cell_, h, parts.x[0].shape());
  parts.h = split(hidden(h), channels_, 1);
  return parts;
}

Tensor ConvGates::Parts::both(size_t i) const { return h.empty() ? x[i] : x[i] + h[i]; }

Tensor ConvGRUCell::operator()(const Tensor& x, const Tensor& h) const {
  Parts p = convolved(x, h);
  Tensor z = sigmoid(p.both(1));
  Tensor n = tanh(h.defined() ? p.x[2] + sigmoid(p.both(0)) * p.h[2] : p.x[2]);
  return gated(z, n, h);
}

Tensor ConvMGUCell::operator()(const Tensor& x, const Tensor& h) const {
  Parts p = convolved(x, h);
  Tensor f = sigmoid(p.both(0));
  Tensor n = tanh(h.defined() ? p.x[1] + f * p.h[1] : p.x[1]);
  return gated(f, n, h);
}

LstmState ConvLSTMCell::operator()(const Tensor& x, const LstmState& state) const {
  Parts p = convolved(x, state.h);
  Tensor c = sigmoid(p.both(0)) * tanh(p.both(2));
  if (state.c.defined()) {
    check_hidden("conv_lstm_cell", state.c, c.shape());
    c = sigmoid(p.both(1)) * state.c + c;
  }
  return {sigmoid(p.both(3)) * tanh(c), c};
}

ConvIndRNNCell::ConvIndRNNCell(int64_t inputs, int64_t channels, ConvCellOptions o)
    : input(this, "input", inputs, channels, o.kernel, same_size("conv_ind_rnn_cell", o, o.bias)) {
  register_parameter("recurrent", recurrent, empty({channels}, o.dtype, o.device));
  init::uniform(recurrent, 0, 1);
}

Tensor ConvIndRNNCell::operator()(const Tensor& x, const Tensor& h) const {
  Tensor a = input(x);
  if (h.defined()) {
    check_hidden("conv_ind_rnn_cell", h, a.shape());
    a = a + reshape(recurrent, {recurrent.size(0), 1, 1}) * h;
  }
  return relu(a);
}

}  // namespace plumb::nn
