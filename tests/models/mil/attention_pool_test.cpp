// Attention pooling of bags: a worked example, bags of different sizes, order, derivatives, learning with the attention on the evidence.
#include "models/mil/attention_pool.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::mil;
using namespace plumb_test;

namespace {

AbmilConfig small(bool gated) { return {.inputs = 3, .width = 4, .attention = 5, .gated = gated, .classes = 2}; }

Abmil made(uint64_t seed, const AbmilConfig& config) {
  manual_seed(seed);
  Abmil model(config);
  model.to(f64);
  return model;
}

double affine(const StateDict& s, const std::string& name, int64_t row, const std::vector<double>& x) {
  double y = s.at(name + ".bias").data<double>()[row];
  for (size_t i = 0; i < x.size(); ++i) y += s.at(name + ".weight").data<double>()[static_cast<size_t>(row) * x.size() + i] * x[i];
  return y;
}

}  // namespace

TEST_CASE("attention pool: the example worked out by hand") {
  AttentionPool pool(2, {.attention = 3, .gated = false, .relu = true, .bias = false});
  pool.to(f64);
  pool.load_state({{"attention_V.weight", tensor({{0.5, -0.3}, {0.2, 0.8}, {-0.6, 0.1}}, f64)},
                   {"attention_w.weight", tensor({{1.0, -0.5, 0.7}}, f64)}});
  Tensor h = tensor({{{1.0, 0.0}, {0.0, 2.0}, {1.0, 1.0}, {2.0, -1.0}}}, f64);
  auto scores = to_vector(pool.scores(h)), a = to_vector(pool(h).attention), z = to_vector(pool(h).vector);
  const double e[] = {0.4, -0.66, -0.3, 1.3};  // relu(V h) is (.5, .2, 0), (0, 1.6, .2), (.2, 1, 0), (1.3, 0, 0)
  double total = 0, first = 0, second = 0;
  for (double v : e) total += std::exp(v);
  for (size_t n = 0; n < 4; ++n) {
    CHECK(scores[n] == doctest::Approx(e[n]));
    CHECK(a[n] == doctest::Approx(std::exp(e[n]) / total));
    first += a[n] * h.data<double>()[2 * n], second += a[n] * h.data<double>()[2 * n + 1];
  }
  CHECK(z[0] == doctest::Approx(1.49113).epsilon(1e-5));
  CHECK(z[1] == doctest::Approx(-0.295192).epsilon(1e-5));
  CHECK(z[0] == doctest::Approx(first));
  CHECK(z[1] == doctest::Approx(second));
}

TEST_CASE("abmil: gated and plain attention agree with plain loops, bags of different sizes in one batch") {
  Tensor x = test::sample({2, 4, 3}, 1), mask = tensor({{1, 1, 1, 1}, {1, 0, 1, 0}}) != 0;
  for (bool gated : {true, false}) {
    Abmil model = made(2, small(gated));
    StateDict s = model.state();
    Abmil::Answer answer = model.answer(x, mask);
    for (int64_t b = 0; b < 2; ++b) {
      std::vector<std::vector<double>> h;
      std::vector<double> weight, z(4);
      double total = 0;
      for (int64_t n = 0; n < 4; ++n) {
        std::vector<double> in = to_vector(select(select(x, 0, b), 0, n)), out;
        for (int64_t o = 0; o < 4; ++o) out.push_back(std::max(0.0, affine(s, "projection", o, in)));
        double score = s.at("pool.attention_w.bias").item();
        for (int64_t k = 0; k < 5; ++k) {
          double hidden = std::tanh(affine(s, "pool.attention_V", k, out));
          if (gated) hidden /= 1 + std::exp(-affine(s, "pool.attention_U", k, out));
          score += s.at("pool.attention_w.weight").data<double>()[k] * hidden;
        }
        h.push_back(out);
        weight.push_back(b == 1 && n % 2 == 1 ? 0 : std::exp(score));
        total += weight.back();
      }
      for (size_t n = 0; n < 4; ++n) {
        CHECK(to_vector(answer.attention)[static_cast<size_t>(b) * 4 + n] == doctest::Approx(weight[n] / total).epsilon(1e-12));
        for (size_t k = 0; k < 4; ++k) z[k] += weight[n] / total * h[n][k];
      }
      for (int64_t c = 0; c < 2; ++c)
        CHECK(to_vector(answer.logits)[static_cast<size_t>(b * 2 + c)] == doctest::Approx(affine(s, "classifier", c, z)).epsilon(1e-12));
    }
  }
}

TEST_CASE("abmil: the order of instances turns the attention and leaves the answer; an empty bag gives zeros") {
  Abmil model = made(3, small(true));
  Tensor x = test::sample({1, 5, 3}, 4), order = tensor({3, 0, 4, 1, 2});
  Abmil::Answer a = model.answer(x), b = model.answer(index_select(x, 1, order));
  CHECK(largest_difference(a.logits, b.logits) < 1e-14);
  CHECK(largest_difference(index_select(a.attention, 1, order), b.attention) < 1e-15);
  CHECK(largest(model.answer(x, zeros({1, 5}, boolean)).bag) == 0);
}

TEST_CASE("abmil: derivatives agree with differences") {
  Tensor x = test::sample({2, 3, 3}, 5), mask = tensor({{1, 1, 1}, {1, 1, 0}}) != 0;
  for (bool gated : {true, false}) {
    Abmil model = made(6, small(gated));
    check_module_gradients(
        model, {x}, [&] { return model(x, mask); }, 4);
  }
}

TEST_CASE("abmil: learns which bags hold a certain instance, and points at it") {
  manual_seed(7);
  Abmil model({.inputs = 2, .width = 8, .attention = 8, .classes = 2});
  Tensor x = test::sample({40, 6, 2}, 8, f32, -1, 1);
  std::vector<int64_t> labels;
  for (int64_t b = 0; b < 40; ++b) {  // far out in one corner, at a place that moves
    labels.push_back(b % 2);
    Tensor instance = select(select(x, 0, b), 0, b % 6);
    if (b % 2 == 1) copy_data(tensor({2.0, 2.0}), instance);
  }
  Tensor y = from_vector(labels);
  optim::AdamW adamw(model.parameters(), {.lr = 2e-2});
  for (int step = 0; step < 100; ++step) {
    adamw.zero_grad();
    cross_entropy(model(x), y).backward();
    adamw.step();
  }
  Abmil::Answer answer = model.answer(x);
  CHECK(to_vector<int64_t>(argmax(answer.logits, 1)) == labels);
  std::vector<int64_t> pointed = to_vector<int64_t>(argmax(answer.attention, 1));
  for (size_t b = 1; b < 40; b += 2) CHECK(pointed[b] == static_cast<int64_t>(b % 6));
}

TEST_CASE("abmil: state and settings survive; what does not fit is named") {
  Abmil a = made(1, small(true)), b = made(2, small(true));
  Tensor x = test::sample({2, 3, 3}, 1);
  check_state_round_trip<Abmil>(a, b, [&](const Abmil& m) { return m(x); });
  Abmil copy = a;
  CHECK(test::same_bits(copy(x), a(x)));
  CHECK(AbmilConfig::from_json(small(true).to_json()).to_json() == small(true).to_json());
  CHECK_THROWS_WITH_AS(Abmil({.activation = "gelu"}), "abmil: activation \"gelu\" is unknown; choose tanh or relu", ConfigError);
  CHECK_THROWS_WITH_AS(a(zeros({2, 3, 4}, f64)), "abmil: takes bags [B, N, 3], got [2, 3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(a(x, ones({2, 2}, boolean)), "abmil: mask is [2, 2], the instances [2, 3, 4]", ShapeError);
}
