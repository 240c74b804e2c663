// Averages of weights.
#include "models/optim/ema.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/linear.h"

using namespace plumb;
using doctest::Approx;

namespace {

struct Net : nn::Module {
  nn::Linear up{this, "up", 2, 2};
  nn::Buffer mean{this, "mean", zeros({2})};
  nn::Buffer count{this, "count", zeros({}, i64)};
  Net() { set(0); }
  // Everything in it is `value`.
  void set(double value) {
    for (Tensor t : parameters()) copy_data(full(t.shape(), value), t);
    for (Tensor t : buffers()) copy_data(full(t.shape(), value), t);
  }
  double weight() const { return to_vector(up.weight)[3]; }
};

}  // namespace

TEST_CASE("ema: is the recursion, starts as a copy, leaves the source alone") {
  Net student;
  student.set(4);
  optim::Ema<Net> teacher(student, {.decay = 0.75});
  CHECK(teacher.model.weight() == 4);
  student.set(8);
  teacher.update(student);
  CHECK(teacher.model.weight() == Approx(5));
  student.set(0);
  teacher.update(student);
  CHECK(teacher.model.weight() == Approx(3.75));
  CHECK(student.weight() == 0);
  CHECK(teacher.updates() == 2);
  for (const Tensor& p : teacher.model.parameters()) CHECK_FALSE(p.requires_grad());
  for (const Tensor& p : student.parameters()) CHECK(p.requires_grad());
  teacher.update(student, 0);
  CHECK(teacher.model.weight() == 0);
}

TEST_CASE("ema: the rule for buffers is explicit; counters are always whole numbers of the source") {
  for (auto rule : {optim::EmaBuffers::copy, optim::EmaBuffers::average, optim::EmaBuffers::keep}) {
    Net student;
    optim::Ema<Net> teacher(student, {.decay = 0.75, .buffers = rule});
    student.set(8);
    teacher.update(student);
    double mean = to_vector(teacher.model.mean)[0];
    int64_t count = teacher.model.count.item<int64_t>();
    CHECK(mean == Approx(rule == optim::EmaBuffers::copy ? 8 : rule == optim::EmaBuffers::average ? 2 : 0));
    CHECK(count == (rule == optim::EmaBuffers::keep ? 0 : 8));
  }
}

TEST_CASE("ema: with warm-up the decay is (1 + k)/(10 + k) until it reaches its own") {
  optim::EmaOptions o{.decay = 0.5, .warmup = true};
  CHECK(optim::ema_decay(o, 0) == Approx(0.1));
  CHECK(optim::ema_decay(o, 5) == Approx(0.4));
  CHECK(optim::ema_decay(o, 100) == 0.5);
}

TEST_CASE("ema: with bias correction it is the weighted mean of what was seen") {
  Net student;
  student.set(1000);
  optim::Ema<Net> teacher(student, {.decay = 0.9, .bias_correct = true});
  double weighted = 0, weights = 0;
  for (int k = 0; k < 6; ++k) {
    double value = std::sin(k) * 3;
    student.set(value);
    teacher.update(student);
    weighted = 0.9 * weighted + 0.1 * value;
    weights = 0.9 * weights + 0.1;
    CHECK(teacher.model.weight() == Approx(weighted / weights).epsilon(1e-5));
  }
}

TEST_CASE("ema: weights of 16 bits are averaged in f32, where small steps are not rounded away") {
  for (DType type : {bf16, f16}) {
    Net student;
    student.to(type);
    student.set(1);
    optim::Ema<Net> teacher(student, {.decay = 0.999});
    student.set(2);
    for (int k = 0; k < 1000; ++k) teacher.update(student);
    CHECK(teacher.model.up.weight.dtype() == f32);
    CHECK(teacher.model.weight() == Approx(2 - std::pow(0.999, 1000)).epsilon(1e-4));
    Net average = student;
    CHECK_THROWS_WITH_AS(optim::ema_update(average, student, 0.999),
                         "ema: an average of f16 or bf16 does not move; convert it to f32 (ema_widen)", DTypeError);
  }
}

TEST_CASE("ema: modules of another structure are refused") {
  struct Other : nn::Module {
    nn::Linear down{this, "down", 2, 2};
  };
  Net net;
  Other other;
  CHECK_THROWS_WITH_AS(optim::ema_update(other, net, 0.5), "ema: \"down.weight\" in the average stands where the source has \"up.weight\"",
                       ValueError);
  CHECK_THROWS_WITH_AS((optim::Ema<Net>(net, {.decay = 1})), "ema: decay must lie in [0, 1), it is 1", ValueError);
}
