// Discriminators made of a teacher.
#include <doctest/doctest.h>

#include "engine/autograd/backward.h"
#include "models/diffusion/teacher_discriminator.h"
#include "models/diffusion/time_mlp.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("teacher_discriminator: adapters and head are trained, the teacher's weights stay, and it learns to tell two clouds apart") {
  manual_seed(1);
  TimeMlp teacher({.features = 3, .hidden = {16, 16}});
  TeacherDiscriminator<TimeMlp> d(teacher, 16, {.rank = 2, .adapted = {"hidden.0"}});
  CHECK(d.trained().size() == 4);  // up and down of one layer, weight and bias of the head
  auto frozen = [&] {
    StateDict state = d.body.state();
    for (const auto& [name, tensor] : teacher.state())
      if (!test::same_bits(state.at(name), tensor)) return false;
    return true;
  };
  optim::Adam adam(d.trained(), {.lr = 0.02});
  Tensor a = randn({64, 3}) * 0.3 + 0.5, b = randn({64, 3}) * 0.3 - 0.5, sigma = full({64}, 2.0);
  double first = 0, last = 0;
  for (int k = 0; k < 60; ++k) {
    adam.zero_grad();
    Tensor loss = mean(softplus(-d(a, sigma))) + mean(softplus(d(b, sigma)));
    (k == 0 ? first : last) = loss.item();
    loss.backward();
    adam.step();
  }
  CHECK(last < 0.6 * first);
  CHECK(frozen());
  CHECK(d(a, sigma).shape() == Shape{64});
}

TEST_CASE("teacher_discriminator: the condition counts only where it is asked for, rank 0 trains everything, and copies are independent") {
  manual_seed(2);
  TimeMlp teacher({.features = 3, .hidden = {16, 16}});
  Tensor x = randn({8, 3}), low = full({8}, 0.01), high = full({8}, 40.0);
  TeacherDiscriminator<TimeMlp> told(teacher, 16, {.rank = 2}), deaf(teacher, 16, {.rank = 2, .conditional = false}),
      whole(teacher, 16, {.rank = 0});
  CHECK(test::difference(told(x, low), told(x, high)) > 1e-4);
  CHECK(test::same_bits(deaf(x, low), deaf(x, high)));
  CHECK(whole.trained().size() == teacher.parameters().size() + 2);
  TeacherDiscriminator<TimeMlp> copy = told;
  copy.head.weight = zeros({1, 16});
  copy.head.bias = zeros({1});
  CHECK(max(abs(copy(x, low))).item() == 0);
  CHECK(max(abs(told(x, low))).item() > 0);
  CHECK_THROWS_AS(TeacherDiscriminator<TimeMlp>(teacher, 16, {.adapted = {"nothing"}}), ValueError);
}
