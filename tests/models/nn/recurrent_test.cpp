// Recurrent layers: names, start, copies, modes, learning.
#include "models/nn/recurrent.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "models/nn/init.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using Names = std::vector<std::string>;

namespace {

Names names_of(const nn::Module& m) {
  Names names;
  for (auto& p : m.named_parameters()) names.push_back(p.name);
  return names;
}

Tensor wave(const Shape& shape) {
  std::vector<float> v(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i)));
  return from_vector(v, shape);
}

struct Tagger : nn::Module {
  nn::LSTM rnn{this, "rnn", 2, 8, {.batch_first = true}};
  nn::Linear head{this, "head", 8, 2};
  Tensor operator()(const Tensor& x) const { return head(rnn(x).y); }
};

}  // namespace

TEST_CASE("recurrent layers: names and shapes are PyTorch's") {
  nn::LSTM lstm(3, 5, {.num_layers = 2, .bidirectional = true});
  CHECK(names_of(lstm) == Names{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse",
                                "bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_ih_l1", "weight_hh_l1", "bias_ih_l1", "bias_hh_l1",
                                "weight_ih_l1_reverse", "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse"});
  StateDict state = lstm.state();
  CHECK(state.at("weight_ih_l0").shape() == Shape{20, 3});
  CHECK(state.at("weight_ih_l1_reverse").shape() == Shape{20, 10});
  CHECK(state.at("weight_hh_l1").shape() == Shape{20, 5});
  CHECK(names_of(nn::GRU(3, 5, {.bias = false})) == Names{"weight_ih_l0", "weight_hh_l0"});
  CHECK(nn::GRU(3, 5).state().at("weight_ih_l0").shape() == Shape{15, 3});
  CHECK(names_of(nn::LSTMCell(3, 5)) == Names{"weight_ih", "weight_hh", "bias_ih", "bias_hh"});
  CHECK(nn::RNNCell(3, 5).weight_ih.shape() == Shape{5, 3});
  CHECK(names_of(Tagger()) ==
        Names{"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "head.weight", "head.bias"});
}

TEST_CASE("recurrent layers: parameters start uniform within 1/√hidden") {
  manual_seed(0);
  nn::GRU gru(7, 16, {.num_layers = 2});
  for (const Tensor& p : gru.parameters()) {
    double largest = 0, sum = 0;
    for (double v : to_vector(p)) largest = std::max(largest, std::abs(v)), sum += v;
    CHECK(largest <= 0.25);
    CHECK(largest > 0.2);
    CHECK(std::abs(sum / static_cast<double>(p.numel())) < 0.1);  // 4.8 deviations of the mean of 48 numbers
  }
}

TEST_CASE("recurrent layers: they are their operations with the layers' weights") {
  nn::LSTM lstm_layer(3, 4, {.num_layers = 2, .batch_first = true, .bidirectional = true});
  Tensor x = wave({2, 5, 3}), lengths = tensor({5, 3});
  LstmState initial{wave({4, 2, 4}), wave({4, 2, 4})};
  std::vector<RecurrentWeights> w;
  for (const nn::RecurrentParameters& p : lstm_layer) w.push_back(p.weights());
  LstmResult got = lstm_layer(x, initial, lengths),
             expected = lstm(x, w, initial, {.batch_first = true, .bidirectional = true, .lengths = lengths});
  CHECK(got.y.shape() == Shape{2, 5, 8});
  CHECK(to_vector(got.y) == to_vector(expected.y));
  CHECK(to_vector(got.c) == to_vector(expected.c));
  nn::GRUCell cell(3, 4);
  CHECK(to_vector(cell(select(x, 1, 0))) == to_vector(gru_cell(select(x, 1, 0), {}, cell.weights())));
  nn::RNN relu_layer(3, 4, RnnActivation::relu);
  CHECK(to_vector(relu_layer(x).y) == to_vector(rnn(x, {relu_layer[0].weights()}, {}, {}, RnnActivation::relu).y));
  nn::LSTMCell one(3, 4);
  LstmState s = one(select(x, 1, 1), one(select(x, 1, 0)));
  CHECK(to_vector(s.c) == to_vector(select(lstm(narrow(x, 1, 0, 2), {one.weights()}, {}, {.batch_first = true}).c, 0, 0)));
}

TEST_CASE("recurrent layers: dropout between layers in training mode only") {
  nn::GRU gru(3, 8, {.num_layers = 2, .dropout = 0.5});
  Tensor x = wave({4, 2, 3});
  CHECK(to_vector(gru(x).y) != to_vector(gru(x).y));
  gru.eval();
  CHECK(to_vector(gru(x).y) == to_vector(gru(x).y));
}

TEST_CASE("recurrent layers: copies are independent, states load, types convert") {
  Tagger a;
  Tagger b = a;
  Tensor x = wave({2, 3, 2}), before = a(x);
  CHECK(to_vector(b(x)) == to_vector(before));
  for (const Tensor& p : b.parameters()) nn::init::zeros(p);
  CHECK(to_vector(a(x)) == to_vector(before));
  CHECK(names_of(b) == names_of(a));
  b.load_state(a.state());
  CHECK(to_vector(b(x)) == to_vector(before));
  std::vector<Tagger> several(2, a);
  several.push_back(std::move(b));
  CHECK(to_vector(several[2](x)) == to_vector(before));
  several[0].to(f64);
  CHECK(several[0](to(x, f64)).dtype() == f64);
  CHECK(several[1].named_modules().size() == 4);  // itself, rnn, its weights, head
}

TEST_CASE("recurrent layers: an LSTM learns whether the ones seen so far are odd in number") {
  manual_seed(3);
  Tagger model;
  Generator bits(5);
  auto batch = [&](int64_t examples, int64_t steps) {
    std::vector<float> x(static_cast<size_t>(examples * steps * 2));
    std::vector<int64_t> parity(static_cast<size_t>(examples * steps));
    for (size_t i = 0; i < parity.size(); ++i) {
      auto bit = static_cast<size_t>(bits.next_below(2));
      x[2 * i + bit] = 1;
      parity[i] = (i % static_cast<size_t>(steps) ? parity[i - 1] : 0) ^ static_cast<int64_t>(bit);
    }
    return std::pair{from_vector(x, {examples, steps, 2}), from_vector(parity)};
  };
  optim::AdamW adamw(model.parameters(), {.lr = 0.03, .weight_decay = 0});
  for (int t = 0; t < 250; ++t) {
    auto [x, parity] = batch(32, 6);
    adamw.zero_grad();
    cross_entropy(reshape(model(x), {-1, 2}), parity).backward();
    adamw.step();
  }
  auto [x, parity] = batch(64, 12);  // twice as long as it was trained on
  CHECK(cross_entropy(reshape(model(x), {-1, 2}), parity).item() < 0.05);
}

TEST_CASE("recurrent layers: sizes that make no sense are refused") {
  CHECK_THROWS_WITH_AS(nn::LSTM(0, 4), "lstm: sizes must be positive, got 0 inputs, 4 hidden units", ValueError);
  CHECK_THROWS_WITH_AS(nn::GRUCell(3, -1), "gru_cell: sizes must be positive, got 3 inputs, -1 hidden units", ValueError);
  CHECK_THROWS_WITH_AS(nn::GRU(3, 4, {.num_layers = 0}), "gru: the number of layers must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(nn::RNN(3, 4, RnnActivation::tanh, {.dropout = 1.5}), "rnn: dropout must lie in [0, 1), it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(nn::LSTM(3, 4)(zeros({5, 2, 7})), "lstm: weight_ih of layer 0 is [16, 3], it must be [16, 7]", ShapeError);
}
