// Gates of recurrent cells: what follows the two products of a time step, a thread for each hidden unit of each example.
// Bytes for a unit of an LSTM: forward 10 elements read (8 gate parts, h, c) and 6 written (4 kept, h, c), backward 9 read and 6 written.
// A step of 128 examples with 512 units is 65 536 threads and a few MB, all in L2: bound by the launch, so one kernel a step and direction.
#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "ops/kernels/recurrent.h"
#include "ops/kernels/recurrent_functions.h"

namespace plumb::cuda_backend {
namespace {

// Which unit of which example a thread computes, and where its numbers lie.
struct Unit {
  int64_t row, unit, hidden;
  __device__ Unit(int64_t n, int64_t hidden_) : row(n / hidden_), unit(n % hidden_), hidden(hidden_) {}
  __device__ int64_t state() const { return row * hidden + unit; }
  __device__ int64_t gate(int index, int count) const { return (row * count + index) * hidden + unit; }
};

// What all cells need to know of the step.
struct StepSizes {
  int64_t t, rows, hidden;
  const int64_t* lengths;

  StepSizes(const RecurrentStep& step, const Shape& state)
      : t(step.t), rows(state[0]), hidden(state[1]), lengths(data_or_null<int64_t>(step.lengths)) {}
  int64_t count() const { return rows * hidden; }
  __device__ bool ended(int64_t row) const { return lengths && t >= lengths[row]; }
};

// -- forward ----------------------------------------------------------------------------------------

template <typename S>
struct Forward {
  const S *gates_x, *gates_h, *h, *c;
  S *kept, *h_next, *c_next;

  __device__ compute_t<S> sum(int64_t at) const { return load(gates_x[at]) + load(gates_h[at]); }
  __device__ void keep(const Unit& u, int index, compute_t<S> value) const {
    if (kept) kept[u.gate(index, 4)] = static_cast<S>(value);
  }
  __device__ void lstm(const Unit& u) const {
    compute_t<S> gates[4], state = load(c[u.state()]);
#pragma unroll
    for (int q = 0; q < 4; ++q) gates[q] = sum(u.gate(q, 4));
    const compute_t<S> out = recurrent_functions::lstm(gates[0], gates[1], gates[2], gates[3], state);
#pragma unroll
    for (int q = 0; q < 4; ++q) keep(u, q, gates[q]);
    c_next[u.state()] = static_cast<S>(state);
    h_next[u.state()] = static_cast<S>(out);
  }
  __device__ void gru(const Unit& u) const {
    compute_t<S> r = sum(u.gate(0, 3)), z = sum(u.gate(1, 3)), n = load(gates_x[u.gate(2, 3)]), m = load(gates_h[u.gate(2, 3)]);
    const compute_t<S> out = recurrent_functions::gru(r, z, n, m, load(h[u.state()]));
    keep(u, 0, r);
    keep(u, 1, z);
    keep(u, 2, n);
    keep(u, 3, m);
    h_next[u.state()] = static_cast<S>(out);
  }
};

template <typename S>
__global__ void recurrent_forward(RecurrentCell cell, StepSizes step, Forward<S> f) {
  for (int64_t n = thread_index(); n < step.rows * step.hidden; n += grid_threads()) {
    const Unit u(n, step.hidden);
    if (step.ended(u.row)) {
      f.h_next[n] = f.h[n];
      if (f.c) f.c_next[n] = f.c[n];
    } else if (cell == RecurrentCell::lstm) {
      f.lstm(u);
    } else if (cell == RecurrentCell::gru) {
      f.gru(u);
    } else {
      f.h_next[n] = static_cast<S>(recurrent_functions::rnn(f.sum(n), cell == RecurrentCell::rnn_tanh));
    }
  }
}

void recurrent_step(const RecurrentStep& step, const Tensor& gates_x, const Tensor& gates_h, const Tensor& h, const Tensor& c, Tensor& kept,
                    Tensor& h_next, Tensor& c_next) {
  const StepSizes sizes(step, h.shape());
  visit_floating("recurrent_step", h.dtype(), [&]<typename S>() {
    const Forward<S> f{gates_x.data<S>(), gates_h.data<S>(),      h.data<S>(), data_or_null<S>(c), data_or_null<S>(kept),
                       h_next.data<S>(),  data_or_null<S>(c_next)};
    launch(recurrent_forward<S>, grid_for(sizes.count()), step.cell, sizes, f);
  });
}

// -- backward ---------------------------------------------------------------------------------------

template <typename S>
struct Backward {
  const S *kept, *h, *h_next, *c, *c_next, *dy;
  S *dh, *dc, *dgates_x, *dgates_h;

  __device__ compute_t<S> of_next(const Unit& u) const { return load(dh[u.state()]) + load(dy[u.state()]); }
  __device__ void lstm(const Unit& u) const {
    compute_t<S> gates[4], carried = load(dc[u.state()]);
#pragma unroll
    for (int q = 0; q < 4; ++q) gates[q] = load(kept[u.gate(q, 4)]);
    recurrent_functions::lstm_backward(gates[0], gates[1], gates[2], gates[3], load(c[u.state()]), load(c_next[u.state()]), of_next(u),
                                       carried);
#pragma unroll
    for (int q = 0; q < 4; ++q) dgates_x[u.gate(q, 4)] = static_cast<S>(gates[q]);
    dc[u.state()] = static_cast<S>(carried);
    dh[u.state()] = static_cast<S>(0.0f);
  }
  __device__ void gru(const Unit& u) const {
    compute_t<S> r = load(kept[u.gate(0, 4)]), z = load(kept[u.gate(1, 4)]), n = load(kept[u.gate(2, 4)]), m = load(kept[u.gate(3, 4)]);
    const compute_t<S> direct = recurrent_functions::gru_backward(r, z, n, m, load(h[u.state()]), of_next(u));
    const compute_t<S> of_x[] = {r, z, n}, of_h[] = {r, z, m};
#pragma unroll
    for (int q = 0; q < 3; ++q) dgates_x[u.gate(q, 3)] = static_cast<S>(of_x[q]), dgates_h[u.gate(q, 3)] = static_cast<S>(of_h[q]);
    dh[u.state()] = static_cast<S>(direct);
  }
  __device__ void rnn(const Unit& u, bool tanh) const {
    dgates_x[u.state()] = static_cast<S>(recurrent_functions::rnn_backward(load(h_next[u.state()]), of_next(u), tanh));
    dh[u.state()] = static_cast<S>(0.0f);
  }
  // The state passes through, and with it its gradient.
  __device__ void pass(const Unit& u, int gates) const {
    dh[u.state()] = static_cast<S>(of_next(u));
    for (int q = 0; q < gates; ++q) dgates_x[u.gate(q, gates)] = dgates_h[u.gate(q, gates)] = static_cast<S>(0.0f);
  }
};

template <typename S>
__global__ void recurrent_backward(RecurrentCell cell, int gates, StepSizes step, Backward<S> f) {
  for (int64_t n = thread_index(); n < step.rows * step.hidden; n += grid_threads()) {
    const Unit u(n, step.hidden);
    if (step.ended(u.row))
      f.pass(u, gates);
    else if (cell == RecurrentCell::lstm)
      f.lstm(u);
    else if (cell == RecurrentCell::gru)
      f.gru(u);
    else
      f.rnn(u, cell == RecurrentCell::rnn_tanh);
  }
}

void recurrent_step_backward(const RecurrentStep& step, const Tensor& kept, const Tensor& h, const Tensor& h_next, const Tensor& c,
                             const Tensor& c_next, const Tensor& dy, Tensor& dh, Tensor& dc, Tensor& dgates_x, Tensor& dgates_h) {
  const StepSizes sizes(step, h.shape());
  visit_floating("recurrent_step", h.dtype(), [&]<typename S>() {
    const Backward<S> f{data_or_null<S>(kept), h.data<S>(),  h_next.data<S>(),    data_or_null<S>(c), data_or_null<S>(c_next),
                        dy.data<S>(),          dh.data<S>(), data_or_null<S>(dc), dgates_x.data<S>(), dgates_h.data<S>()};
    launch(recurrent_backward<S>, grid_for(sizes.count()), step.cell, static_cast<int>(gate_count(step.cell)), sizes, f);
  });
}

}  // namespace

void register_recurrent() {
  kernel::recurrent_step.set(DeviceType::cuda, recurrent_step);
  kernel::recurrent_step_backward.set(DeviceType::cuda, recurrent_step_backward);
}

}  // namespace plumb::cuda_backend
