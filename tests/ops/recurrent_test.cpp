// Recurrent cells and sequences: values against plain loops, and how sequences are put together.
#include "ops/recurrent.h"

#include <doctest/doctest.h>

#include <array>

#include "engine/autograd/autocast.h"
#include "engine/core/parallel.h"
#include "ops/dropout.h"
#include "ops/join.h"
#include "ops/kernels/recurrent.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

using Numbers = std::vector<double>;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

RecurrentWeights drawn(RecurrentCell cell, int64_t in, int64_t hidden, uint64_t seed, DType t = f64) {
  int64_t rows = gate_count(cell) * hidden;
  return {sample({rows, in}, seed, t, -0.7, 0.7), sample({rows, hidden}, seed + 1, t, -0.7, 0.7), sample({rows}, seed + 2, t, -0.7, 0.7),
          sample({rows}, seed + 3, t, -0.7, 0.7)};
}

// One example's step in plain numbers; h and c are replaced.
struct ReferenceCell {
  RecurrentCell cell;
  size_t in, hidden;
  Numbers w_ih, w_hh, b_ih, b_hh;

  ReferenceCell(RecurrentCell cell, const RecurrentWeights& w)
      : cell(cell),
        in(static_cast<size_t>(w.weight_ih.size(1))),
        hidden(static_cast<size_t>(w.weight_hh.size(1))),
        w_ih(to_vector(w.weight_ih)),
        w_hh(to_vector(w.weight_hh)) {
    Numbers none(w_hh.size() / hidden);
    b_ih = w.bias_ih.defined() ? to_vector(w.bias_ih) : none;
    b_hh = w.bias_hh.defined() ? to_vector(w.bias_hh) : none;
  }
  double of_x(const double* x, size_t row) const {
    double sum = b_ih[row];
    for (size_t k = 0; k < in; ++k) sum += w_ih[row * in + k] * x[k];
    return sum;
  }
  double of_h(const Numbers& h, size_t row) const {
    double sum = b_hh[row];
    for (size_t k = 0; k < hidden; ++k) sum += w_hh[row * hidden + k] * h[k];
    return sum;
  }
  void step(const double* x, Numbers& h, Numbers& c) const {
    Numbers next(hidden);
    for (size_t j = 0; j < hidden; ++j) {
      auto gate = [&](size_t q) { return of_x(x, q * hidden + j) + of_h(h, q * hidden + j); };
      if (cell == RecurrentCell::lstm) {
        c[j] = logistic(gate(1)) * c[j] + logistic(gate(0)) * std::tanh(gate(2));
        next[j] = logistic(gate(3)) * std::tanh(c[j]);
      } else if (cell == RecurrentCell::gru) {
        double r = logistic(gate(0)), z = logistic(gate(1)), n = std::tanh(of_x(x, 2 * hidden + j) + r * of_h(h, 2 * hidden + j));
        next[j] = (1 - z) * n + z * h[j];
      } else {
        next[j] = cell == RecurrentCell::rnn_tanh ? std::tanh(gate(0)) : std::max(0.0, gate(0));
      }
    }
    h = next;
  }
};

struct ReferenceResult {
  Tensor y, h, c;  // [T, B, H], [B, H], [B, H]
};

// One layer in one direction over x [T, B, I] from h, c [B, H]; an example only has its first lengths[b] steps.
ReferenceResult reference(RecurrentCell cell, const Tensor& x, const RecurrentWeights& w, const Tensor& h0, const Tensor& c0,
                          bool reverse = false, std::vector<int64_t> lengths = {}) {
  ReferenceCell one(cell, w);
  auto steps = static_cast<size_t>(x.size(0)), batch = static_cast<size_t>(x.size(1)), in = one.in, hidden = one.hidden;
  Numbers input = to_vector(x), hs = to_vector(h0), cs = to_vector(c0), y(steps * batch * hidden);
  for (size_t b = 0; b < batch; ++b) {
    auto from = static_cast<ptrdiff_t>(b * hidden), to = static_cast<ptrdiff_t>((b + 1) * hidden);
    Numbers h(hs.begin() + from, hs.begin() + to), c(cs.begin() + from, cs.begin() + to);
    size_t length = lengths.empty() ? steps : static_cast<size_t>(lengths[b]);
    for (size_t s = 0; s < length; ++s) {
      size_t t = reverse ? length - 1 - s : s;
      one.step(input.data() + (t * batch + b) * in, h, c);
      std::copy(h.begin(), h.end(), y.begin() + static_cast<ptrdiff_t>((t * batch + b) * hidden));
    }
    std::copy(h.begin(), h.end(), hs.begin() + from);
    std::copy(c.begin(), c.end(), cs.begin() + from);
  }
  return {from_vector(y, {x.size(0), x.size(1), static_cast<int64_t>(hidden)}), from_vector(hs, h0.shape()), from_vector(cs, c0.shape())};
}

LstmResult run(RecurrentCell cell, const Tensor& x, const std::vector<RecurrentWeights>& w, const Tensor& h, const Tensor& c,
               const RecurrentOptions& o = {}) {
  if (cell == RecurrentCell::lstm) return lstm(x, w, {h, c}, o);
  RecurrentResult r = cell == RecurrentCell::gru
                          ? gru(x, w, h, o)
                          : rnn(x, w, h, o, cell == RecurrentCell::rnn_tanh ? RnnActivation::tanh : RnnActivation::relu);
  return {r.y, r.h, c};
}

Tensor with_gaps(const Tensor& vector) { return select(strided(stack({vector, vector})), 0, 0); }

constexpr std::array kCells{RecurrentCell::lstm, RecurrentCell::gru, RecurrentCell::rnn_tanh, RecurrentCell::rnn_relu};

}  // namespace

TEST_CASE("recurrent: sequences against plain loops, in every floating type and any strides") {
  for (RecurrentCell cell : kCells)
    for (auto [type, tolerance] : {std::pair{f64, 1e-14}, std::pair{f32, 3e-6}, std::pair{f16, 1e-2}, std::pair{bf16, 8e-2}})
      for (int64_t hidden : {1, 5, 67}) {
        Tensor x = sample({6, 3, 4}, 1, type), h = sample({1, 3, hidden}, 2, type, -1, 1), c = sample({1, 3, hidden}, 3, type, -1, 1);
        RecurrentWeights w = drawn(cell, 4, hidden, 10, type);
        for (Tensor* t : {&w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh}) *t = to(*t * (hidden == 67 ? 0.3 : 1), type);
        ReferenceResult expected = reference(cell, x, w, select(h, 0, 0), select(c, 0, 0));
        LstmResult got = run(cell, x, {w}, h, c);
        CHECK(got.y.dtype() == type);
        CHECK(difference(got.y, expected.y) < tolerance);
        CHECK(difference(got.h, unsqueeze(expected.h, 0)) < tolerance);
        if (cell == RecurrentCell::lstm) CHECK(difference(got.c, unsqueeze(expected.c, 0)) < tolerance);
        RecurrentWeights other{strided(w.weight_ih), strided(w.weight_hh), with_gaps(w.bias_ih), with_gaps(w.bias_hh)};
        LstmResult again = run(cell, strided(x), {other}, strided(h), strided(c));
        CHECK(difference(again.y, got.y) < tolerance);
      }
}

TEST_CASE("recurrent: cells repeated are the sequence") {
  Tensor x = sample({5, 2, 3}, 1);
  RecurrentWeights of_lstm = drawn(RecurrentCell::lstm, 3, 4, 10), of_gru = drawn(RecurrentCell::gru, 3, 4, 20),
                   plain = drawn(RecurrentCell::rnn_relu, 3, 4, 30);
  LstmState s;
  Tensor g, p;
  std::vector<Tensor> ys, gs, ps;
  for (int64_t t = 0; t < 5; ++t) {
    s = lstm_cell(select(x, 0, t), s, of_lstm);
    g = gru_cell(select(x, 0, t), g, of_gru);
    p = rnn_cell(select(x, 0, t), p, plain, RnnActivation::relu);
    ys.push_back(s.h), gs.push_back(g), ps.push_back(p);
  }
  LstmResult all = lstm(x, {of_lstm});
  CHECK(difference(all.y, stack(ys)) < 1e-14);
  CHECK(difference(all.c, unsqueeze(s.c, 0)) < 1e-14);
  CHECK(difference(gru(x, {of_gru}).y, stack(gs)) < 1e-14);
  CHECK(difference(rnn(x, {plain}, {}, {}, RnnActivation::relu).y, stack(ps)) < 1e-14);
}

TEST_CASE("recurrent: two layers in two directions, batch first or not, with and without biases") {
  for (RecurrentCell cell : kCells) {
    std::vector<RecurrentWeights> w;
    for (uint64_t i = 0; i < 4; ++i) w.push_back(drawn(cell, i < 2 ? 3 : 10, 5, 10 * i));
    w[1].bias_ih = Tensor();
    w[2].bias_hh = Tensor();
    Tensor x = sample({4, 2, 3}, 1), h = sample({4, 2, 5}, 2), c = sample({4, 2, 5}, 3), input = x;
    std::vector<Tensor> hs, cs;
    for (size_t layer = 0; layer < 2; ++layer) {
      std::vector<Tensor> ys;
      for (size_t d = 0; d < 2; ++d) {
        size_t i = 2 * layer + d;
        ReferenceResult r =
            reference(cell, input, w[i], select(h, 0, static_cast<int64_t>(i)), select(c, 0, static_cast<int64_t>(i)), d == 1);
        ys.push_back(r.y), hs.push_back(r.h), cs.push_back(r.c);
      }
      input = cat(ys, -1);
    }
    LstmResult got = run(cell, x, w, h, c, {.bidirectional = true});
    CHECK(difference(got.y, input) < 1e-13);
    CHECK(difference(got.h, stack(hs)) < 1e-13);
    if (cell == RecurrentCell::lstm) CHECK(difference(got.c, stack(cs)) < 1e-13);
    LstmResult swapped = run(cell, transpose(x, 0, 1), w, h, c, {.batch_first = true, .bidirectional = true});
    CHECK(difference(swapped.y, transpose(input, 0, 1)) < 1e-13);
    CHECK(difference(swapped.h, stack(hs)) < 1e-13);
  }
}

TEST_CASE("recurrent: with lengths every example is computed as if alone") {
  std::vector<int64_t> lengths{2, 5, 0, 4};
  for (RecurrentCell cell : kCells) {
    RecurrentWeights forward = drawn(cell, 3, 4, 10), backward = drawn(cell, 3, 4, 20);
    Tensor x = sample({5, 4, 3}, 1), h = sample({2, 4, 4}, 2), c = sample({2, 4, 4}, 3);
    ReferenceResult a = reference(cell, x, forward, select(h, 0, 0), select(c, 0, 0), false, lengths),
                    b = reference(cell, x, backward, select(h, 0, 1), select(c, 0, 1), true, lengths);
    LstmResult got = run(cell, x, {forward, backward}, h, c, {.bidirectional = true, .lengths = from_vector(lengths)});
    CHECK(difference(got.y, cat({a.y, b.y}, -1)) < 1e-14);
    CHECK(difference(got.h, stack({a.h, b.h})) < 1e-14);
    if (cell == RecurrentCell::lstm) CHECK(difference(got.c, stack({a.c, b.c})) < 1e-14);
  }
}

TEST_CASE("recurrent: the fused gradient equals the formula's, and that of differences") {
  for (RecurrentCell cell : kCells)
    for (auto [type, tolerance] : {std::pair{f64, 1e-13}, std::pair{f32, 2e-5}}) {
      RecurrentWeights w = drawn(cell, 3, 70, 10, type);
      w.weight_hh = w.weight_hh * 0.3;
      std::vector<Tensor> inputs{sample({4, 3, 3}, 1, type), w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh, sample({1, 3, 70}, 2, type),
                                 sample({1, 3, 70}, 3, type)};
      if (cell != RecurrentCell::lstm) inputs.pop_back();
      for (Tensor& t : inputs) t = t.detach().requires_grad_();
      LstmResult r = run(cell, inputs[0], {{inputs[1], inputs[2], inputs[3], inputs[4]}}, inputs[5],
                         cell == RecurrentCell::lstm ? inputs[6] : Tensor(), {.lengths = tensor({4, 2, 3})});
      Tensor all = cat({reshape(r.y, {-1}), reshape(r.h, {-1})});
      if (r.c.defined()) all = cat({all, reshape(r.c, {-1})});
      auto fused = gradients(all, inputs, false), formula = gradients(all, inputs, true);
      for (size_t i = 0; i < inputs.size(); ++i) CHECK(difference(fused[i], formula[i]) < tolerance);
    }
  RecurrentWeights w = drawn(RecurrentCell::lstm, 2, 3, 10);
  CHECK(derivative_error([&](const Tensor& x) { return lstm(x, {w}).y; }, sample({3, 2, 2}, 1)) < 1e-7);
  CHECK(derivative_error(
            [&](const Tensor& v) {
              return lstm(sample({3, 2, 2}, 1), {{w.weight_ih, v, w.bias_ih, w.bias_hh}}, {}, {.lengths = tensor({1, 3})}).c;
            },
            w.weight_hh) < 1e-7);
}

TEST_CASE("recurrent: batches and sequences of size zero") {
  RecurrentWeights w = drawn(RecurrentCell::lstm, 3, 4, 10), g = drawn(RecurrentCell::gru, 3, 4, 20);
  for (Tensor* t : {&w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh}) t->requires_grad_();
  LstmResult none = lstm(zeros({5, 0, 3}, f64), {w});
  CHECK(none.y.shape() == Shape{5, 0, 4});
  CHECK(none.h.shape() == Shape{1, 0, 4});
  for (bool graph : {false, true})
    for (const Tensor& d : gradients(none.y, {w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh}, graph))
      CHECK(to_vector(d) == Numbers(static_cast<size_t>(d.numel())));
  CHECK(lstm_cell(zeros({0, 3}, f64), {}, w).c.shape() == Shape{0, 4});
  Tensor h = sample({1, 2, 4}, 1).requires_grad_(), c = sample({1, 2, 4}, 2);
  LstmResult still = lstm(zeros({0, 2, 3}, f64), {w}, {h, c});
  CHECK(still.y.shape() == Shape{0, 2, 4});
  CHECK(to_vector(still.h) == to_vector(h));
  CHECK(to_vector(still.c) == to_vector(c));
  CHECK(to_vector(gradients(still.h, {h}, false)[0]) == to_vector(sample({1, 2, 4}, 99)));
  CHECK(to_vector(gru(zeros({0, 2, 3}, f64), {g}, h).h) == to_vector(h));
}

TEST_CASE("recurrent: dropout falls between layers only") {
  RecurrentWeights first = drawn(RecurrentCell::gru, 3, 8, 10), second = drawn(RecurrentCell::gru, 8, 8, 20);
  Tensor x = sample({5, 6, 3}, 1);
  CHECK(to_vector(gru(x, {first}, {}, {.dropout = 0.5}).y) == to_vector(gru(x, {first}).y));
  manual_seed(7);
  RecurrentResult dropped = gru(x, {first, second}, {}, {.dropout = 0.5});
  manual_seed(7);
  RecurrentResult below = gru(x, {first}), above = gru(dropout(below.y, 0.5), {second});
  CHECK(to_vector(dropped.y) == to_vector(above.y));
  CHECK(to_vector(dropped.h) == to_vector(cat({below.h, above.h})));
}

TEST_CASE("recurrent: the same bits with 1, 2 and 3 threads") {
  int before = num_threads();
  for (RecurrentCell cell : kCells) {
    RecurrentWeights w = drawn(cell, 33, 130, 10, f32);
    std::vector<Tensor> inputs{sample({7, 19, 33}, 1, f32), w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh}, first;
    for (Tensor& t : inputs) t = (t * 0.3).detach().requires_grad_();
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      LstmResult r = run(cell, inputs[0], {{inputs[1], inputs[2], inputs[3], inputs[4]}}, {}, {});
      auto result = gradients(r.y, inputs, false);
      result.push_back(r.y);
      result.push_back(r.h);
      if (first.empty()) first = result;
      for (size_t i = 0; i < result.size(); ++i) CHECK(same_bits(result[i], first[i]));
    }
  }
  set_num_threads(before);
}

TEST_CASE("recurrent: under autocast the sequence is computed in 16 bits and gradients come back in f32") {
  RecurrentWeights w = drawn(RecurrentCell::lstm, 3, 4, 10, f32);
  w.weight_hh.requires_grad_();
  Tensor x = sample({4, 2, 3}, 1, f32), y;
  {
    Autocast half(bf16);
    y = lstm(x, {w}).y;
  }
  CHECK(y.dtype() == bf16);
  CHECK(difference(y, lstm(x, {w}).y) < 3e-2);
  CHECK(gradients(y, {w.weight_hh}, false)[0].dtype() == f32);
}

TEST_CASE("recurrent: what does not fit is named") {
  Tensor x = zeros({5, 2, 3});
  RecurrentWeights w{zeros({16, 3}), zeros({16, 4}), zeros({16}), zeros({16})}, deep{zeros({16, 4}), zeros({16, 4})};
  CHECK_THROWS_WITH_AS(lstm(zeros({5, 3}), {w}), "lstm: x must be [T, B, I], it is [5, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm_cell(x, {}, w), "lstm_cell: x must be [B, I], it is [5, 2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(zeros({5, 2, 7}), {w}), "lstm: weight_ih of layer 0 is [16, 3], it must be [16, 7]", ShapeError);
  CHECK_THROWS_WITH_AS(gru(x, {w}), "gru: weight_hh of layer 0 is [16, 4], it must be [12, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {w, w, deep, deep}, {}, {.bidirectional = true}),
                       "lstm: weight_ih of layer 1 forward is [16, 4], it must be [16, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {{w.weight_ih, w.weight_hh, zeros({4})}}), "lstm: bias_ih of layer 0 is [4], it must be [16]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {{Tensor(), w.weight_hh}}), "lstm: weight_ih and weight_hh must be given", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {{w.weight_ih, zeros({16})}}), "lstm: weight_hh must be [4 H, H], it is [16]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {zeros({1, 2, 5}), {}}), "lstm: the initial h is [1, 2, 5], it must be [1, 2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {{}, zeros({2, 4})}), "lstm: the initial c is [2, 4], it must be [1, 2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {w, w, w}, {}, {.bidirectional = true}),
                       "lstm: 3 sets of weights are not a number of layers in two directions", ValueError);
  CHECK_THROWS_WITH_AS(lstm(x, {}), "lstm: 0 sets of weights are not a number of layers", ValueError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {}, {.dropout = 1}), "lstm: dropout must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {}, {.lengths = tensor({1, 6})}), "lstm: the length 6 is outside [0, 5]", ValueError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {}, {.lengths = tensor({1, 2, 3})}), "lstm: lengths are [3], they must be [2]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {w}, {}, {.lengths = tensor({1.0, 2.0})}), "lstm: lengths must be i64, they are f32", DTypeError);
  CHECK_THROWS_WITH_AS(lstm(zeros({5, 2, 3}, f64), {w}), "lstm: weight_hh of layer 0 is f32, x is f64", DTypeError);
  CHECK_THROWS_WITH_AS(lstm(zeros({5, 2, 3}, i64), {w}), "lstm: x must be floating, it is i64", DTypeError);
  CHECK_THROWS_WITH_AS(lstm_cell(zeros({2, 3}), {zeros({2, 4}), zeros({1, 4})}, w), "lstm_cell: c is [1, 4], it must be [2, 4]",
                       ShapeError);
}
