// Streams of tasks: what they hold, when no classes are left, and what a learner of known skill comes to.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "methods/common/continual.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

ContinualExamples numbers(int64_t begin, int64_t task) {
  return {tensor({{double(begin)}, {double(begin + 1)}}), tensor({begin, begin + 1}), tensor({task, task})};
}
// Three tasks of two classes, one example each: x is the label.
ContinualStream number_stream(Scenario scenario) {
  ContinualStream s{.scenario = scenario, .tasks = {}};
  for (int64_t t = 0; t < 3; ++t) s.tasks.push_back({numbers(2 * t, t), numbers(2 * t, t), {2 * t, 2 * t + 2}});
  return s;
}

// Knows the classes of the task that it learned last and of the next one; finds all outputs alike for others.
struct Forgetful : ContinualLearner {
  int64_t last = -2;
  void learn(const ContinualStream& stream, size_t t) override {
    stream.at(t);
    last = static_cast<int64_t>(t);
  }
  Tensor logits(const Tensor& x, size_t) override {
    Tensor label = to(select(x, 1, 0), i64), known = (label >= 2 * last) == (label < 2 * last + 4);
    return to(one_hot(label, 6), f32) * unsqueeze(to(known, f32), 1);
  }
};

}  // namespace

TEST_CASE("continual: a class stream shares out all classes, with labels in the order of their coming") {
  auto stream = class_stream(data::digits(), {.tasks = 3, .first = 4, .per_class = 20, .test_per_class = 7, .seed = 3});
  REQUIRE(stream.size() == 3);
  CHECK(stream.outputs() == 10);
  CHECK(stream.tasks[0].classes == ClassRange{0, 4});
  CHECK(stream.tasks[2].classes == ClassRange{7, 10});
  for (size_t t = 0; t < 3; ++t) {
    const ContinualTask& task = stream.tasks[t];
    CHECK(task.train.size() == 20 * task.classes.size());
    CHECK(task.test.size() == 7 * task.classes.size());
    CHECK(task.train.x.shape() == Shape{task.train.size(), 1, 8, 8});
    for (int64_t label : to_vector<int64_t>(task.test.labels)) CHECK((label >= task.classes.begin && label < task.classes.end));
    for (int64_t number : to_vector<int64_t>(task.train.task)) CHECK(number == static_cast<int64_t>(t));
  }
  CHECK(stream.old(0).size() == 0);
  CHECK(stream.old(2) == ClassRange{0, 7});
  CHECK(stream.seen(1) == ClassRange{0, 7});
  CHECK(stream.judged(0, 1) == ClassRange{0, 7});
  auto other = class_stream(data::digits(), {.tasks = 3, .first = 4, .per_class = 20, .test_per_class = 7, .seed = 4});
  CHECK(to_vector(other.tasks[0].train.x) != to_vector(stream.tasks[0].train.x));
}

TEST_CASE("continual: the same tasks, told which, are told apart by their own outputs") {
  auto stream = class_stream(data::digits(), {.scenario = Scenario::task});
  CHECK(stream.judged(1, 4) == ClassRange{2, 4});
  CHECK(stream.judged(4, 0) == ClassRange{8, 10});
  CHECK(stream.old(3) == ClassRange{0, 6});
}

TEST_CASE("continual: domains show all classes, and have outputs of their own where the task is known") {
  auto domains = permuted_domains(3, 5);
  auto same = domain_stream(data::digits(), domains, {.share_data = false, .seed = 1});
  CHECK(same.outputs() == 10);
  CHECK(same.judged(2, 0) == ClassRange{0, 10});
  CHECK(same.old(0).size() == 0);
  CHECK(same.old(1) == ClassRange{0, 10});
  auto own = domain_stream(data::digits(), domains, {.scenario = Scenario::task, .share_data = false, .seed = 1});
  CHECK(own.outputs() == 30);
  CHECK(own.tasks[2].classes == ClassRange{20, 30});
  CHECK(to_vector(own.tasks[2].test.labels) == to_vector(same.tasks[2].test.labels + 20));
  CHECK(domain_stream(data::digits(), domains, {.share_data = true}).tasks[0].train.size() < 500);  // a third of 1,438

  // One order of the pixels a domain, for all images alike; the first as it is.
  auto whole = data::digits().test().batch(359).next().image;
  CHECK(to_vector(same.tasks[0].test.x) == to_vector(whole));
  Tensor places = reshape(arange(64, f32), {1, 1, 8, 8});
  Generator g;
  auto order = to_vector<int64_t>(domains[1].view(places, g));
  CHECK(std::set<int64_t>(order.begin(), order.end()).size() == 64);
  CHECK(to_vector<int64_t>(domains[2].view(places, g)) != order);
  CHECK(to_vector<int64_t>(domains[1].view(places, g)) == order);
  CHECK(to_vector(same.tasks[1].test.x) == to_vector(index_select(flatten(whole, 1), 1, from_vector(order))));
}

TEST_CASE("continual: the matrix and its measures, for a learner that knows its last task and the next one") {
  Forgetful learner;
  size_t calls = 0;
  ContinualResult r = run_continual(learner, number_stream(Scenario::classes), [&](size_t t, const ContinualResult& so_far) {
    CHECK(t == calls++);
    CHECK(so_far.accuracy[t][t] == 100);
  });
  CHECK(calls == 3);
  // What is not known is taken for output 0 (class by class), or for the first of its task.
  CHECK(r.accuracy == data::AccuracyMatrix{{100, 0, 0}, {50, 100, 0}, {50, 0, 100}});
  CHECK(r.within == data::AccuracyMatrix{{100, 100, 50}, {50, 100, 100}, {50, 50, 100}});
  CHECK(r.before == std::vector<double>{50, 50, 50});
  CHECK(r.final_accuracy() == doctest::Approx(50));
  CHECK(r.incremental_accuracy() == doctest::Approx((100 + 75 + 50) / 3.0));
  CHECK(r.forgetting() == doctest::Approx(75));
  CHECK(r.backward_transfer() == doctest::Approx(-75));
  CHECK(r.forward_transfer() == doctest::Approx(50));
  CHECK(r.within_accuracy() == doctest::Approx(200 / 3.0));
  CHECK(r.recency == doctest::Approx(100 / 3.0));     // two of six
  CHECK(r.cross_task == doctest::Approx(100 / 3.0));  // both of the second task

  Forgetful again;
  ContinualResult told = run_continual(again, number_stream(Scenario::task));
  CHECK(told.accuracy == r.within);
  CHECK(told.cross_task == 0);
}

TEST_CASE("continual: a stream with no classes left is one clear error") {
  CHECK_THROWS_WITH_AS(class_stream(data::digits(), {.tasks = 11}), "continual: no classes are left for task 11 of 11: the data have 10",
                       ValueError);
  CHECK_THROWS_WITH_AS(class_stream(data::digits(), {.tasks = 4, .first = 8}),
                       "continual: no classes are left for task 4 of 4: the data have 10, the first task is to have 8", ValueError);
  CHECK_THROWS_WITH_AS(class_stream(data::digits(), {.tasks = 2, .first = 11}),
                       "continual: no classes are left for task 1 of 2: the data have 10, the first task is to have 11", ValueError);
  ContinualStream stream = number_stream(Scenario::classes);
  Forgetful learner;
  CHECK_THROWS_WITH_AS(learner.learn(stream, 3), "continual: no classes are left for task 4: the stream's 3 tasks have brought all 6",
                       ValueError);
  CHECK_THROWS_WITH_AS(run_continual(learner, {}), "continual: the stream has no tasks, and so no classes", ValueError);
  CHECK_THROWS_WITH_AS(domain_stream(data::digits(), {}), "continual: the stream has no tasks, and so no classes", ValueError);
  stream.tasks[1].classes = {2, 2};
  CHECK_THROWS_WITH_AS(run_continual(learner, stream), "continual: task 2 has no classes: [2, 2)", ValueError);
  stream.tasks[1].classes = {2, 3};
  CHECK_THROWS_WITH_AS(run_continual(learner, stream), "continual: task 2 has a training label 3 outside its classes [2, 3)", IndexError);
  stream.tasks[0].test = {};
  CHECK_THROWS_WITH_AS(run_continual(learner, stream), "continual: task 1 has no test examples", ValueError);
}
