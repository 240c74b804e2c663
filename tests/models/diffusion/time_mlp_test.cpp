// The perceptron with a noise level: its waves, its start, its second time, its derivatives.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/time_mlp.h"
#include "ops/random.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("level_waves: sines, cosines and the level itself") {
  auto w = to_vector(level_waves(tensor({0.3, -1.0}, f64)));
  REQUIRE(w.size() == 18);
  for (size_t k = 0; k < 4; ++k) {
    double f = std::pow(2.0, static_cast<double>(k));
    CHECK(w[k] == doctest::Approx(std::sin(0.3 * f)).epsilon(1e-12));
    CHECK(w[4 + k] == doctest::Approx(std::cos(0.3 * f)).epsilon(1e-12));
    CHECK(w[9 + k] == doctest::Approx(-std::sin(f)).epsilon(1e-12));
  }
  CHECK(w[8] == 0.3);
  CHECK(w[17] == -1);
}

TEST_CASE("TimeMlp: keeps the input's shape, and starts with the variances it says") {
  manual_seed(1);
  TimeMlp net({.features = 64});
  CHECK(net(randn({3, 1, 8, 8}), zeros({3})).shape() == Shape{3, 1, 8, 8});
  CHECK(net.num_parameters() == 73 * 256 + 256 + 2 * (256 * 256 + 256) + 256 * 64 + 64);
  for (const auto& [name, p] : net.named_parameters()) {
    CAPTURE(name);
    if (name.ends_with("bias")) {
      for (double v : to_vector(p)) CHECK(v == 0);
      continue;
    }
    double std = (name == "output.weight" ? 0.1 : 1) / std::sqrt(static_cast<double>(p.size(1))), n = static_cast<double>(p.numel());
    CHECK(std_dev(p).item() == doctest::Approx(std).epsilon(4 / std::sqrt(2 * n)));
  }
}

TEST_CASE("TimeMlp: a network with a second time, loaded from one without, computes the same until it is trained") {
  manual_seed(2);
  TimeMlp teacher({.features = 4, .hidden = {8, 8}}), student({.features = 4, .hidden = {8, 8}, .second_time = true});
  auto report = student.load_state(teacher.state(), false);
  CHECK(report.missing == std::vector<std::string>{"second.weight"});
  CHECK(report.unexpected.empty());
  Tensor x = randn({5, 4}), t = randn({5}), s = randn({5});
  CHECK(test::same_bits(student(x, t, s), teacher(x, t)));
  sum(square(student(x, t, s))).backward();
  CHECK(max(abs(student.named_parameters().back().tensor.grad())).item() > 0);  // it can leave its zero
  CHECK_THROWS_WITH_AS(teacher(x, t, s), "time_mlp: this network knows no second time", ValueError);
  CHECK_THROWS_WITH_AS(student(x, t), "time_mlp: the second time is missing", ValueError);
  CHECK_THROWS_WITH_AS(teacher(randn({5, 3}), t), "time_mlp: takes 4 numbers an example, got [5, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(TimeMlp({.hidden = {}}), "time_mlp: needs features and a hidden layer, got 64 and 0", ValueError);
}

TEST_CASE("TimeMlp: a condition tells examples apart, and must come with one row an example") {
  manual_seed(5);
  TimeMlp net({.features = 4, .hidden = {8}, .condition = 3}), plain({.features = 4, .hidden = {8}});
  CHECK(net.num_parameters() == plain.num_parameters() + 3 * 8);
  Tensor x = expand(randn({1, 4}), {2, 4}), t = zeros({2}), classes = tensor({{1.0, 0.0, 0.0}, {0.0, 0.0, 1.0}});
  std::vector<double> y = to_vector(net(x, t, {}, classes)), same = to_vector(net(x, t, {}, expand(slice(classes, 0, 0, 1), {2, 3})));
  for (size_t k = 0; k < 4; ++k) {
    CHECK(std::abs(y[k] - y[4 + k]) > 1e-5);
    CHECK(same[k] == same[4 + k]);
  }
  CHECK_THROWS_WITH_AS(net(x, t), "time_mlp: the condition is missing", ValueError);
  CHECK_THROWS_WITH_AS(plain(x, t, {}, classes), "time_mlp: this network knows no condition", ValueError);
  CHECK_THROWS_WITH_AS(net(x, t, {}, zeros({2, 4})), "time_mlp: takes 3 numbers of a condition for each of 2 examples, got [2, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(TimeMlp({.condition = -1}), "time_mlp: a condition has no negative number of numbers: -1", ValueError);
}

TEST_CASE("TimeMlp: derivatives agree with differences, copies are independent") {
  manual_seed(3);
  TimeMlp net({.features = 3, .hidden = {6, 5}, .second_time = true});
  net.to(f64);
  Tensor x = randn({4, 3}, {.dtype = f64}), t = randn({4}, {.dtype = f64}), s = randn({4}, {.dtype = f64});
  plumb_test::check_module_gradients(net, {x, t, s}, [&] { return net(x, t, s); });
  TimeMlp copy = net;
  CHECK(test::same_bits(copy(x, t, s), net(x, t, s)));
  CHECK_FALSE(copy.last_weight().same_as(net.last_weight()));
}
