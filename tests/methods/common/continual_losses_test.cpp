// Losses of continual learning: classes outside the range have no part, teachers get no gradient, and what is refused. The worked numbers
// are in rehearsal_free_test.cpp.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "methods/common/continual_losses.h"
#include "ops/loss.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("continual losses: outputs outside the range have a gradient of exactly 0") {
  Generator g(1);
  Tensor logits = randn({4, 6}, {.generator = &g}).requires_grad_();
  Tensor teacher = randn({4, 6}, {.generator = &g}).requires_grad_();
  knowledge_distillation(logits, teacher, 0, 2).backward();
  CHECK_FALSE(teacher.grad().defined());
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t c = 0; c < 6; ++c) CHECK((select(select(logits.grad(), 0, i), 0, c).item() == 0) == (c >= 2));
}

TEST_CASE("continual losses: examples of several tasks compete each among its own") {
  Generator g(2);
  Tensor logits = randn({4, 5}, {.generator = &g}).requires_grad_(), labels = tensor({1, 4, 0, 2}), task = tensor({0, 1, 0, 1});
  Tensor loss = ranged_cross_entropy(logits, labels, task, {{0, 2}, {2, 5}});
  auto alone = [&](int64_t i, int64_t begin, int64_t end) {
    return local_cross_entropy(narrow(logits, 0, i, 1), narrow(labels, 0, i, 1), begin, end).item();
  };
  CHECK(loss.item() == doctest::Approx((alone(0, 0, 2) + alone(1, 2, 5) + alone(2, 0, 2) + alone(3, 2, 5)) / 4).epsilon(1e-6));
  loss.backward();
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t c = 0; c < 5; ++c) CHECK((select(select(logits.grad(), 0, i), 0, c).item() == 0) == ((c < 2) != (i % 2 == 0)));
}

TEST_CASE("continual losses: mistakes are named") {
  Tensor logits = zeros({2, 4});
  CHECK_THROWS_WITH_AS(ranged_cross_entropy(logits, tensor({1, 2}), tensor({0, 1}), {{0, 4}}),
                       "ranged_cross_entropy: task 1 is outside [0, 1)", IndexError);
  CHECK_THROWS_WITH_AS(ranged_cross_entropy(logits, tensor({1, 2}), tensor({0, 0}), {{0, 2}}),
                       "ranged_cross_entropy: label 2 is outside [0, 2), the classes of task 0", IndexError);
  CHECK_THROWS_WITH_AS(knowledge_distillation(logits, logits, 0, 2, 0), "knowledge_distillation: the temperature is 0, it must be positive",
                       ValueError);
  CHECK_THROWS_WITH_AS(knowledge_distillation(logits, logits, 0, 0), "knowledge_distillation: there are no old classes in [0, 0)",
                       ValueError);
  CHECK_THROWS_WITH_AS(knowledge_distillation(logits, zeros({2, 5}), 0, 2),
                       "knowledge_distillation: a teacher's [2, 5] for a student's [2, 4], of which [0, 2) are old", ShapeError);
  CHECK_THROWS_WITH_AS(feature_distillation(zeros({2, 3}), zeros({2, 4})), "feature_distillation: features [2, 3], the teacher's [2, 4]",
                       ShapeError);
}
