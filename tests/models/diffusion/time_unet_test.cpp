// The U-Net with a noise level, and with the level at which a jump ends.
#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/teacher_discriminator.h"
#include "models/diffusion/time_unet.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {
const unet::UnetConfig kSmall{.in_channels = 1,
                              .out_channels = 1,
                              .width = 4,
                              .multipliers = {1, 2},
                              .blocks = 1,
                              .attention_levels = {},
                              .groups = 2,
                              .zero_init = false};
}

TEST_CASE("time_unet: the second time has no effect until it is trained, and takes over the weights of a network without") {
  manual_seed(1);
  TimeUnet plain(kSmall), jump(kSmall, true);
  jump.load_state(plain.state(), false);
  Tensor x = randn({3, 1, 8, 8}), t = randn({3}), s = randn({3});
  CHECK(test::difference(jump(x, t, s), plain(x, t)) < 1e-6);
  CHECK(plain(x, t).shape() == x.shape());
  sum(jump(x, t, s)).backward();
  for (const auto& [name, weight] : jump.named_parameters())
    if (name == "second.weight") CHECK(max(abs(weight.grad())).item() > 0);
  CHECK_THROWS_WITH_AS(plain(x, t, s), "time_unet: this network knows no second time", ValueError);
  CHECK_THROWS_WITH_AS(jump(x, t), "time_unet: the second time is missing", ValueError);
  CHECK(plain.last_weight().size(0) == 1);
  CHECK(plain.last_weight().requires_grad());
}

TEST_CASE("time_unet: large batches in parts say what each example alone says") {
  manual_seed(2);
  TimeUnet net(kSmall);
  NoGrad off;
  Tensor x = randn({TimeUnet::kPart + 3, 1, 4, 4}), t = randn({TimeUnet::kPart + 3});
  Tensor all = net(x, t), last = net(narrow(x, 0, TimeUnet::kPart, 3), narrow(t, 0, TimeUnet::kPart, 3));
  CHECK(test::difference(narrow(all, 0, TimeUnet::kPart, 3), last) < 1e-5);
}

TEST_CASE("time_unet: as a discriminator its decoder gets adapters and its features a head") {
  manual_seed(3);
  TimeUnet net(kSmall);
  auto layers = net.decoder_layers();
  REQUIRE(layers.size() > 3);
  TeacherDiscriminator<TimeUnet> judge(net, net.feature_width(), {.rank = 1, .adapted = layers});
  CHECK(judge(randn({2, 1, 8, 8}), ones({2})).shape() == Shape{2});
  CHECK(judge.trained().size() == 2 * layers.size() + 2);
}
