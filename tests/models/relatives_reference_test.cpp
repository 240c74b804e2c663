// Recurrent and temporal networks, multiple-instance learning, mixtures of experts, poses, contrastive models and the detector's parts
// against independent implementations, whose numbers tests/reference/relatives.py wrote: outputs and gradients, in f64 to the last digits.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "models/contrastive/dual_encoder.h"
#include "models/contrastive/prototype.h"
#include "models/detection/box_decoder.h"
#include "models/detection/pyramid.h"
#include "models/mil/attention_pool.h"
#include "models/mil/trans_mil.h"
#include "models/moe/feed_forward.h"
#include "models/moe/losses.h"
#include "models/pose/pose_net.h"
#include "models/recurrent/encoder.h"
#include "models/temporal/tcn.h"
#include "models/temporal/text_cnn.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/reference.h"

using namespace plumb;

namespace {

/// What relatives.py saved for a section.
class Section {
 public:
  explicit Section(const std::string& name)
      : directory_("relatives/" + name),
        expected_(plumb_test::reference(directory_)),
        gradients_(plumb_test::reference(directory_, "gradients")) {}

  /// Makes the model f64, gives it the stored weights, and sets evaluation mode.
  void load_into(nn::Module& model) const {
    model.to(f64);
    model.load_state(plumb_test::reference(directory_, "model"));
    model.eval();
  }
  const Tensor& at(const std::string& name) const { return expected_.at(name); }
  /// An input that takes gradients.
  Tensor leaf(const std::string& name) const { return at(name).requires_grad_(); }

  /// That `got` is the stored tensor but for roundings: 2⁻⁵³ of the largest element each.
  void check(const std::string& name, const Tensor& got, double roundings = 64) const {
    check_close(name, got, at(name), roundings * plumb_test::largest(at(name)));
  }
  /// That y is the stored one, and that its mean square has the stored gradients in the inputs and the model's parameters.
  void check_with_gradients(const Tensor& y, nn::Module& model, const std::vector<std::pair<std::string, Tensor>>& inputs,
                            double roundings = 256) const {
    check("y", y, roundings);
    model.zero_grad();
    mean(square(y)).backward();
    for (const auto& [name, x] : inputs) check(name + "_gradient", x.grad(), roundings);
    size_t seen = 0;
    double most = 0;  // of all gradients: that of a bias in front of a norm is 0 but for the cancellation of others as large
    for (const auto& [name, gradient] : gradients_) most = std::max(most, plumb_test::largest(gradient));
    for (const auto& [name, p] : model.named_parameters())
      if (auto found = gradients_.find(name); found != gradients_.end()) {
        ++seen;
        REQUIRE(p.grad().defined());
        check_close(name, p.grad(), found->second, roundings * most);
      }
    CHECK(seen == gradients_.size());
    CHECK(seen > 0);
  }

 private:
  static void check_close(const std::string& name, const Tensor& got, const Tensor& expected, double units) {
    INFO(name);
    CHECK(got.dtype() == f64);
    CHECK(plumb_test::largest_difference(got.detach(), expected) <= units * 0x1p-53);
  }

  std::string directory_;
  StateDict expected_, gradients_;
};

}  // namespace

TEST_CASE("relatives: a bidirectional LSTM and its poolings are those of an independent implementation") {
  Section section("lstm");
  recurrent::RecurrentConfig config{.inputs = 3, .hidden = 3, .layers = 2, .bidirectional = true, .pooling = "attention", .attention = 3};
  recurrent::RecurrentClassifier model(config);
  section.load_into(model);
  Tensor x = section.leaf("x"), mask = section.at("mask");
  recurrent::RecurrentEncoder::Encoded encoded = model.encoder.encode(x, mask);
  section.check("states", encoded.states);
  section.check("attention", encoded.attention);
  section.check_with_gradients(model(x, mask), model, {{"x", x}});
  for (const char* pooling : {"last", "mean", "max"}) {
    config.pooling = pooling;
    recurrent::RecurrentClassifier other(config);
    other.to(f64);
    other.load_state(model.state(), false);
    section.check(pooling, other(x, mask));
  }
}

TEST_CASE("relatives: a GRU over tokens and its poolings are those of an independent implementation") {
  Section section("gru");
  recurrent::RecurrentConfig config{.cell = "gru", .vocab = 6, .inputs = 3, .hidden = 4, .layers = 2, .classes = 3};
  recurrent::RecurrentClassifier model(config);
  section.load_into(model);
  Tensor tokens = section.at("x"), mask = section.at("mask");
  section.check("states", model.encoder.encode(tokens, mask).states);
  section.check_with_gradients(model(tokens, mask), model, {});
  for (const char* pooling : {"mean", "max"}) {
    config.pooling = pooling;
    recurrent::RecurrentClassifier other(config);
    section.load_into(other);
    section.check(pooling, other(tokens, mask));
  }
}

TEST_CASE("relatives: the temporal convolution network is that of an independent implementation") {
  Section section("tcn");
  temporal::Tcn model({.inputs = 2, .channels = {3, 3, 4}, .kernel = 3, .outputs = 2});
  section.load_into(model);
  Tensor x = section.leaf("x");
  section.check("last", model(x));
  section.check_with_gradients(model.every_step(x), model, {{"x", x}});
}

TEST_CASE("relatives: the convolution network for sentences sees as an independent implementation does without padding") {
  Section section("text_cnn");
  temporal::TextCnn model({.vocab = 8, .embedding = 3, .widths = {2, 3}, .filters = 4});
  section.load_into(model);
  section.check("features", model.features(section.at("x")));
  section.check_with_gradients(model(section.at("x")), model, {});
}

TEST_CASE("relatives: attention over instances is that of an independent implementation") {
  auto matches = [](const char* name, const mil::AbmilConfig& config) {
    Section section(name);
    mil::Abmil model(config);
    section.load_into(model);
    Tensor x = section.leaf("x");
    mil::Abmil::Answer answer = model.answer(x, section.at("mask"));
    section.check("bag", answer.bag);
    section.check("attention", answer.attention);
    section.check_with_gradients(answer.logits, model, {{"x", x}});
  };
  SUBCASE("gated, behind a projection") { matches("abmil", {.inputs = 3, .width = 5, .attention = 4}); }
  SUBCASE("plain, with relu, without biases") {
    matches("abmil_plain", {.inputs = 3, .attention = 4, .gated = false, .activation = "relu", .attention_bias = false, .classes = 3});
  }
}

TEST_CASE("relatives: the transformer over instances is that of an independent implementation") {
  Section section("trans_mil");
  mil::TransMil model({.inputs = 3, .width = 4, .heads = 2, .residual = 3});
  section.load_into(model);
  Tensor x = section.leaf("x");
  mil::TransMil::Answer answer = model.answer(x);
  section.check("bag", answer.bag);
  section.check("attention", answer.attention);
  section.check_with_gradients(answer.logits, model, {{"x", x}}, 1024);
}

TEST_CASE("relatives: mixtures of experts are those of an independent implementation that asks every expert") {
  auto matches = [](const char* name, moe::MoeConfig config) {
    Section section(name);
    moe::MoeFeedForward model(4, config);
    section.load_into(model);
    Tensor x = section.leaf("x");
    moe::Routing routing = model.router(x);
    section.check("balance", moe::load_balance_loss(routing));
    section.check("z", moe::router_z_loss(routing));
    section.check("importance", moe::importance_loss(routing));
    section.check_with_gradients(model(x), model, {{"x", x}});
    for (const char* router : {"sigmoid", "switch", "expert_choice"}) {
      config.router = router;
      config.top_k = config.router == "switch" ? 1 : 2;
      moe::MoeFeedForward other(4, config);
      section.load_into(other);
      section.check(router, other(x));
    }
    config.router = "softmax";
    config.top_k = 2;
    config.normalize = false;
    moe::MoeFeedForward unscaled(4, config);
    section.load_into(unscaled);
    section.check("unscaled", unscaled(x));
  };
  SUBCASE("GELU, biases and a shared expert") { matches("mixture_gelu", {.experts = 4, .inner = 3, .shared_inner = 5, .bias = true}); }
  SUBCASE("SwiGLU") { matches("mixture_swiglu", {.experts = 4, .inner = 5, .activation = "silu", .gated = true}); }
}

TEST_CASE("relatives: heat maps of poses are those of an independent implementation") {
  Section section("pose");
  pose::PoseNet model({.channels = 1, .keypoints = 2, .width = 2, .blocks = {1, 1}, .enlargements = 2, .enlarged_width = 3});
  section.load_into(model);
  Tensor x = section.leaf("x");
  section.check_with_gradients(model(x), model, {{"x", x}}, 1024);
  model.train();
  section.check("trained", model(x), 1024);  // through norms of few elements
  for (const char* name : {"running_mean", "running_var"})
    section.check(name, model.state().at(std::string("deconv_layers.1.") + name), 256);
}

TEST_CASE("relatives: the space of two encoders and its loss are those of an independent implementation") {
  Section section("shared_space");
  contrastive::SharedSpace model({.image_width = 5, .text_width = 3, .width = 4});
  section.load_into(model);
  Tensor images = section.leaf("images"), texts = section.leaf("texts");
  Tensor logits = model.logits(model.project_image(images), model.project_text(texts));
  section.check("logits", logits);
  section.check_with_gradients(contrastive::symmetric_cross_entropy(logits), model, {{"images", images}, {"texts", texts}}, 1024);
}

TEST_CASE("relatives: an episode of the prototype network is that of an independent implementation") {
  Section section("prototypes");
  contrastive::ConvEmbedding model({.channels = 1, .width = 3, .blocks = 2});
  section.load_into(model);
  Tensor x = section.leaf("x");
  section.check("evaluated", model(x));
  model.train();
  Tensor embedded = model(x), labels = from_vector(std::vector<int64_t>{0, 0, 1, 1});
  Tensor logits = contrastive::prototype_logits(slice(embedded, 0, 0, 4), labels, slice(embedded, 0, 4), 2);
  section.check("logits", logits, 256);
  section.check_with_gradients(cross_entropy(logits, from_vector(std::vector<int64_t>{0, 1})), model, {{"x", x}}, 4096);
}

TEST_CASE("relatives: the feature pyramid is that of an independent implementation") {
  Section section("pyramid");
  detection::FeaturePyramid model({2, 3, 4}, 3);
  section.load_into(model);
  std::vector<Tensor> maps{section.leaf("x0"), section.leaf("x1"), section.leaf("x2")}, levels;
  for (const Tensor& level : model(maps)) levels.push_back(flatten(level));
  section.check_with_gradients(cat(levels), model, {{"x0", maps[0]}, {"x1", maps[1]}, {"x2", maps[2]}});
}

TEST_CASE("relatives: the box decoder is that of an independent implementation") {
  Section section("box_decoder");
  detection::BoxDecoder model(
      {.classes = 2, .width = 4, .stages = 2, .heads = 2, .inner = 3, .dynamic = 2, .roi = {.size = 2, .sampling = 2, .cells = 2}});
  section.load_into(model);
  std::vector<Tensor> levels{section.leaf("level0"), section.leaf("level1")}, parts;
  for (const detection::Prediction& p : model(levels, {4, 8}, section.at("boxes"), section.at("time"))) {
    parts.push_back(flatten(p.logits));
    parts.push_back(flatten(p.boxes) / 16);
  }
  section.check_with_gradients(cat(parts), model, {{"level0", levels[0]}, {"level1", levels[1]}}, 4096);
}
