// Schedules and ramps: their values at the points that define them.
#include "models/optim/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"

using namespace plumb;
using doctest::Approx;

TEST_CASE("schedules: constant, linear, polynomial, exponential, by steps") {
  CHECK(optim::constant(0.3)(77) == 0.3);
  auto linear = optim::linear(10, 1, 0.2);
  CHECK(linear(0) == 1);
  CHECK(linear(5) == Approx(0.6));
  CHECK(linear(10) == Approx(0.2));
  CHECK(linear(50) == Approx(0.2));
  CHECK(optim::polynomial(10, 2)(5) == Approx(0.25));
  CHECK(optim::polynomial(10, 2)(11) == 0);
  CHECK(optim::exponential(0.9)(3) == Approx(0.729));
  auto steps = optim::step_decay(30);
  CHECK(steps(29) == 1);
  CHECK(steps(30) == Approx(0.1));
  CHECK(steps(89) == Approx(0.01));
  auto milestones = optim::milestones({60, 120}, 0.2);
  CHECK(milestones(59) == 1);
  CHECK(milestones(60) == Approx(0.2));
  CHECK(milestones(500) == Approx(0.04));
}

TEST_CASE("schedules: cosine, with restarts, with warm-up, FixMatch's") {
  auto cosine = optim::cosine(100, 1, 0.1);
  CHECK(cosine(0) == 1);
  CHECK(cosine(50) == Approx(0.55));
  CHECK(cosine(25) == Approx(0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2));
  CHECK(cosine(100) == Approx(0.1));
  CHECK(cosine(1000) == Approx(0.1));
  auto again = optim::cosine_restarts(10, 2);
  CHECK(again(0) == 1);
  CHECK(again(5) == Approx(0.5));
  CHECK(again(10) == 1);
  CHECK(again(20) == Approx(0.5));
  CHECK(again(30) == 1);
  CHECK(optim::cosine_restarts(10)(35) == Approx(0.5));
  auto warm = optim::cosine_with_warmup(100, 2000, 0.1);
  CHECK(warm(0) == Approx(0.01));
  CHECK(warm(49) == Approx(0.5));
  CHECK(warm(99) == 1);
  CHECK(warm(100) == 1);
  CHECK(warm(1050) == Approx(0.55));
  CHECK(warm(2000) == Approx(0.1));
  CHECK(optim::cosine_with_warmup(0, 10)(5) == Approx(0.5));
  CHECK(optim::cosine_7_16(8)(8) == Approx(std::cos(7 * 3.14159265358979 / 16)));
}

TEST_CASE("schedules: inverse square root peaks after its warm-up; one cycle goes up and down") {
  auto inverse = optim::inverse_sqrt(100);
  CHECK(inverse(49) == Approx(0.5));
  CHECK(inverse(99) == 1);
  CHECK(inverse(399) == Approx(0.5));
  auto cycle = optim::one_cycle(100, 0.3, 25, 1e4);
  CHECK(cycle(0) == Approx(0.04));
  CHECK(cycle(15) == Approx(0.52));
  CHECK(cycle(30) == Approx(1));
  CHECK(cycle(65) == Approx((1 + 1e-4) / 2));
  CHECK(cycle(100) == Approx(1e-4));
}

TEST_CASE("schedules: composed") {
  auto s = optim::sequence({{10, optim::linear(10, 0, 1)}, {20, optim::constant()}, {5, optim::linear(5)}});
  CHECK(s(5) == Approx(0.5));
  CHECK(s(10) == 1);
  CHECK(s(29) == 1);
  CHECK(s(32) == Approx(0.6));
  CHECK(s(40) == 0);
  CHECK(optim::scaled(optim::product(optim::linear(10), optim::constant(0.5)), 4)(5) == Approx(1));
  CHECK(optim::warmup(4, optim::linear(10))(1) == Approx(0.5));
  CHECK(optim::warmup(4, optim::linear(10))(6) == Approx(0.4));  // counts from the beginning
}

TEST_CASE("ramps: from nearly nothing to one, and down again") {
  auto up = optim::sigmoid_rampup(80);
  CHECK(up(0) == Approx(std::exp(-5.0)));
  CHECK(up(40) == Approx(std::exp(-1.25)));
  CHECK(up(80) == 1);
  CHECK(up(81) == 1);
  CHECK(optim::sigmoid_rampup(0)(0) == 1);
  CHECK(optim::linear_rampup(10)(3) == Approx(0.3));
  CHECK(optim::linear_rampup(0)(0) == 1);
  auto down = optim::sigmoid_rampdown(100, 50);
  CHECK(down(50) == 1);
  CHECK(down(75) == Approx(std::exp(-12.5 * 0.25)));
  CHECK(down(100) == Approx(std::exp(-12.5)));
}

TEST_CASE("schedules: lengths that make no sense are refused") {
  CHECK_THROWS_WITH_AS(optim::cosine(0), "cosine: steps must be at least 1, it is 0", ValueError);
  CHECK_THROWS_AS(optim::one_cycle(10, 1.0), ValueError);
  CHECK_THROWS_AS(optim::cosine_with_warmup(10, 10), ValueError);
  CHECK_THROWS_AS(optim::sequence({}), ValueError);
}
