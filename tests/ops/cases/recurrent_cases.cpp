// Rows of recurrent cells and sequences.
#include "ops/recurrent.h"

#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {
namespace {

InputSpec small(const Shape& shape) { return within(-0.8, 0.8, shape); }

// Weights from four inputs each, starting at x[first].
std::vector<RecurrentWeights> weights_of(const Args& x, size_t first, size_t count) {
  std::vector<RecurrentWeights> w;
  for (size_t i = first; i < first + 4 * count; i += 4) w.push_back({x[i], x[i + 1], x[i + 2], x[i + 3]});
  return w;
}

// Inputs of a layer: weight_ih, weight_hh, bias_ih, bias_hh.
std::vector<InputSpec> layer(int64_t rows, int64_t in, int64_t hidden) {
  return {small({rows, in}), small({rows, hidden}), small({rows}), small({rows})};
}

std::vector<InputSpec> joined(std::vector<InputSpec> a, const std::vector<InputSpec>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

std::vector<OpCase> recurrent_cases() {
  Tensor lengths = tensor({3, 1});
  auto lstm_of = [](const Args& x) {
    LstmResult r = lstm(x[0], weights_of(x, 3, 1), {x[1], x[2]});
    return std::vector<Tensor>{r.y, r.h, r.c};
  };
  auto bidirectional_lstm = [](const Args& x) {
    LstmResult r = lstm(x[0], weights_of(x, 1, 2), {}, {.batch_first = true, .bidirectional = true});
    return std::vector<Tensor>{r.y, r.h, r.c};
  };
  auto uneven_lstm = [](const Args& x) {
    LstmResult r = lstm(x[0], weights_of(x, 4, 2), {x[2], x[3]}, {.bidirectional = true, .lengths = x[1]});
    return std::vector<Tensor>{r.y, r.h, r.c};
  };
  auto deep_gru = [](const Args& x) {
    RecurrentResult r = gru(x[0], weights_of(x, 2, 2), x[1]);
    return std::vector<Tensor>{r.y, r.h};
  };
  auto uneven_gru = [](const Args& x) {
    RecurrentResult r = gru(x[0], weights_of(x, 2, 1), {}, {.lengths = x[1]});
    return std::vector<Tensor>{r.y, r.h};
  };
  auto cell = [](const Args& x) {
    LstmState s = lstm_cell(x[0], {x[1], x[2]}, {x[3], x[4], x[5], x[6]});
    return std::vector<Tensor>{s.h, s.c};
  };
  auto rnn_of = [](const Args& x) { return rnn(x[0], {{x[1], x[2], x[3]}}).y; };
  return {
      {"lstm_cell", joined({real({2, 3}), real({2, 2}), real({2, 2})}, layer(8, 3, 2)), cell},
      {"gru_cell", joined({real({2, 3}), real({2, 2})}, layer(6, 3, 2)),
       [](const Args& x) {
         return gru_cell(x[0], x[1], {x[2], x[3], x[4], x[5]});
       }},
      {"rnn_cell", joined({real({2, 3}), real({2, 2})}, layer(2, 3, 2)),
       [](const Args& x) {
         return rnn_cell(x[0], x[1], {x[2], x[3], x[4], x[5]});
       }},
      {"rnn_cell relu",
       {within(0.2, 1, {2, 3}), within(0.2, 1, {2, 2}), within(0.1, 1, {2, 3}), within(0.1, 1, {2, 2})},
       [](const Args& x) {
         return rnn_cell(x[0], x[1], {x[2], x[3]}, RnnActivation::relu);
       }},
      {"lstm", joined({real({3, 2, 2}), real({1, 2, 2}), real({1, 2, 2})}, layer(8, 2, 2)), lstm_of},
      {"lstm bidirectional", joined(joined({real({2, 2, 2})}, layer(4, 2, 1)), layer(4, 2, 1)), bidirectional_lstm},
      {"lstm lengths", joined(joined({real({3, 2, 2}), fixed(lengths), real({2, 2, 1}), real({2, 2, 1})}, layer(4, 2, 1)), layer(4, 2, 1)),
       uneven_lstm},
      {"gru", joined(joined({real({3, 2, 2}), real({2, 2, 2})}, layer(6, 2, 2)), layer(6, 2, 2)), deep_gru},
      {"gru lengths", joined({real({3, 2, 2}), fixed(lengths)}, layer(6, 2, 2)), uneven_gru},
      {"rnn", {real({3, 2, 2}), small({2, 2}), small({2, 2}), small({2})}, rnn_of},
  };
}

}  // namespace plumb::testing
