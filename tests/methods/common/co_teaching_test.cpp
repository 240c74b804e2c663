// Co-teaching: which examples are chosen, the share that is forgotten, who learns what from whom, and mistakes.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/co_teaching.h"
#include "models/mlp/mlp.h"
#include "models/nn/containers.h"
#include "models/nn/norm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("co-teaching: the smallest losses are chosen, lower places first among equals") {
  Tensor losses = tensor({.5, .1, .9, .1, .4, .7, .2});
  CHECK(to_vector<int64_t>(small_loss_select(losses, .2)) == std::vector<int64_t>{1, 3, 6, 4, 0});
  CHECK(small_loss_select(losses, 0).size(0) == 7);
  CHECK(to_vector<int64_t>(small_loss_select(ones({4}), .5)) == std::vector<int64_t>{0, 1});
  CHECK(small_loss_select(rand({10}), .9).size(0) == 1);  // 1 − .9 is a little less than .1
}

TEST_CASE("co-teaching: the share to forget rises evenly and stays") {
  double wanted[] = {0, .05, .1, .15, .2, .2, .2};
  for (int64_t epoch = 0; epoch < 7; ++epoch) CHECK(forget_schedule(epoch, .2, 5) == doctest::Approx(wanted[epoch]).epsilon(1e-12));
  CHECK(forget_schedule(0, .3) == .3);
  CHECK(forget_schedule(0, .3, 1) == 0);
  CHECK(forget_schedule(1, .3, 1) == .3);
}

TEST_CASE("co-teaching: each network learns what the other chose, from the other's half") {
  manual_seed(3);
  mlp::MlpConfig config{.inputs = 3, .hidden = {}, .outputs = 2};
  mlp::Mlp first(config), second(config);
  Tensor x = randn({8, 3}), y = tensor({0, 1, 1, 0, 1, 0, 0, 1});
  for (bool in_halves : {false, true}) {
    CAPTURE(in_halves);
    CoTeachingTrainer<mlp::Mlp> trainer(first, second, {.halves = in_halves}, {.lr = .1});
    auto logits = [](mlp::Mlp& net, const Tensor& in) { return net(in); };
    auto losses = trainer.step(x, y, .5, logits, logits);
    // Network 1 by hand: the smaller losses of network 2 on its part, and a step of gradient descent on them.
    Tensor part = in_halves ? narrow(x, 0, 4, 4) : x, truth = in_halves ? narrow(y, 0, 4, 4) : y;
    Tensor chosen = small_loss_select(cross_entropy(second(part), truth, {.reduction = Reduction::none}), .5);
    mlp::Mlp by_hand = first;
    Tensor loss = cross_entropy(by_hand(index_select(part, 0, chosen)), index_select(truth, 0, chosen));
    loss.backward();
    CHECK(losses[0] == doctest::Approx(loss.item()).epsilon(1e-6));
    Tensor weight = by_hand.parameters()[0];
    check_close(trainer.network(0).parameters()[0], to_vector(weight.detach() - .1 * weight.grad()), 1e-5);
    CHECK(to_vector(trainer.network(1).parameters()[0]) != to_vector(second.parameters()[0]));
  }
}

TEST_CASE("co-teaching: frozen batch norms use their running statistics and keep their weights") {
  struct Net : nn::Module {
    nn::Linear up{this, "up", 3, 4};
    nn::BatchNorm norm{this, "norm", 4};
    nn::Linear down{this, "down", 4, 2};
    Tensor operator()(const Tensor& x) const { return down(norm(up(x))); }
  };
  manual_seed(4);
  Net first, second;
  auto state = [](Net& net) {
    std::vector<double> out;
    for (const auto& [name, value] : net.norm.state())
      for (double v : to_vector(value)) out.push_back(v);
    return out;
  };
  auto before = state(first);
  CoTeachingTrainer<Net> trainer(first, second, {.freeze_norms = true}, {.lr = .1, .weight_decay = .1});
  auto logits = [](Net& net, const Tensor& in) { return net(in); };
  auto weights = to_vector(trainer.network(0).up.weight);
  trainer.step(randn({6, 3}), tensor({0, 1, 1, 0, 1, 0}), .3, logits, logits);
  CHECK(state(trainer.network(0)) == before);
  CHECK(to_vector(trainer.network(0).up.weight) != weights);
}

TEST_CASE("co-teaching: mistakes are named") {
  CHECK_THROWS_WITH_AS(small_loss_select(ones({4}), 1), "co_teaching: the share to forget must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(small_loss_select(ones({4}), -.5), "co_teaching: the share to forget must lie in [0, 1), it is -0.5", ValueError);
  CHECK_THROWS_WITH_AS(small_loss_select(ones({2}), .9), "co_teaching: of 2 examples none is left after forgetting a share of 0.9",
                       ValueError);
  CHECK_THROWS_WITH_AS(halves(ones({5, 2})), "co_teaching: a batch of 5 examples has no equal halves", ValueError);
  CHECK_THROWS_WITH_AS(forget_schedule(0, .2, -1), "co_teaching: the share rises over -1 epochs", ValueError);
}
