// Elastic layers, super-nets, average bits and searches under a budget.
#include "models/quantize/elastic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/nn/norm.h"
#include "models/nn/recalibrate.h"
#include "models/quantize/fit_scale.h"
#include "models/quantize/mixed_precision.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::quantize;

namespace {

struct Small : nn::Module {
  ElasticLayer first, second, third, last;
  nn::BatchNorm norm;

  explicit Small(Generator& g)
      : first(this, "first", randn({4, 1, 3, 3}, {.generator = &g}), {}, {.padding = 1}),
        second(this, "second", randn({4, 4, 3, 3}, {.generator = &g}), {}, {.padding = 1}),
        third(this, "third", randn({6, 4, 3, 3}, {.generator = &g}), {}, {.stride = 2, .padding = 1}),
        last(this, "last", randn({3, 6}, {.generator = &g}), randn({3}, {.generator = &g})),
        norm(this, "norm", 4, {.cumulative = true}) {}
  Tensor operator()(const Tensor& x) { return last(global_avg_pool(relu(third(relu(second(relu(norm(first(x))))))))); }
};

struct Calibrated {
  Generator generator{5};
  Small network{generator};
  SuperNet net{network};
  Tensor x = randn({8, 1, 6, 6}, {.generator = &generator});

  Calibrated() {
    network.eval();
    net.set_mode(ElasticLayer::Mode::calibrating);
    NoGrad off;
    network(x);
    net.set_mode(ElasticLayer::Mode::quantized);
  }
};

}  // namespace

TEST_CASE("elastic layer: computes with its quantised input and weight, in the form that is set") {
  Calibrated c;
  ElasticLayer& last = c.network.last;
  last.set_form({.weight_bits = 3, .activation_bits = 4, .per_channel = false, .weight_symmetric = false, .activation_symmetric = true});
  Generator g(6);
  Tensor x = abs(randn({5, 6}, {.generator = &g}));
  const ScaleTable& w = last.weight_by_tensor;
  Tensor quantised_w =
      fake_quantize(last.weight, select(w.asymmetric_scale, 0, 1), select(w.asymmetric_offset, 0, 1), {.codes = signed_codes(3)});
  Tensor quantised_x =
      fake_quantize(x, select(last.input.symmetric_scale, 0, 2), {}, {.codes = unsigned_codes(4)});  // after a ReLU: from 0
  CHECK(to_vector(last(x)) == to_vector(linear(quantised_x, quantised_w, last.bias)));
  CHECK(c.network.first.input.codes(4) == signed_codes(4));  // the images have negative pixels
}

TEST_CASE("elastic layer: scales are those that fit best, a row for each bit-width") {
  Calibrated c;
  ElasticLayer& layer = c.network.second;
  for (int bits : {2, 5, 8}) {
    FittedScale f = fit_scale(layer.weight, signed_codes(bits), {.axis = 0, .steps = 5});
    CHECK(to_vector(select(layer.weight_by_channel.symmetric_scale, 0, bits - 2)) == to_vector(f.scale));
  }
  CHECK(layer.weight_by_channel.symmetric_scale.shape() == Shape{7, 4});
  CHECK(layer.weight_by_tensor.asymmetric_offset.shape() == Shape{7, 1});
}

TEST_CASE("elastic layer: the gradient reaches the active row of the active table alone") {
  Calibrated c;
  c.net.set(c.net.uniform(3, true, false, true));
  sum(c.network(c.x)).backward();
  ElasticLayer& layer = c.network.second;
  Tensor g = layer.weight_by_channel.asymmetric_scale.grad();
  REQUIRE(g.defined());
  for (int64_t row = 0; row < 7; ++row) {
    CAPTURE(row);
    CHECK((sum(abs(select(g, 0, row))).item() > 0) == (row == 1));
  }
  CHECK(layer.input.symmetric_scale.grad().defined());
  CHECK_FALSE(layer.weight_by_channel.symmetric_scale.grad().defined());
  CHECK_FALSE(layer.weight_by_tensor.asymmetric_scale.grad().defined());
  CHECK_FALSE(layer.input.asymmetric_scale.grad().defined());
  CHECK(layer.weight.grad().defined());
}

TEST_CASE("super-net: setting another form and the first again gives the same bits; 8 bits are near full precision") {
  Calibrated c;
  NoGrad off;
  NetForm before = c.net.uniform(4, false, true, false);
  c.net.set(before);
  auto y = to_vector(c.network(c.x));
  c.net.set(c.net.smallest(c.generator));
  CHECK(to_vector(c.network(c.x)) != y);
  c.net.set(before);
  CHECK(c.net.form() == before);
  CHECK(to_vector(c.network(c.x)) == y);
  c.net.set(c.net.uniform(8, true, true, true));
  auto eight = to_vector(c.network(c.x));
  c.net.set_mode(ElasticLayer::Mode::full_precision);
  auto full_precision = to_vector(c.network(c.x));
  double largest = 0;
  for (double v : full_precision) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < eight.size(); ++i) CHECK(std::abs(eight[i] - full_precision[i]) < 0.05 * largest);
}

TEST_CASE("super-net: a copy has scales and weights of its own") {
  Calibrated c;
  Small copy = c.network;
  SuperNet other(copy);
  NoGrad off;
  CHECK(to_vector(copy(c.x)) == to_vector(c.network(c.x)));
  Tensor w = copy.second.weight;
  fill_(w, 1);
  CHECK(to_vector(copy(c.x)) != to_vector(c.network(c.x)));
  CHECK(other.layer(1).form() == c.net.layer(1).form());
}

TEST_CASE("super-net: the ends have 8 bits, the biggest 8 everywhere, the smallest 2 between, random ones all choices") {
  Calibrated c;
  Generator g(1);
  std::vector<int> seen(9, 0);
  for (int k = 0; k < 100; ++k) {
    for (const LayerForm& f : c.net.biggest(g)) CHECK((f.weight_bits == 8 && f.activation_bits == 8));
    NetForm smallest = c.net.smallest(g), random = c.net.random(g), chosen = c.net.random(g, {2, 4});
    CHECK((smallest[1].weight_bits == 2 && smallest[2].activation_bits == 2 && smallest[0].weight_bits == 8 &&
           smallest[3].activation_bits == 8));
    CHECK((random[0].activation_bits == 8 && random[3].weight_bits == 8));
    CHECK((chosen[1].weight_bits == 2 || chosen[1].weight_bits == 4));
    ++seen[static_cast<size_t>(random[1].weight_bits)];
  }
  for (int bits = 2; bits <= 8; ++bits) CHECK(seen[static_cast<size_t>(bits)] > 3);  // of 14 expected
}

TEST_CASE("super-net: wrong forms are named and change nothing") {
  Calibrated c;
  NetForm before = c.net.form(), wrong = before;
  wrong[2].weight_bits = 9;
  CHECK_THROWS_WITH_AS(c.net.set(wrong), "quantize: 9 bits are not supported; choose 2 to 8", ValueError);
  CHECK_THROWS_WITH_AS(c.net.set(NetForm(3)), "super-net: forms of 3 layers for a network of 4", ValueError);
  CHECK(c.net.form() == before);
  Generator g(1);
  struct Lone : nn::Module {
    ElasticLayer only{this, "only", ones({2, 2})};
  } lone;
  CHECK_THROWS_WITH_AS(SuperNet{lone}, "super-net: the network has 1 elastic layers; it takes two or more", ValueError);
  CHECK_THROWS_WITH_AS(lone.only(ones({1, 2})), "elastic layer: its scales were not fitted yet; calibrate() first", ValueError);
  CHECK_THROWS_AS(ElasticLayer(nullptr, "", ones({2})), ShapeError);
}

TEST_CASE("average bits: the worked example, and lists that do not fit") {
  CHECK(average_bits({100, 400, 300, 50}, {8, 2, 5, 8}) == doctest::Approx(3.28571).epsilon(3e-6));
  CHECK_THROWS_WITH_AS(average_bits({1, 2}, {8, 8}), "average_bits: between the first and the last of 2 layers there is none", ValueError);
  CHECK_THROWS_WITH_AS(average_bits({1, 2, 3}, {8, 8}), "average_bits: bits of 2 layers for sizes of 3", ValueError);
  Calibrated c;
  NetForm form = c.net.uniform(4, true, true, true);
  form[1].weight_bits = 2, form[2].activation_bits = 6;
  CHECK(average_weight_bits(c.net, form) == doctest::Approx((144 * 2 + 216 * 4) / 360.0));
  CHECK(average_activation_bits(c.net, form) == doctest::Approx((144 * 4 + 144 * 6) / 288.0));
}

TEST_CASE("search_form: finds the best form within the budget, and stops where there is none") {
  Calibrated c;
  Generator g(3);
  FormGenes genes{c.net.uniform(8, true, true, true)};
  // The second layer's weight is worth four times the third's.
  auto worth = [](const std::vector<NetForm>& forms) {
    std::vector<double> out;
    for (const NetForm& f : forms) out.push_back(4.0 * f[1].weight_bits + f[2].weight_bits + f[1].activation_bits + f[2].activation_bits);
    return out;
  };
  BitBudget budget{.bits = 4};
  FoundForm found = search_form(c.net, genes, worth, budget, {.population = 40, .generations = 30}, g);
  CHECK(budget.allows(c.net, found.form));
  double best = 0;  // by looking at all 7⁴
  for (int k = 0; k < 2401; ++k) {
    NetForm f = genes.form({k % 7, k / 7 % 7, k / 49 % 7, k / 343});
    if (budget.allows(c.net, f)) best = std::max(best, worth({f})[0]);
  }
  CHECK(found.search.fitness == best);
  for (size_t i = 1; i < found.search.history.size(); ++i) CHECK(found.search.history[i] >= found.search.history[i - 1]);
  CHECK(found.form[0] == genes.like[0]);
  CHECK_THROWS_WITH_AS(search_form(c.net, genes, worth, {.bits = 1}, {.attempts = 500}, g),
                       "genetic_search: none of 500 candidates meets the constraint", ValueError);
}

TEST_CASE("recalibrate_batch_norm: running statistics become the means over the batches, weights and modes stay") {
  Calibrated c;
  c.network.train();
  c.network.third.eval();
  Tensor far = c.x * 3.0 + 1.0;
  c.network(far);
  auto weight = to_vector(c.network.second.weight);
  std::vector<Tensor> batches{slice(c.x, 0, 0, 4), slice(c.x, 0, 4, 8)};
  nn::recalibrate_batch_norm(
      c.network, [&](const Tensor& x) { return c.network(x); }, batches);
  CHECK(to_vector(c.network.second.weight) == weight);
  CHECK(c.network.training());
  CHECK(c.network.norm.training());
  CHECK_FALSE(c.network.third.training());
  std::vector<double> means(4, 0.0);
  {
    NoGrad off;
    for (const Tensor& b : batches) {
      auto own = to_vector(mean(c.network.first(b), {0, 2, 3}));
      for (size_t i = 0; i < 4; ++i) means[i] += own[i] / 2;
    }
  }
  auto running = to_vector(c.network.norm.running_mean);
  for (size_t i = 0; i < 4; ++i) CHECK(running[i] == doctest::Approx(means[i]).epsilon(1e-4).scale(1));
  CHECK(c.network.norm.num_batches_tracked.item<int64_t>() == 2);
  CHECK_THROWS_WITH_AS(nn::recalibrate_batch_norm(c.network, [&](const Tensor& x) { return c.network(x); }, {}),
                       "recalibrate_batch_norm: there are no batches", ValueError);
}
