// The independently recurrent unit.
#include "models/nn/ind_rnn.h"

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"

namespace plumb::nn {

IndRNNCell::IndRNNCell(int64_t inputs, int64_t hidden, IndRNNOptions o)
    : input(this, "input", inputs, hidden, {.bias = o.bias, .dtype = o.dtype, .device = o.device}), activation_(o.activation) {
  register_parameter("recurrent", recurrent, empty({hidden}, o.dtype, o.device));
  init::uniform(recurrent, 0, 1);
}

Tensor IndRNNCell::operator()(const Tensor& x, const Tensor& h) const {
  Tensor a = input(x);
  if (h.defined()) {
    if (h.shape() != a.shape())
      throw ShapeError("ind_rnn_cell: the hidden state is " + to_string(h.shape()) + ", it should be " + to_string(a.shape()));
    a = a + recurrent * h;
  }
  return activation_ == RnnActivation::relu ? relu(a) : tanh(a);
}

}  // namespace plumb::nn
