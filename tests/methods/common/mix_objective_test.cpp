// Mixing by name: every name trains, those that bring parameters give them, and unknown names are named.
#include "methods/common/mix_objective.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "methods/common/pooled_cnn.h"
#include "models/optim/sgd.h"
#include "ops/loss.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

FeatureNetwork cnn_trunk(const PooledCnnConfig& config) {
  auto net = std::make_shared<PooledCnn>(config);
  return {net, [net = net.get()](const Tensor& x) { return net->features(x); }};
}

}  // namespace

TEST_CASE("mix objective: every name gives a finite loss whose gradient reaches the network and what it brings") {
  manual_seed(1);
  PooledCnnConfig config{.channels = 1, .height = 8, .width = 8, .classes = 3, .first = 4, .features = 6};
  Generator g(2);
  Tensor x = rand({8, 1, 8, 8}, {.generator = &g}), y = tensor({0, 1, 2, 0, 1, 2, 0, 1});
  CHECK(mix_names().size() == 12);
  for (const std::string& name : mix_names()) {
    CAPTURE(name);
    PooledCnn net(config);
    auto objective = mix_objective(name, {.classes = 3, .features = 6, .trunk = cnn_trunk(config)});
    CHECK((objective->module() != nullptr) == (name == "adamixup"));
    Tensor loss = objective->loss(staged(net), x, y, g);
    CHECK(loss.numel() == 1);
    CHECK((loss.item() > 0 && loss.item() < 20));
    loss.backward();
    for (const Tensor& p : net.parameters()) CHECK(p.grad().defined());
    if (!objective->module()) continue;
    CHECK(objective->module()->named_parameters().size() == net.named_parameters().size() + 8);
    for (const auto& p : objective->module()->named_parameters())
      CHECK_MESSAGE(p.tensor.grad().defined() == !p.name.starts_with("trunk.head"), p.name);
  }
}

TEST_CASE("mix objective: none is the plain cross-entropy, with label smoothing if asked for") {
  manual_seed(3);
  PooledCnn net({.channels = 1, .height = 8, .width = 8, .classes = 3, .first = 4, .features = 6});
  net.eval();
  Generator g(4);
  Tensor x = rand({4, 1, 8, 8}, {.generator = &g}), y = tensor({0, 1, 2, 0});
  for (double smoothing : {0.0, 0.2})
    CHECK(mix_objective("none", {.classes = 3, .label_smoothing = smoothing})->loss(staged(net), x, y, g).item() ==
          doctest::Approx(cross_entropy(net(x), y, {.label_smoothing = smoothing}).item()).epsilon(1e-6));
}

TEST_CASE("mix objective: bad requests are named") {
  CHECK_THROWS_WITH_AS(mix_objective("puzzlemix", {}),
                       "mixing \"puzzlemix\" is unknown; choose none, mixup, cutmix, manifold-mixup, resizemix, fmix, decoupled-mixup, "
                       "decoupled-cutmix, decoupled-manifold-mixup, decoupled-resizemix, decoupled-fmix, adamixup",
                       ConfigError);
  CHECK_THROWS_WITH_AS(mix_objective("mixup", {.alpha = -1}), "mix_objective: alpha must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(mix_objective("decoupled-mixup", {.eta = -0.5}), "decoupled_mixup: eta must not be negative, it is -0.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(mix_objective("adamixup", {.features = 4}),
                       "adamixup: the region needs a trunk, a network of the classifier's form with weights of its own", ValueError);
}
