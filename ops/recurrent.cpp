// Recurrent networks. The input's part of the gates of all time steps is one product; the recurrence over it is one operation, whose steps
// are a product and a fused pass, and whose derivative is the same in reverse, with the weights' gradient one product at the end.
#include "ops/recurrent.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/activation.h"
#include "ops/autocast_call.h"
#include "ops/create.h"
#include "ops/dropout.h"
#include "ops/elementary.h"
#include "ops/formula.h"
#include "ops/join.h"
#include "ops/kernels/matmul.h"
#include "ops/kernels/recurrent.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// -- the recurrence: gates_x [T, B, gates · H], weight_hh, bias_hh, h, c → the states after each step [T, B, H], and c after the last -----

// How the steps follow each other: time[0], time[1], … is 0, 1, … or its reverse.
struct Recurrence {
  RecurrentCell cell;
  bool reverse = false;
  Tensor lengths;

  int64_t time(int64_t step, int64_t steps) const { return reverse ? steps - 1 - step : step; }
  RecurrentStep at(int64_t t) const { return {cell, t, lengths}; }
};

// x[t], outside the graph.
Tensor at(const Tensor& x, int64_t t) {
  if (!x.defined()) return x;
  Strides strides;
  for (int d = 1; d < x.rank(); ++d) strides.push_back(x.strides()[d]);
  return view_of(x, x.shape().slice(1, x.rank()), strides, t * x.strides()[0]);
}

// out = a b + bias, or out += a b: matrices, outside the graph.
void product(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out) {
  auto single = [](const Tensor& x) { return view_of(x, {1, x.shape()[0], x.shape()[1]}, {0, x.strides()[0], x.strides()[1]}, 0); };
  Tensor result = single(out);
  kernel::matmul(out.device(), single(a), single(b), bias, accumulate, result);
}

Tensor copy_of(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor y = empty_like(x, "recurrence");
  copy_data(x, y);
  return y;
}

// One step of the definition in plain operations.
LstmState step_formula(RecurrentCell cell, const Tensor& gates_x, const Tensor& gates_h, const LstmState& s) {
  if (cell == RecurrentCell::rnn_tanh) return {tanh(gates_x + gates_h), {}};
  if (cell == RecurrentCell::rnn_relu) return {relu(gates_x + gates_h), {}};
  if (cell == RecurrentCell::lstm) {
    std::vector<Tensor> gates = chunk(gates_x + gates_h, 4, -1);
    Tensor c = sigmoid(gates[1]) * s.c + sigmoid(gates[0]) * tanh(gates[2]);
    return {sigmoid(gates[3]) * tanh(c), c};
  }
  std::vector<Tensor> x = chunk(gates_x, 3, -1), h = chunk(gates_h, 3, -1);
  Tensor z = sigmoid(x[1] + h[1]), n = tanh(x[2] + sigmoid(x[0] + h[0]) * h[2]);
  return {n + z * (s.h - n), {}};
}

std::vector<Tensor> recurrence_formula(const Recurrence& r, const std::vector<Tensor>& inputs) {
  LstmState state{inputs[3], inputs[4]};
  std::vector<Tensor> states(static_cast<size_t>(inputs[0].size(0)));
  for (int64_t step = 0, steps = inputs[0].size(0); step < steps; ++step) {
    int64_t t = r.time(step, steps);
    LstmState next = step_formula(r.cell, select(inputs[0], 0, t), linear(state.h, inputs[1], inputs[2]), state);
    if (r.lengths.defined()) {
      Tensor goes_on = unsqueeze(r.lengths > t, 1);
      next = {where(goes_on, next.h, state.h), next.c.defined() ? where(goes_on, next.c, state.c) : next.c};
    }
    state = next;
    states[static_cast<size_t>(t)] = state.h;
  }
  std::vector<Tensor> outputs{states.empty() ? narrow(inputs[0], 2, 0, inputs[3].size(1)) : stack(states)};  // without steps, no elements
  if (state.c.defined()) outputs.push_back(state.c);
  return outputs;
}

// What the steps leave behind, for all t: h and c after the step, and what the kernel keeps.
struct Trace {
  Tensor h, c, kept;
};

Trace run_forward(const Recurrence& r, const Tensor& gates_x, const Tensor& weight, const Tensor& bias, const Tensor& h, const Tensor& c,
                  bool keep) {
  int64_t steps = gates_x.size(0), batch = gates_x.size(1), hidden = weight.size(1);
  auto room = [&](const Shape& shape) { return empty(shape, gates_x.dtype(), gates_x.device(), "recurrence"); };
  Trace trace{room({steps, batch, hidden}), {}, {}};
  if (c.defined()) trace.c = room({steps, batch, hidden});
  if (keep && kept_count(r.cell)) trace.kept = room({steps, batch, kept_count(r.cell) * hidden});
  Tensor gates_h = room({batch, weight.size(0)}), before_h = h, before_c = c;
  for (int64_t step = 0; step < steps; ++step) {
    int64_t t = r.time(step, steps);
    product(before_h, mT(weight), bias, false, gates_h);
    Tensor kept = at(trace.kept, t), next_h = at(trace.h, t), next_c = at(trace.c, t);
    kernel::recurrent_step(gates_x.device(), r.at(t), at(gates_x, t), gates_h, before_h, before_c, kept, next_h, next_c);
    before_h = next_h;
    before_c = next_c;
  }
  return trace;
}

// Σ_t dgates_h[t]ᵀ h before step t: all but the first step in one product.
Tensor weight_gradient(const Recurrence& r, const Tensor& dgates_h, const Tensor& states, const Tensor& h) {
  int64_t steps = dgates_h.size(0), gates = dgates_h.size(2), hidden = h.size(1);
  if (steps == 0) return zeros({gates, hidden}, h.dtype(), h.device());
  Tensor dw = matmul(mT(select(dgates_h, 0, r.time(0, steps))), h);
  if (steps == 1) return dw;
  Tensor later = narrow(dgates_h, 0, r.reverse ? 0 : 1, steps - 1), before = narrow(states, 0, r.reverse ? 1 : 0, steps - 1);
  product(mT(reshape(later, {-1, gates})), reshape(before, {-1, hidden}), {}, true, dw);
  return dw;
}

// Through the steps in reverse order. dh and dc start as the gradients of the last state and end as those of the first.
Grads run_backward(const Recurrence& r, const Tensor& dstates, Tensor dc, const Trace& trace, const Tensor& weight, const Tensor& h,
                   const Tensor& c, Needs needs) {
  int64_t steps = dstates.size(0), batch = dstates.size(1), gates = weight.size(0);
  auto room = [&] { return empty({steps, batch, gates}, weight.dtype(), weight.device(), "recurrence_backward"); };
  Tensor dgates_x = room(), dgates_h = r.cell == RecurrentCell::gru ? room() : dgates_x, dh = zeros_like(h);
  for (int64_t step = steps - 1; step >= 0; --step) {
    int64_t t = r.time(step, steps), earlier = r.time(step - 1, steps);
    Tensor of_x = at(dgates_x, t), of_h = at(dgates_h, t);
    kernel::recurrent_step_backward(h.device(), r.at(t), at(trace.kept, t), step ? at(trace.h, earlier) : h, at(trace.h, t),
                                    step ? at(trace.c, earlier) : c, at(trace.c, t), at(dstates, t), dh, dc, of_x, of_h);
    if (step > 0 || needs[3]) product(of_h, weight, {}, true, dh);
  }
  Tensor dw, db;
  if (needs[1]) dw = weight_gradient(r, dgates_h, trace.h, h);
  if (needs[2]) db = sum_to(dgates_h, {gates});
  return {dgates_x, dw, db, dh, dc};
}

// {states, c after the last step} of an LSTM, {states} of the others.
std::vector<Tensor> recurrence(const Recurrence& r, const Tensor& gates_x, const Tensor& weight, const Tensor& bias, const Tensor& h,
                               const Tensor& c) {
  bool keep = grad_enabled() && detail::any_requires_grad({gates_x, weight, bias, h, c});
  Tensor first_h = contiguous_data(h), first_c = c.defined() ? contiguous_data(c) : c;
  Trace trace = run_forward(r, contiguous_data(gates_x), weight, bias.defined() ? contiguous_data(bias) : bias, first_h, first_c, keep);
  std::vector<Tensor> outputs{trace.h};
  int64_t steps = gates_x.size(0);
  if (c.defined()) outputs.push_back(copy_of(steps ? at(trace.c, r.time(steps - 1, steps)) : first_c));
  return record(
      "recurrence", outputs, {gates_x, weight, bias, h, c}, saving(gates_x, weight, bias, h, c, trace.h, trace.c, trace.kept),
      [r](const Grads& dy, const Saved& s, Needs needs) -> Grads {
        Tensor h = s[3], c = s[4];
        if (grad_enabled())
          return differentiate([r](const std::vector<Tensor>& x) { return recurrence_formula(r, x); }, {s[0], s[1], s[2], h, c}, dy, needs);
        Tensor dc = c.defined() ? copy_of(dy[1]) : Tensor();
        return run_backward(r, contiguous_data(dy[0]), dc, {s[5], s[6], s[7]}, s[1], contiguous_data(h),
                            c.defined() ? contiguous_data(c) : c, needs);
      });
}

// -- arguments --------------------------------------------------------------------------------------

// A call's name and input, against which the other arguments are checked.
struct Call {
  const char* op;
  RecurrentCell cell;
  Tensor x;

  int64_t gates() const { return gate_count(cell); }
  void check(const Tensor& t, const std::string& what, const Shape& shape) const {
    if (t.shape() != shape)
      throw ShapeError(std::string(op) + ": " + what + " is " + to_string(t.shape()) + ", it must be " + to_string(shape));
    if (t.dtype() != x.dtype())
      throw DTypeError(std::string(op) + ": " + what + " is " + std::string(name(t.dtype())) + ", x is " + std::string(name(x.dtype())));
    if (t.device() != x.device()) throw DeviceError(std::string(op) + ": " + what + " is on another device than x");
  }
};

Call make_call(const char* op, RecurrentCell cell, const Tensor& x, int rank, const char* form) {
  if (x.rank() != rank) throw ShapeError(std::string(op) + ": x must be " + form + ", it is " + to_string(x.shape()));
  if (!is_floating(x.dtype())) throw DTypeError(std::string(op) + ": x must be floating, it is " + std::string(name(x.dtype())));
  return {op, cell, detail::autocast(x)};
}

// The weights of one layer and direction, checked against the width of what it reads. `where` follows the names in errors.
RecurrentWeights checked_weights(const Call& call, const RecurrentWeights& given, int64_t inputs, int64_t hidden,
                                 const std::string& where) {
  RecurrentWeights w{detail::autocast(given.weight_ih), detail::autocast(given.weight_hh), detail::autocast(given.bias_ih),
                     detail::autocast(given.bias_hh)};
  int64_t rows = call.gates() * hidden;
  call.check(w.weight_hh, "weight_hh" + where, {rows, hidden});
  call.check(w.weight_ih, "weight_ih" + where, {rows, inputs});
  if (w.bias_ih.defined()) call.check(w.bias_ih, "bias_ih" + where, {rows});
  if (w.bias_hh.defined()) call.check(w.bias_hh, "bias_hh" + where, {rows});
  return w;
}

int64_t hidden_size(const Call& call, const RecurrentWeights& w) {
  if (!w.weight_ih.defined() || !w.weight_hh.defined()) throw ShapeError(std::string(call.op) + ": weight_ih and weight_hh must be given");
  if (w.weight_hh.rank() != 2)
    throw ShapeError(std::string(call.op) + ": weight_hh must be [" + std::to_string(call.gates()) + " H, H], it is " +
                     to_string(w.weight_hh.shape()));
  return w.weight_hh.size(1);
}

Tensor checked_state(const Call& call, const Tensor& given, const char* what, const Shape& shape) {
  if (!given.defined()) return zeros(shape, call.x.dtype(), call.x.device());
  Tensor state = detail::autocast(given);
  call.check(state, what, shape);
  return state;
}

// The recurrence of one layer in one direction over input [T, B, ..]. But for a GRU, which multiplies the state's part by r, the two
// biases only ever appear as their sum.
std::vector<Tensor> directed_layer(const Recurrence& r, const Tensor& input, const RecurrentWeights& w, const Tensor& h, const Tensor& c) {
  bool joined = r.cell != RecurrentCell::gru && w.bias_ih.defined() && w.bias_hh.defined();
  Tensor gates_x = linear(input, w.weight_ih, joined ? w.bias_ih + w.bias_hh : w.bias_ih);
  return recurrence(r, gates_x, w.weight_hh, joined ? Tensor() : w.bias_hh, h, c);
}

LstmState run_cell(const char* op, RecurrentCell cell, const Tensor& input, const LstmState& state, const RecurrentWeights& weights) {
  Call call = make_call(op, cell, input, 2, "[B, I]");
  Tensor x = call.x;
  int64_t batch = x.size(0), hidden = hidden_size(call, weights);
  RecurrentWeights w = checked_weights(call, weights, x.size(1), hidden, "");
  Tensor h = checked_state(call, state.h, "h", {batch, hidden}), c;
  if (cell == RecurrentCell::lstm) c = checked_state(call, state.c, "c", {batch, hidden});
  std::vector<Tensor> y = directed_layer({cell, false, {}}, unsqueeze(x, 0), w, h, c);
  return {select(y[0], 0, 0), c.defined() ? y[1] : c};
}

Tensor checked_lengths(const Call& call, const Tensor& lengths, int64_t steps, int64_t batch) {
  if (!lengths.defined()) return lengths;
  if (lengths.dtype() != i64)
    throw DTypeError(std::string(call.op) + ": lengths must be i64, they are " + std::string(name(lengths.dtype())));
  if (lengths.shape() != Shape{batch})
    throw ShapeError(std::string(call.op) + ": lengths are " + to_string(lengths.shape()) + ", they must be " + to_string(Shape{batch}));
  if (lengths.device() != call.x.device()) throw DeviceError(std::string(call.op) + ": lengths are on another device than x");
  for (int64_t n : to_vector<int64_t>(lengths))
    if (n < 0 || n > steps)
      throw ValueError(std::string(call.op) + ": the length " + std::to_string(n) + " is outside [0, " + std::to_string(steps) + "]");
  return copy_of(lengths);  // backward reads them again
}

// -- sequences --------------------------------------------------------------------------------------

std::string place_of(size_t layer, size_t direction, bool bidirectional) {
  return " of layer " + std::to_string(layer) + (!bidirectional ? "" : direction ? " backward" : " forward");
}

struct Sequence {
  Call call;
  bool batch_first;
  size_t layers, directions;
  int64_t steps, batch, hidden;
  std::vector<RecurrentWeights> weights;
  Tensor h, c, lengths;
};

Sequence checked_sequence(const char* op, RecurrentCell cell, const Tensor& x, const std::vector<RecurrentWeights>& weights,
                          const LstmState& initial, const RecurrentOptions& o) {
  Call call = make_call(op, cell, x, 3, o.batch_first ? "[B, T, I]" : "[T, B, I]");
  if (!(o.dropout >= 0 && o.dropout < 1))
    throw ValueError(std::string(op) + ": dropout must lie in [0, 1), it is " + decimal(o.dropout));
  size_t directions = o.bidirectional ? 2 : 1, layers = weights.size() / directions;
  if (layers == 0 || weights.size() % directions != 0)
    throw ValueError(std::string(op) + ": " + std::to_string(weights.size()) + " sets of weights are not a number of layers" +
                     (o.bidirectional ? " in two directions" : ""));
  int64_t hidden = hidden_size(call, weights[0]), steps = x.size(o.batch_first ? 1 : 0), batch = x.size(o.batch_first ? 0 : 1),
          width = x.size(2);
  Sequence s{call, o.batch_first, layers, directions, steps, batch, hidden, {}, {}, {}, {}};
  for (size_t i = 0; i < weights.size(); ++i) {
    hidden_size(call, weights[i]);
    s.weights.push_back(checked_weights(call, weights[i], i < directions ? width : static_cast<int64_t>(directions) * hidden, hidden,
                                        place_of(i / directions, i % directions, o.bidirectional)));
  }
  Shape states{static_cast<int64_t>(weights.size()), batch, hidden};
  s.h = checked_state(call, initial.h, "the initial h", states);
  if (cell == RecurrentCell::lstm) s.c = checked_state(call, initial.c, "the initial c", states);
  s.lengths = checked_lengths(call, o.lengths, steps, batch);
  return s;
}

// [T, B, 1]: the example has not ended at t.
Tensor lasting(const Tensor& lengths, int64_t steps) {
  return unsqueeze(unsqueeze(lengths, 0) > unsqueeze(arange(steps, i64, lengths.device()), 1), 2);
}

LstmResult run_sequence(const Sequence& s, double p) {
  Tensor y = s.batch_first ? transpose(s.call.x, 0, 1) : s.call.x, mask = s.lengths.defined() ? lasting(s.lengths, s.steps) : Tensor();
  std::vector<Tensor> last_h, last_c;
  for (size_t layer = 0; layer < s.layers; ++layer) {
    std::vector<Tensor> outputs;
    for (size_t direction = 0; direction < s.directions; ++direction) {
      auto place = static_cast<int64_t>(last_h.size());
      Recurrence r{s.call.cell, direction == 1, s.lengths};
      Tensor h = select(s.h, 0, place), c = s.c.defined() ? select(s.c, 0, place) : s.c;
      std::vector<Tensor> out = directed_layer(r, y, s.weights[last_h.size()], h, c);
      last_h.push_back(s.steps ? select(out[0], 0, r.time(s.steps - 1, s.steps)) : h);
      if (c.defined()) last_c.push_back(out[1]);
      outputs.push_back(mask.defined() ? where(mask, out[0], 0) : out[0]);
    }
    y = s.directions == 1 ? outputs[0] : cat(outputs, -1);
    if (p > 0 && layer + 1 < s.layers) y = dropout(y, p);
  }
  return {s.batch_first ? transpose(y, 0, 1) : y, stack(last_h), last_c.empty() ? Tensor() : stack(last_c)};
}

RecurrentCell plain_cell(RnnActivation a) { return a == RnnActivation::tanh ? RecurrentCell::rnn_tanh : RecurrentCell::rnn_relu; }

}  // namespace

LstmState lstm_cell(const Tensor& x, const LstmState& state, const RecurrentWeights& weights) {
  return run_cell("lstm_cell", RecurrentCell::lstm, x, state, weights);
}
Tensor gru_cell(const Tensor& x, const Tensor& h, const RecurrentWeights& weights) {
  return run_cell("gru_cell", RecurrentCell::gru, x, {h, {}}, weights).h;
}
Tensor rnn_cell(const Tensor& x, const Tensor& h, const RecurrentWeights& weights, RnnActivation activation) {
  return run_cell("rnn_cell", plain_cell(activation), x, {h, {}}, weights).h;
}

LstmResult lstm(const Tensor& x, const std::vector<RecurrentWeights>& weights, const LstmState& initial, const RecurrentOptions& options) {
  return run_sequence(checked_sequence("lstm", RecurrentCell::lstm, x, weights, initial, options), options.dropout);
}
RecurrentResult gru(const Tensor& x, const std::vector<RecurrentWeights>& weights, const Tensor& initial, const RecurrentOptions& options) {
  LstmResult r = run_sequence(checked_sequence("gru", RecurrentCell::gru, x, weights, {initial, {}}, options), options.dropout);
  return {r.y, r.h};
}
RecurrentResult rnn(const Tensor& x, const std::vector<RecurrentWeights>& weights, const Tensor& initial, const RecurrentOptions& options,
                    RnnActivation activation) {
  LstmResult r = run_sequence(checked_sequence("rnn", plain_cell(activation), x, weights, {initial, {}}, options), options.dropout);
  return {r.y, r.h};
}

}  // namespace plumb
