// One hidden unit's share of a time step of a recurrent cell and its derivative, for kernels on every device. C is the type of arithmetic.
#pragma once
#include "engine/core/device_function.h"
#include "ops/special_functions.h"

namespace plumb::recurrent_functions {

/// c' = f c + i g,  h' = o tanh c'. On entry i, f, g, o are the gates' sums, on return the gates; c becomes c'. Returns h'.
template <typename C>
PLUMB_DEVICE C lstm(C& i, C& f, C& g, C& o, C& c) {
  i = special::sigmoid(i);
  f = special::sigmoid(f);
  g = special::tanh(g);
  o = special::sigmoid(o);
  c = f * c + i * g;
  return o * special::tanh(c);
}
/// dc' += dh' o (1 − tanh² c');  di = dc' g, df = dc' c, dg = dc' i, do = dh' tanh c', each times its gate's slope;  dc = dc' f.
/// On entry i, f, g, o are the gates, on return the gradients of their sums; `before` is c, `after` c'; dc goes from c' to c.
template <typename C>
PLUMB_DEVICE void lstm_backward(C& i, C& f, C& g, C& o, C before, C after, C dh, C& dc) {
  C tanh_c = special::tanh(after), of_c = dc + dh * o * (1 - tanh_c * tanh_c), input = i;
  dc = of_c * f;
  i = of_c * g * input * (1 - input);
  f = of_c * before * f * (1 - f);
  g = of_c * input * (1 - g * g);
  o = dh * tanh_c * o * (1 - o);
}

/// n = tanh(x_n + r m), m = h_n;  h' = n + z (h − n). On entry r, z are the gates' sums and n is x_n, on return the gates. Returns h'.
template <typename C>
PLUMB_DEVICE C gru(C& r, C& z, C& n, C m, C h) {
  r = special::sigmoid(r);
  z = special::sigmoid(z);
  n = special::tanh(n + r * m);
  return n + z * (h - n);
}
/// With a = x_n + r m:  da = dh' (1 − z)(1 − n²), dm = da r, and times their gates' slopes dr = da m, dz = dh' (h − n).
/// On entry r, z, n are the gates and m is h_n, on return the gradients of r's, z's and n's sums and of m. Returns dh' z, h's direct share.
template <typename C>
PLUMB_DEVICE C gru_backward(C& r, C& z, C& n, C& m, C h, C dh) {
  C of_a = dh * (1 - z) * (1 - n * n), direct = dh * z, hidden = m;
  m = of_a * r;
  r = of_a * hidden * r * (1 - r);
  z = dh * (h - n) * z * (1 - z);
  n = of_a;
  return direct;
}

/// h' of a plain cell, and its derivative from h'.
template <typename C>
PLUMB_DEVICE C rnn(C sum, bool tanh) {
  return tanh ? special::tanh(sum) : sum < 0 ? C(0) : sum;
}
template <typename C>
PLUMB_DEVICE C rnn_backward(C next, C dh, bool tanh) {
  return tanh ? dh * (1 - next * next) : next > 0 ? dh : C(0);
}

}  // namespace plumb::recurrent_functions
