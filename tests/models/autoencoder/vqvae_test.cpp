// Vector quantisation: nearest codes, gradients, how the codebook moves and dead codes restart; the autoencoder around it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/step_batches.h"
#include "models/autoencoder/quantizer.h"
#include "models/autoencoder/vqvae.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::autoencoder;

namespace {

const AutoencoderConfig kSmall{.channels = 1, .side = 8, .width = 4, .multipliers = {1, 2}, .groups = 2, .latent = 2};

void set_codes(const VectorQuantizer& quantizer, const Tensor& codes) {
  Tensor book = quantizer.codebook();
  NoGrad off;
  copy_data(codes, book);
}

}  // namespace

TEST_CASE("vector quantizer: each vector becomes the nearest code, wherever it stands") {
  manual_seed(1);
  VectorQuantizer quantizer({.codes = 5}, 3);
  set_codes(quantizer, randn({5, 3}));
  quantizer.eval();
  Tensor z = randn({2, 3, 2, 2});
  Quantized q = quantizer(z, default_generator());
  auto v = to_vector(z), book = to_vector(quantizer.codebook()), values = to_vector(q.values);
  auto indices = to_vector<int64_t>(q.indices);
  CHECK(q.indices.shape() == Shape{2, 2, 2});
  double loss = 0;
  for (size_t n = 0; n < 2; ++n)
    for (size_t p = 0; p < 4; ++p) {
      size_t best = 0;
      double least = INFINITY;
      for (size_t k = 0; k < 5; ++k) {
        double d = 0;
        for (size_t c = 0; c < 3; ++c) d += std::pow(v[12 * n + 4 * c + p] - book[3 * k + c], 2);
        if (d < least) least = d, best = k;
      }
      CHECK(indices[4 * n + p] == static_cast<int64_t>(best));
      for (size_t c = 0; c < 3; ++c) CHECK(values[12 * n + 4 * c + p] == doctest::Approx(book[3 * best + c]).epsilon(1e-6));
      loss += least;
    }
  CHECK(q.loss.item() == doctest::Approx(0.25 * loss / 2).epsilon(1e-5));
  CHECK(to_vector(quantizer.lookup(q.indices)) == to_vector(quantizer.lookup(quantizer.nearest(z))));
  CHECK_THROWS_WITH_AS(quantizer(zeros({2, 4, 2, 2}), default_generator()), "vector quantizer: takes vectors [B, 3, ..], got [2, 4, 2, 2]",
                       ShapeError);
}

TEST_CASE("vector quantizer: the gradient goes straight through, the commitment draws vectors to codes, the loss draws codes to vectors") {
  manual_seed(2);
  VectorQuantizer quantizer({.codes = 3, .commitment = 0.5, .decay = 0, .restart = 0}, 2);
  quantizer.to(f64);
  set_codes(quantizer, tensor({{0.0, 0.0}, {1.0, 1.0}, {5.0, 5.0}}, f64));
  Tensor z = tensor({{{0.2}, {0.1}}, {{0.9}, {1.3}}}, f64).requires_grad_();  // nearest: code 0 and code 1
  Tensor weight = tensor({{{1.0}, {2.0}}, {{3.0}, {4.0}}}, f64);
  sum(quantizer(z, default_generator()).values * weight).backward();
  CHECK(to_vector(z.grad()) == to_vector(weight));
  z.zero_grad();
  CHECK(!quantizer.codebook().grad().defined());
  Quantized q = quantizer(z, default_generator());
  q.loss.backward();
  CHECK(q.loss.item() == doctest::Approx(1.5 * (0.04 + 0.01 + 0.01 + 0.09) / 2));
  std::vector<double> apart{0.2, 0.1, -0.1, 0.3}, dz = to_vector(z.grad()), de = to_vector(quantizer.codebook().grad());
  for (size_t i = 0; i < 4; ++i) {
    CHECK(dz[i] == doctest::Approx(0.5 * 2 * apart[i] / 2));
    CHECK(de[i] == doctest::Approx(-2 * apart[i] / 2));
  }
  CHECK(de[4] == 0);
}

TEST_CASE("vector quantizer: codes follow the running mean of their vectors") {
  VectorQuantizer quantizer({.codes = 2, .decay = 0.9, .restart = 0}, 1);
  quantizer.to(f64);
  set_codes(quantizer, tensor({{0.0}, {10.0}}, f64));
  double n[2] = {0, 0}, m[2] = {0, 0}, wanted[2] = {};
  for (double shift : {0.0, 0.5, 1.0}) {
    // two vectors near the first code, one near the second
    quantizer(tensor({{{1.0 + shift, 2.0, 9.0 + shift}}}, f64), default_generator());
    n[0] = 0.9 * n[0] + 0.1 * 2, n[1] = 0.9 * n[1] + 0.1;
    m[0] = 0.9 * m[0] + 0.1 * (3 + shift), m[1] = 0.9 * m[1] + 0.1 * (9 + shift);
    double total = n[0] + n[1];
    for (int k = 0; k < 2; ++k) wanted[k] = m[k] / ((n[k] + 1e-5) / (total + 2e-5) * total);
    auto codes = to_vector(quantizer.codebook());
    for (size_t k = 0; k < 2; ++k) CHECK(codes[k] == doctest::Approx(wanted[k]).epsilon(1e-12));
  }
  CHECK(quantizer.parameters().empty());
  quantizer.eval();
  auto kept = to_vector(quantizer.codebook());
  quantizer(tensor({{{5.0}}}, f64), default_generator());
  CHECK(to_vector(quantizer.codebook()) == kept);
}

TEST_CASE("vector quantizer: the first batch gives the codes, unused ones start again from the data, used ones stay") {
  for (double decay : {0.9, 0.0}) {
    CAPTURE(decay);
    manual_seed(3);
    VectorQuantizer quantizer({.codes = 4, .decay = decay, .restart = 1}, 2);
    Tensor z = randn({8, 2, 6});
    Tensor first = quantizer.codebook();
    auto start = to_vector(first);
    quantizer(z, default_generator());
    CHECK(to_vector(quantizer.codebook()) != start);
    std::set<int64_t> used;
    for (int64_t i : to_vector<int64_t>(quantizer(z, default_generator()).indices)) used.insert(i);
    CHECK(used.size() == 4);
    // Vectors of one place far away: the codes of the old ones die and move there.
    Generator random(4);
    Tensor far = randn({8, 2, 6}) * 0.1 + 50;
    for (int i = 0; i < 600; ++i) quantizer(far, random);  // a code in use dies only when nearer ones have taken its vectors
    for (double v : to_vector(quantizer.codebook())) CHECK(std::abs(v - 50) < 1);
  }
  // Without restarts they stay where they are.
  VectorQuantizer still({.codes = 4, .decay = 0.9, .restart = 0}, 2);
  set_codes(still, zeros({4, 2}));
  for (int i = 0; i < 50; ++i) still(randn({8, 2, 6}) * 0.1 + 50, default_generator());
  auto codes = to_vector(still.codebook());
  CHECK(std::count_if(codes.begin(), codes.end(), [](double v) { return std::abs(v) < 1; }) == 6);
}

TEST_CASE("perplexity: from one code alone to all alike") {
  CHECK(perplexity(tensor({2, 2, 2, 2}), 8) == doctest::Approx(1));
  CHECK(perplexity(tensor({{0, 1}, {2, 3}}), 4) == doctest::Approx(4));
  CHECK(perplexity(tensor({0, 0, 0, 1}), 4) == doctest::Approx(std::exp(-(0.75 * std::log(0.75) + 0.25 * std::log(0.25)))));
}

TEST_CASE("vqvae: codes are a small map that decodes to the reconstruction, state survives, derivatives agree with differences") {
  manual_seed(4);
  VqVaeConfig config{.network = kSmall, .quantizer = {.codes = 6, .decay = 0, .restart = 0}};
  VqVae model(config), other(config);
  Tensor images = rand({3, 1, 8, 8});
  for (VqVae* m : {&model, &other}) set_codes(m->quantizer(), randn({6, 2}));
  CHECK(model.codes(images).shape() == Shape{3, 4, 4});
  CHECK(to_vector(model.decode_codes(model.codes(images))) == to_vector(model.reconstruct(images)));
  CHECK(model.state().contains("quantize.embedding.weight"));
  model.eval();
  other.eval();
  plumb_test::check_state_round_trip<VqVae>(model, other, [&](const VqVae& m) { return m.reconstruct(images); });
  CHECK(VqVaeConfig::from_json(config.to_json()).to_json() == config.to_json());
  // Straight-through is not the slope of the values, so of the decoder's weights alone.
  model.to(f64);
  Tensor x = rand({2, 1, 8, 8}, {.dtype = f64});
  for (auto& [name, child] : model.named_children())
    if (name == "decoder") plumb_test::check_module_gradients(*child, {}, [&] { return model.loss(x, default_generator()).loss; }, 3);
}

TEST_CASE("vqvae: learns digits with both codebooks, using many of its codes") {
  for (double decay : {0.95, 0.0}) {
    CAPTURE(decay);
    manual_seed(5);
    AutoencoderConfig network = kSmall;
    network.latent = 4, network.attention = false;
    VqVae model({.network = network, .quantizer = {.codes = 32, .decay = decay}});
    optim::Adam adam(model.parameters(), {.lr = 3e-3});
    data::StepBatches batches(data::digits().train(), {.batch = 64, .seed = 1});
    double start = 0, loss = 0;
    for (int64_t step = 0; step < 100; ++step) {
      adam.zero_grad();
      AutoencoderLoss l = model.loss(batches(step).image, default_generator());
      l.loss.backward();
      adam.step();
      loss = l.reconstruction.item();
      if (step == 0) start = loss;
    }
    NoGrad off;
    model.eval();
    Tensor test = data::digits().test().batch(1000).next().image;
    double used = perplexity(model.codes(test), 32);
    MESSAGE("reconstruction " << start << " → " << loss << " nats, perplexity " << used);
    CHECK(model.loss(test, default_generator()).reconstruction.item() < start - 12);
    CHECK(used > 8);
  }
}

TEST_CASE("vqvae: configurations that do not fit are named") {
  AutoencoderConfig vector = kSmall;
  vector.vector = true;
  CHECK_THROWS_WITH_AS(VqVae({.network = vector}), "vqvae: the latent must be a map, whose places are quantised one by one; vector is set",
                       ConfigError);
  CHECK_THROWS_WITH_AS(VqVae({.network = kSmall, .quantizer = {.codes = 0}}), "vqvae: --codes must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(VqVae({.network = kSmall, .quantizer = {.decay = 1}}), "vqvae: --codebook-decay must lie in [0, 1), it is 1",
                       ConfigError);
}

TEST_CASE("vector quantizer: codes that nothing uses stay where they are") {
  manual_seed(3);
  VectorQuantizer quantizer({.codes = 6, .decay = 0.9, .restart = 0}, 2);
  Tensor before = clone(quantizer.codebook());
  Tensor z = full({4, 2, 1, 1}, 0.1);
  Generator g(1);
  int64_t used = to_vector<int64_t>(flatten(quantizer.nearest(z)))[0];
  quantizer(z, g);
  for (int64_t code = 0; code < 6; ++code)
    if (code != used) CHECK(to_vector(select(quantizer.codebook(), 0, code)) == to_vector(select(before, 0, code)));
}
