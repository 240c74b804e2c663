// Gates of recurrent cells on the CPU. The work is cut into stretches of a row; each is loaded into arrays on the stack, computed there by
// loops that vectorise, and stored, so 16-bit types are computed in f32. Bound: the transcendental functions.
#include "ops/kernels/recurrent.h"

#include <algorithm>

#include "engine/core/parallel.h"
#include "ops/kernels/recurrent_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kStretch = 64;      // hidden units computed at a time
constexpr int64_t kStretchGrain = 8;  // stretches a thread should have at least

template <typename S>
const S* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<S>() : nullptr;
}
template <typename S>
S* data_or_null(Tensor& t) {
  return t.defined() ? t.data<S>() : nullptr;
}

// One number for each unit of a stretch.
template <typename S>
struct Stretch {
  using C = compute_t<S>;
  C values[kStretch];

  C operator[](int64_t k) const { return values[k]; }
  C& operator[](int64_t k) { return values[k]; }
  void load(const S* from, int64_t n) {
    for (int64_t k = 0; k < n; ++k) values[k] = static_cast<C>(from[k]);
  }
  void load_sum(const S* a, const S* b, int64_t n) {
    for (int64_t k = 0; k < n; ++k) values[k] = static_cast<C>(a[k]) + static_cast<C>(b[k]);
  }
  void store(S* to, int64_t n) const {
    for (int64_t k = 0; k < n; ++k) to[k] = static_cast<S>(values[k]);
  }
};

// Units [unit, unit + n) of example `row`.
struct Place {
  int64_t row, hidden, unit, n;
  int64_t state() const { return row * hidden + unit; }
  int64_t gate(int64_t index, int64_t count) const { return (row * count + index) * hidden + unit; }
};

// f(place) for every stretch of the state; frozen(place) instead where the example has ended.
template <typename F, typename Frozen>
void for_stretches(const RecurrentStep& step, const Shape& state, F&& f, Frozen&& frozen) {
  int64_t rows = state[0], hidden = state[1], stretches = (hidden + kStretch - 1) / kStretch;
  const int64_t* lengths = data_or_null<int64_t>(step.lengths);
  parallel_for(rows * stretches, kStretchGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Place p{i / stretches, hidden, i % stretches * kStretch, 0};
      p.n = std::min(kStretch, hidden - p.unit);
      if (lengths && step.t >= lengths[p.row])
        frozen(p);
      else
        f(p);
    }
  });
}

// -- forward ----------------------------------------------------------------------------------------

template <typename S>
struct Forward {
  const S *gates_x, *gates_h, *h, *c;
  S *kept, *h_next, *c_next;

  void operator()(RecurrentCell cell, const Place& p) const {
    if (cell == RecurrentCell::lstm)
      lstm(p);
    else if (cell == RecurrentCell::gru)
      gru(p);
    else
      rnn(p, cell == RecurrentCell::rnn_tanh);
  }
  void freeze(const Place& p) const {
    std::copy_n(h + p.state(), p.n, h_next + p.state());
    if (c) std::copy_n(c + p.state(), p.n, c_next + p.state());
  }

 private:
  void lstm(const Place& p) const {
    Stretch<S> i, f, g, o, state, out;
    Stretch<S>* gates[] = {&i, &f, &g, &o};
    for (int64_t q = 0; q < 4; ++q) gates[q]->load_sum(gates_x + p.gate(q, 4), gates_h + p.gate(q, 4), p.n);
    state.load(c + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) out[k] = recurrent_functions::lstm(i[k], f[k], g[k], o[k], state[k]);
    for (int64_t q = 0; kept && q < 4; ++q) gates[q]->store(kept + p.gate(q, 4), p.n);
    state.store(c_next + p.state(), p.n);
    out.store(h_next + p.state(), p.n);
  }

  void gru(const Place& p) const {
    Stretch<S> r, z, n, m, state;
    r.load_sum(gates_x + p.gate(0, 3), gates_h + p.gate(0, 3), p.n);
    z.load_sum(gates_x + p.gate(1, 3), gates_h + p.gate(1, 3), p.n);
    n.load(gates_x + p.gate(2, 3), p.n);
    m.load(gates_h + p.gate(2, 3), p.n);
    state.load(h + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) state[k] = recurrent_functions::gru(r[k], z[k], n[k], m[k], state[k]);
    const Stretch<S>* all[] = {&r, &z, &n, &m};
    for (int64_t q = 0; kept && q < 4; ++q) all[q]->store(kept + p.gate(q, 4), p.n);
    state.store(h_next + p.state(), p.n);
  }

  void rnn(const Place& p, bool tanh) const {
    Stretch<S> a;
    a.load_sum(gates_x + p.state(), gates_h + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) a[k] = recurrent_functions::rnn(a[k], tanh);
    a.store(h_next + p.state(), p.n);
  }
};

void recurrent_step(const RecurrentStep& step, const Tensor& gates_x, const Tensor& gates_h, const Tensor& h, const Tensor& c, Tensor& kept,
                    Tensor& h_next, Tensor& c_next) {
  visit_floating("recurrent_step", h.dtype(), [&]<typename S>() {
    Forward<S> forward{gates_x.data<S>(), gates_h.data<S>(),      h.data<S>(), data_or_null<S>(c), data_or_null<S>(kept),
                       h_next.data<S>(),  data_or_null<S>(c_next)};
    for_stretches(
        step, h.shape(), [&](const Place& p) { forward(step.cell, p); }, [&](const Place& p) { forward.freeze(p); });
  });
}

// -- backward ---------------------------------------------------------------------------------------

template <typename S>
struct Backward {
  const S *kept, *h, *h_next, *c, *c_next, *dy;
  S *dh, *dc, *dgates_x, *dgates_h;

  void operator()(RecurrentCell cell, const Place& p) const {
    Stretch<S> d;  // of h'
    d.load_sum(dh + p.state(), dy + p.state(), p.n);
    if (cell == RecurrentCell::lstm)
      lstm(p, d);
    else if (cell == RecurrentCell::gru)
      gru(p, d);
    else
      rnn(p, d, cell == RecurrentCell::rnn_tanh);
  }
  // The state passes through, and with it its gradient.
  void freeze(const Place& p, int64_t gates) const {
    Stretch<S> d;
    d.load_sum(dh + p.state(), dy + p.state(), p.n);
    d.store(dh + p.state(), p.n);
    for (int64_t q = 0; q < gates; ++q) {
      std::fill_n(dgates_x + p.gate(q, gates), p.n, S(0));
      std::fill_n(dgates_h + p.gate(q, gates), p.n, S(0));
    }
  }

 private:
  void lstm(const Place& p, const Stretch<S>& d) const {
    Stretch<S> i, f, g, o, before, after, carried;
    Stretch<S>* gates[] = {&i, &f, &g, &o};
    for (int64_t q = 0; q < 4; ++q) gates[q]->load(kept + p.gate(q, 4), p.n);
    before.load(c + p.state(), p.n);
    after.load(c_next + p.state(), p.n);
    carried.load(dc + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) recurrent_functions::lstm_backward(i[k], f[k], g[k], o[k], before[k], after[k], d[k], carried[k]);
    for (int64_t q = 0; q < 4; ++q) gates[q]->store(dgates_x + p.gate(q, 4), p.n);
    carried.store(dc + p.state(), p.n);
    std::fill_n(dh + p.state(), p.n, S(0));
  }

  void gru(const Place& p, const Stretch<S>& d) const {
    Stretch<S> r, z, n, m, before, direct;
    Stretch<S>* all[] = {&r, &z, &n, &m};
    for (int64_t q = 0; q < 4; ++q) all[q]->load(kept + p.gate(q, 4), p.n);
    before.load(h + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) direct[k] = recurrent_functions::gru_backward(r[k], z[k], n[k], m[k], before[k], d[k]);
    const Stretch<S>* of_x[] = {&r, &z, &n};
    const Stretch<S>* of_h[] = {&r, &z, &m};
    for (int64_t q = 0; q < 3; ++q) {
      of_x[q]->store(dgates_x + p.gate(q, 3), p.n);
      of_h[q]->store(dgates_h + p.gate(q, 3), p.n);
    }
    direct.store(dh + p.state(), p.n);
  }

  void rnn(const Place& p, Stretch<S>& d, bool tanh) const {
    Stretch<S> y;
    y.load(h_next + p.state(), p.n);
    for (int64_t k = 0; k < p.n; ++k) d[k] = recurrent_functions::rnn_backward(y[k], d[k], tanh);
    d.store(dgates_x + p.state(), p.n);
    std::fill_n(dh + p.state(), p.n, S(0));
  }
};

void recurrent_step_backward(const RecurrentStep& step, const Tensor& kept, const Tensor& h, const Tensor& h_next, const Tensor& c,
                             const Tensor& c_next, const Tensor& dy, Tensor& dh, Tensor& dc, Tensor& dgates_x, Tensor& dgates_h) {
  visit_floating("recurrent_step", h.dtype(), [&]<typename S>() {
    Backward<S> backward{data_or_null<S>(kept), h.data<S>(),  h_next.data<S>(),    data_or_null<S>(c), data_or_null<S>(c_next),
                         dy.data<S>(),          dh.data<S>(), data_or_null<S>(dc), dgates_x.data<S>(), dgates_h.data<S>()};
    int64_t gates = gate_count(step.cell);
    for_stretches(
        step, h.shape(), [&](const Place& p) { backward(step.cell, p); }, [&](const Place& p) { backward.freeze(p, gates); });
  });
}

}  // namespace

void register_recurrent() {
  kernel::recurrent_step.set(DeviceType::cpu, recurrent_step);
  kernel::recurrent_step_backward.set(DeviceType::cpu, recurrent_step_backward);
}

}  // namespace plumb::cpu_kernels
