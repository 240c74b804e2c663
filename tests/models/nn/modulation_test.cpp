// Time embeddings, FiLM and adaptive norms.
#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/init.h"
#include "models/nn/modulation.h"
#include "models/nn/time_embedding.h"
#include "ops/gradcheck.h"
#include "ops/random.h"

using namespace plumb;

TEST_CASE("timestep_embedding: cosines, then sines, of frequencies from 1 down to nearly 1/period") {
  auto e = to_vector(nn::timestep_embedding(tensor({0.0, 2.0}, f64), 4));
  double wanted[] = {1, 1, 0, 0, std::cos(2.0), std::cos(0.02), std::sin(2.0), std::sin(0.02)};
  for (size_t i = 0; i < 8; ++i) CHECK(e[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(nn::timestep_embedding(tensor({1.0}), 3), "timestep_embedding: the dimension must be even and positive, it is 3",
                       ValueError);
  CHECK_THROWS_WITH_AS(nn::timestep_embedding(tensor({1, 2}), 4), "timestep_embedding: takes a floating vector of times, got i64 [2]",
                       ShapeError);
}

TEST_CASE("fourier_embedding: cosines and sines of its own frequencies, which are saved") {
  manual_seed(1);
  nn::FourierEmbedding embed(6, {.scale = 2, .dtype = f64}), other(6, {.dtype = f64});
  auto f = to_vector(embed.freqs), e = to_vector(embed(tensor({0.3}, f64)));
  for (size_t i = 0; i < 3; ++i) {
    CHECK(e[i] == doctest::Approx(std::cos(2 * M_PI * 0.3 * f[i])).epsilon(1e-12));
    CHECK(e[3 + i] == doctest::Approx(std::sin(2 * M_PI * 0.3 * f[i])).epsilon(1e-12));
  }
  other.load_state(embed.state());
  CHECK(to_vector(other(tensor({0.7}, f64))) == to_vector(embed(tensor({0.7}, f64))));
  CHECK(embed.parameters().empty());
}

TEST_CASE("film: one scale and one shift a channel") {
  Tensor x = tensor({{{1.0, 2.0}, {3.0, 4.0}}}, f64), scale = tensor({{0.5, -1.0}}, f64), shift = tensor({{10.0, 20.0}}, f64);
  CHECK(to_vector(nn::film(x, scale, shift)) == std::vector<double>{11.5, 13, 20, 20});
  CHECK(to_vector(nn::film(x, scale, shift, true)) == std::vector<double>{11.5, 20, 14.5, 20});
  CHECK_THROWS_WITH_AS(nn::film(x, zeros({1, 3}), zeros({1, 3})), "film: scale [1, 3] and shift [1, 3] do not fit x [1, 2, 2]", ShapeError);
}

TEST_CASE("FiLM and adaptive norms: without effect at the start, and their derivatives agree with differences") {
  manual_seed(2);
  nn::FiLM film(3, 4, {.dtype = f64});
  nn::AdaptiveGroupNorm group(3, 2, 4, {.dtype = f64});
  nn::AdaptiveLayerNorm layer(3, 4, {.dtype = f64});
  Tensor x = randn({2, 4, 3}, {.dtype = f64}), y = randn({2, 3, 4}, {.dtype = f64}), c = randn({2, 3}, {.dtype = f64});
  CHECK(to_vector(film(x, c)) == to_vector(x));
  CHECK(to_vector(group(x, c)) == to_vector(group_norm(x, 2)));
  CHECK(to_vector(layer(y, c)) == to_vector(layer_norm(y, {4})));
  for (nn::Linear* l : {&film.projection, &group.projection, &layer.projection}) nn::init::normal(l->weight, 0, 0.5);
  CHECK(gradcheck(
      [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{film(in[0], in[1]), group(in[0], in[1]), layer(in[2], in[1])};
      },
      {x, c, y}));
}
