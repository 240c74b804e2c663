// Recurrent encoders: against plain loops, padding, pooling, derivatives, learning.
#include "models/recurrent/encoder.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "ops/loss.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::recurrent;
using namespace plumb_test;

namespace {

RecurrentConfig small(const std::string& cell, const std::string& pooling) {
  return {.cell = cell, .inputs = 3, .hidden = 4, .layers = 2, .bidirectional = true, .pooling = pooling, .attention = 5, .classes = 3};
}

RecurrentEncoder made(const RecurrentConfig& config, uint64_t seed = 1) {
  manual_seed(seed);
  RecurrentEncoder model(config);
  model.to(f64);
  return model;
}

Tensor mask_of(const std::vector<int64_t>& lengths, int64_t steps) {
  std::vector<int64_t> v;
  for (int64_t n : lengths)
    for (int64_t t = 0; t < steps; ++t) v.push_back(t < n);
  return from_vector(v, {static_cast<int64_t>(lengths.size()), steps}) != 0;
}

using Row = std::vector<double>;
double squash(double v) { return 1 / (1 + std::exp(-v)); }

// W x + b for row r of a layer's weights.
double affine(const StateDict& s, const std::string& weight, const std::string& bias, size_t r, const Row& x) {
  const double* w = s.at(weight).data<double>() + r * x.size();
  double y = s.at(bias).data<double>()[r];
  for (size_t i = 0; i < x.size(); ++i) y += w[i] * x[i];
  return y;
}

// One direction of one layer over the given steps, in order; the states after each.
std::vector<Row> layer(const StateDict& s, const std::string& cell, const std::string& suffix, const std::vector<Row>& x) {
  size_t hidden = static_cast<size_t>(s.at("rnn.weight_hh" + suffix).size(1));
  Row h(hidden), c(hidden);
  std::vector<Row> states;
  for (const Row& step : x) {
    auto in = [&](size_t gate, size_t k) { return affine(s, "rnn.weight_ih" + suffix, "rnn.bias_ih" + suffix, gate * hidden + k, step); };
    auto back = [&](size_t gate, size_t k) { return affine(s, "rnn.weight_hh" + suffix, "rnn.bias_hh" + suffix, gate * hidden + k, h); };
    Row next(hidden);
    for (size_t k = 0; k < hidden; ++k) {
      if (cell == "lstm") {
        auto gate = [&](size_t g) { return in(g, k) + back(g, k); };
        c[k] = squash(gate(1)) * c[k] + squash(gate(0)) * std::tanh(gate(2));
        next[k] = squash(gate(3)) * std::tanh(c[k]);
      } else {
        double r = squash(in(0, k) + back(0, k)), z = squash(in(1, k) + back(1, k)), n = std::tanh(in(2, k) + r * back(2, k));
        next[k] = (1 - z) * n + z * h[k];
      }
    }
    h = next;
    states.push_back(h);
  }
  return states;
}

// Both directions side by side, two layers.
std::vector<Row> states_of(const StateDict& s, const std::string& cell, std::vector<Row> x) {
  for (const char* l : {"_l0", "_l1"}) {
    std::vector<Row> forward = layer(s, cell, l, x), reversed(x.rbegin(), x.rend());
    std::vector<Row> backward = layer(s, cell, std::string(l) + "_reverse", reversed);
    for (size_t t = 0; t < x.size(); ++t) {
      x[t] = forward[t];
      const Row& other = backward[x.size() - 1 - t];
      x[t].insert(x[t].end(), other.begin(), other.end());
    }
  }
  return x;
}

Row pooled(const StateDict& s, const std::string& pooling, const std::vector<Row>& states) {
  size_t width = states[0].size(), steps = states.size();
  Row y(width);
  if (pooling == "last") {
    for (size_t k = 0; k < width; ++k) y[k] = k < width / 2 ? states[steps - 1][k] : states[0][k];
    return y;
  }
  if (pooling == "max") {
    for (size_t k = 0; k < width; ++k) {
      y[k] = -INFINITY;
      for (const Row& h : states) y[k] = std::max(y[k], h[k]);
    }
    return y;
  }
  Row weight(steps, 1.0);
  double total = 0;
  for (size_t t = 0; t < steps; ++t) {
    if (pooling == "attention") {
      double score = 0;
      for (size_t r = 0; r < 5; ++r)
        score += s.at("attention.context.weight").data<double>()[r] *
                 std::tanh(affine(s, "attention.hidden.weight", "attention.hidden.bias", r, states[t]));
      weight[t] = std::exp(score);
    }
    total += weight[t];
  }
  for (size_t t = 0; t < steps; ++t)
    for (size_t k = 0; k < width; ++k) y[k] += weight[t] / total * states[t][k];
  return y;
}

}  // namespace

TEST_CASE("recurrent encoder: both cells and every pooling agree with plain loops, sequence by sequence") {
  Tensor x = test::sample({3, 5, 3}, 11);
  std::vector<int64_t> lengths{5, 2, 1};
  for (const char* cell : {"lstm", "gru"})
    for (const char* pooling : {"last", "mean", "max", "attention"}) {
      RecurrentEncoder model = made(small(cell, pooling));
      Tensor y = model(x, mask_of(lengths, 5));
      REQUIRE(y.shape() == Shape{3, 8});
      for (int64_t b = 0; b < 3; ++b) {
        std::vector<Row> steps;
        for (int64_t t = 0; t < lengths[static_cast<size_t>(b)]; ++t) steps.push_back(to_vector(select(select(x, 0, b), 0, t)));
        StateDict state = model.state();
        Row expected = pooled(state, pooling, states_of(state, cell, steps)), got = to_vector(select(y, 0, b));
        for (size_t k = 0; k < got.size(); ++k)
          CHECK_MESSAGE(got[k] == doctest::Approx(expected[k]).epsilon(1e-12), cell << " " << pooling);
      }
    }
}

TEST_CASE("recurrent encoder: padding changes nothing, and a sequence without steps gives zeros") {
  Tensor x = test::sample({2, 6, 3}, 3);
  for (const char* pooling : {"last", "mean", "max", "attention"}) {
    RecurrentEncoder model = made(small("gru", pooling));
    CHECK(largest_difference(model(x, mask_of({4, 4}, 6)), model(slice(x, 1, 0, 4))) < 1e-14);
    CHECK(largest(select(model(x, mask_of({3, 0}, 6)), 0, 1)) == 0);
  }
  auto encoded = made(small("lstm", "attention")).encode(x, mask_of({6, 2}, 6));
  auto weights = to_vector(encoded.attention);
  CHECK(weights[6] + weights[7] == doctest::Approx(1));
  for (size_t t = 8; t < 12; ++t) CHECK(weights[t] == 0);
}

TEST_CASE("recurrent encoder: derivatives agree with differences") {
  Tensor x = test::sample({2, 4, 3}, 5), mask = mask_of({4, 3}, 4);
  for (const char* pooling : {"last", "mean", "attention"}) {
    RecurrentEncoder model = made(small("lstm", pooling));
    check_module_gradients(
        model, {x}, [&] { return model(x, mask); }, 3);
  }
}

TEST_CASE("recurrent classifier: learns which token came first, with tokens padded behind") {
  manual_seed(7);
  RecurrentClassifier model({.cell = "gru", .vocab = 8, .inputs = 8, .hidden = 16, .classes = 2});
  std::vector<int64_t> tokens, labels;
  for (int64_t i = 0; i < 32; ++i) {  // 1 … 2 … or 2 … 1 …, between others, of 4 to 7 tokens
    Generator g(static_cast<uint64_t>(i));
    int64_t length = 4 + i % 4, label = i / 2 % 2, first = static_cast<int64_t>(g.next_below(2)),
            second = first + 1 + static_cast<int64_t>(g.next_below(2));
    for (int64_t t = 0; t < 7; ++t)
      tokens.push_back(t == first ? 1 + label : t == second ? 2 - label : t < length ? 3 + static_cast<int64_t>(g.next_below(5)) : 0);
    labels.push_back(label);
  }
  Tensor x = from_vector(tokens, {32, 7}), y = from_vector(labels);
  optim::AdamW adamw(model.parameters(), {.lr = 2e-2});
  for (int step = 0; step < 60; ++step) {
    adamw.zero_grad();
    cross_entropy(model(x, x != 0), y).backward();
    adamw.step();
  }
  CHECK(to_vector<int64_t>(argmax(model(x, x != 0), 1)) == labels);
}

TEST_CASE("recurrent encoder: state, settings and copies survive; what does not fit is named") {
  Tensor x = test::sample({2, 4, 3}, 5);
  RecurrentEncoder a = made(small("lstm", "attention"), 1), b = made(small("lstm", "attention"), 2);
  check_state_round_trip<RecurrentEncoder>(a, b, [&](const RecurrentEncoder& m) { return m(x); });
  RecurrentEncoder copy = a;
  CHECK(test::same_bits(copy(x), a(x)));
  RecurrentConfig config = small("gru", "max");
  config.vocab = 9;
  CHECK(RecurrentConfig::from_json(config.to_json()).to_json() == config.to_json());
  CHECK(RecurrentEncoder(config).state().contains("rnn.weight_ih_l1_reverse"));
  CHECK(RecurrentEncoder(config).state().contains("embedding.weight"));

  CHECK_THROWS_WITH_AS(RecurrentEncoder({.cell = "rnn"}), "recurrent: cell \"rnn\" is unknown; choose lstm or gru", ConfigError);
  CHECK_THROWS_WITH_AS(RecurrentEncoder({.pooling = "first"}),
                       "recurrent: pooling \"first\" is unknown; choose last, mean, max or attention", ConfigError);
  CHECK_THROWS_WITH_AS(RecurrentEncoder({.hidden = 0}), "recurrent: hidden must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(RecurrentEncoder({.vocab = 4, .padding = 4}), "recurrent: padding 4 is not one of 4 tokens", ConfigError);
  CHECK_THROWS_WITH_AS(a(test::sample({2, 4, 5}, 1)), "recurrent: takes vectors [B, T, 3] of at least one step, got [2, 4, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(a(x, mask_of({3}, 4)), "recurrent: mask is [1, 4], the input [2, 4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(a(x, tensor({{1, 1, 0, 0}, {1, 0, 1, 0}}) != 0), "lengths_of: in row 1 of the mask a real step follows a padded one",
                       ValueError);
}
