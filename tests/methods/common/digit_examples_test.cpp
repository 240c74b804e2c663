// Digits as rows, chosen by place, and a perceptron that learns them.
#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/common/digit_examples.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("digit_examples: all digits as rows, and rows by place") {
  DigitExamples all = digit_examples();
  CHECK(all.x.shape() == Shape{1797, 64});
  CHECK(all.size() == 1797);
  CHECK(min(all.x).item() == 0);
  CHECK(max(all.x).item() == 1);
  DigitExamples some = all.at({5, 2}), start = all.first(6);
  CHECK(to_vector<int64_t>(some.label) == std::vector<int64_t>{to_vector<int64_t>(all.label)[5], to_vector<int64_t>(all.label)[2]});
  CHECK(to_vector(start.at({5}).x) == to_vector(some.first(1).x));
}

TEST_CASE("train_on_digits: the same seed gives the same network, which knows what it was shown") {
  DigitExamples some = digit_examples().first(200);
  auto trained = [&] {
    manual_seed(3);
    mlp::Mlp network(mlp::MlpConfig{.inputs = 64, .hidden = {32}, .outputs = 10});
    train_on_digits(network, some, 40);
    return network;
  };
  mlp::Mlp network = trained(), again = trained();
  NoGrad off;
  Tensor logits = network(some.x);
  CHECK(to_vector(logits) == to_vector(again(some.x)));
  CHECK(mean(to(argmax(logits, 1) == some.label, f64)).item() > 0.95);
}
