// The dual encoder: its logits and loss by plain loops, the limit of its temperature, two kinds of encoders, learning.
#include "models/contrastive/dual_encoder.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "models/recurrent/encoder.h"
#include "models/resnet/resnet.h"
#include "ops/activation.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::contrastive;
using namespace plumb_test;

namespace {

/// tanh(linear(x)): the smallest encoder.
struct Tanh : nn::Module {
  nn::Linear layer;
  Tanh(int64_t in, int64_t out) : layer(this, "layer", in, out) {}
  Tensor operator()(const Tensor& x) const { return tanh(layer(x)); }
};
using Small = DualEncoder<Tanh, Tanh>;

Small made(uint64_t seed) {
  manual_seed(seed);
  Small model(Tanh(4, 5), Tanh(3, 6), {.image_width = 5, .text_width = 6, .width = 3});
  model.to(f64);
  return model;
}

std::vector<double> unit(const StateDict& s, const std::string& encoder, const std::string& projection, const double* x) {
  const Tensor &w = s.at(encoder + ".layer.weight"), &b = s.at(encoder + ".layer.bias"), &p = s.at(projection + ".weight");
  std::vector<double> y;
  double length = 0;
  for (int64_t o = 0; o < p.size(0); ++o) {
    double sum = 0;
    for (int64_t h = 0; h < w.size(0); ++h) {
      double inner = b.data<double>()[h];
      for (int64_t i = 0; i < w.size(1); ++i) inner += w.data<double>()[h * w.size(1) + i] * x[i];
      sum += p.data<double>()[o * p.size(1) + h] * std::tanh(inner);
    }
    y.push_back(sum);
    length += sum * sum;
  }
  for (double& v : y) v /= std::sqrt(length);
  return y;
}

}  // namespace

TEST_CASE("dual encoder: logits are scaled cosines, and the loss is the mean of both cross-entropies, by plain loops") {
  Small model = made(1);
  StateDict s = model.state();
  Tensor images = test::sample({3, 4}, 2), texts = test::sample({3, 3}, 3);
  double logits[3][3], loss = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      auto a = unit(s, "vision_model", "visual_projection", images.data<double>() + 4 * i),
           b = unit(s, "text_model", "text_projection", texts.data<double>() + 3 * j);
      logits[i][j] = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) * std::exp(s.at("logit_scale").item());
    }
  for (int i = 0; i < 3; ++i) {
    double row = 0, column = 0;
    for (int j = 0; j < 3; ++j) row += std::exp(logits[i][j]), column += std::exp(logits[j][i]);
    loss += (std::log(row) + std::log(column) - 2 * logits[i][i]) / 6;
  }
  auto got = to_vector(model.logits(model.image_features(images), model.text_features(texts)));
  for (size_t k = 0; k < 9; ++k) CHECK(got[k] == doctest::Approx(logits[k / 3][k % 3]).epsilon(1e-7));  // the temperature was stored in f32
  CHECK(model.loss(images, texts).item() == doctest::Approx(loss).epsilon(1e-7));
  CHECK(s.at("logit_scale").item() == doctest::Approx(std::log(1 / 0.07)));
}

TEST_CASE("dual encoder: derivatives agree with differences, the temperature's too") {
  Small model = made(4);
  Tensor images = test::sample({3, 4}, 5), texts = test::sample({3, 3}, 6);
  check_module_gradients(
      model, {images, texts}, [&] { return model.loss(images, texts); }, 4);
}

TEST_CASE("dual encoder: the scale never exceeds 100 and comes back from the limit") {
  Small model = made(7);
  Tensor value = model.logit_scale.detach();
  copy_data(scalar_tensor(6.0, f64), value);
  CHECK(model.scale().item() == doctest::Approx(100));
  model.limit_scale();
  CHECK(model.logit_scale.item() == doctest::Approx(std::log(100.0)));
  model.scale().backward();
  CHECK(model.logit_scale.grad().item() == doctest::Approx(100));
}

TEST_CASE("dual encoder: recall counts rows whose own column is among the k largest") {
  Tensor scores = tensor({{0.9, 0.5, 0.1}, {0.8, 0.2, 0.1}, {0.3, 0.3, 0.3}});
  CHECK(recall_at(scores, 1) == doctest::Approx(1.0 / 3));
  CHECK(recall_at(scores, 2) == doctest::Approx(2.0 / 3));
  CHECK(recall_at(scores, 3) == 1);
  CHECK(recall_at(scores, 1, tensor({1, 0, 0})) == doctest::Approx(2.0 / 3));
  CHECK_THROWS_WITH_AS(recall_at(scores, 0), "recall_at: k must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(recall_at(scores, 1, tensor({1, 0, 3})), "recall_at: truth 3 is outside [0, 3)", IndexError);
}

TEST_CASE("dual encoder: a network for images and one for tokens learn which stripes have which name") {
  manual_seed(8);
  using Model = DualEncoder<resnet::ResNet, recurrent::RecurrentEncoder>;
  Model model(resnet::ResNet({.blocks = {1}, .width = 8, .classes = 16, .norm = "group", .groups = 4}),
              recurrent::RecurrentEncoder({.cell = "gru", .vocab = 9, .inputs = 8, .hidden = 16}),
              {.image_width = 16, .text_width = 16, .width = 8});
  constexpr int64_t kStripes = 6;
  std::vector<float> pixels;
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < kStripes; ++i) {  // red, green and blue stripes that lie or stand; a name of two tokens
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t p = 0; p < 36; ++p) pixels.push_back(c == i % 3 && (i < 3 ? p / 6 : p % 6) % 2 == 0 ? 1.0f : 0.0f);
    for (int64_t t : {1 + i % 3, 4 + i / 3}) tokens.push_back(t);
  }
  Tensor images = from_vector(pixels, {kStripes, 3, 6, 6}), names = from_vector(tokens, {kStripes, 2});
  optim::AdamW adamw(model.parameters(), {.lr = 1e-2});
  for (int step = 0; step < 60; ++step) {
    adamw.zero_grad();
    model.loss(images, names).backward();
    adamw.step();
    model.limit_scale();
  }
  Tensor scores = model.logits(model.image_features(images), model.text_features(names));
  CHECK(recall_at(scores, 1) == 1);
  CHECK(recall_at(mT(scores), 1) == 1);
  Model copy = model;
  CHECK(test::same_bits(copy.image_features(images), model.image_features(images)));
}

TEST_CASE("dual encoder: state and settings survive; what does not fit is named") {
  Small a = made(1), b = made(2);
  Tensor images = test::sample({3, 4}, 2), texts = test::sample({3, 3}, 3);
  check_state_round_trip<Small>(a, b, [&](const Small& m) { return m.loss(images, texts); });
  CHECK(DualEncoderConfig::from_json(a.config().to_json()).to_json() == a.config().to_json());
  CHECK_THROWS_WITH_AS(SharedSpace({.temperature = 0.001}), "dual_encoder: temperature must be at least 0.01, it is 0.001", ConfigError);
  CHECK_THROWS_WITH_AS(SharedSpace({.width = 0}), "dual_encoder: width must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(a.project_text(images), "dual_encoder: the text encoder is to give [B, 6], it gave [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(symmetric_cross_entropy(zeros({2, 3})), "symmetric_cross_entropy: takes logits [n, n], got [2, 3]", ShapeError);
}

TEST_CASE("recall_at: scores that are NaN find nothing") { CHECK(recall_at(full({3, 3}, NAN), 1) == 0); }
