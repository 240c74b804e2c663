// The continual trainer and its baselines: hooks, batches, what weight 0 comes to, and who forgets.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "methods/common/continual_baselines.h"
#include "methods/common/small_cnn.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

SmallCnn small_net() {
  manual_seed(1);
  return SmallCnn({.width = 4, .features = 16});
}

ContinualStream five_tasks(Scenario scenario = Scenario::classes) {
  return class_stream(data::digits(), {.scenario = scenario, .tasks = 5, .per_class = 30, .test_per_class = 10});
}

// All numbers of a network after the first `tasks` tasks.
template <typename Method, typename... Args>
std::vector<double> trained(const ContinualStream& stream, size_t tasks, Args... args) {
  ContinualTrainer<SmallCnn> learner(small_net(), {.epochs = 2, .batch = 16}, std::make_unique<Method>(args...));
  for (size_t t = 0; t < tasks; ++t) learner.learn(stream, t);
  std::vector<double> all;
  for (const Tensor& p : learner.model().parameters())
    for (double x : to_vector(p)) all.push_back(x);
  return all;
}

using FineTuning = ContinualMethod<SmallCnn>;

struct Recording : FineTuning {
  std::vector<std::string>* said;
  explicit Recording(std::vector<std::string>* said) : said(said) {}
  void begin_task(SmallCnn& net, const TaskContext& c) override {
    said->push_back("begin " + std::to_string(c.number));
    CHECK(net.training());
    CHECK_FALSE(net.bn1.training());
  }
  Tensor loss(SmallCnn& net, const ContinualExamples& batch, const TaskContext& c) override {
    std::string labels;
    for (int64_t label : to_vector<int64_t>(batch.labels)) labels += std::to_string(label);
    said->push_back(labels);
    c.generator.next_u64();
    return FineTuning::loss(net, batch, c);
  }
  void after_step(SmallCnn&, const TaskContext&) override { said->push_back("step"); }
  void end_task(SmallCnn&, const TaskContext& c) override { said->push_back("end " + std::to_string(c.number)); }
};

}  // namespace

TEST_CASE("continual trainer: hooks come in order, with every example once an epoch, and the same batches for one seed") {
  ContinualStream stream = five_tasks();
  auto record = [&](uint64_t seed) {
    std::vector<std::string> said;
    std::vector<double> shares;
    ContinualTrainer<SmallCnn> learner(small_net(),
                                       {.epochs = 2, .batch = 32, .seed = seed, .progress = [&](size_t, double s) { shares.push_back(s); }},
                                       std::make_unique<Recording>(&said));
    auto before = to_vector(learner.model().bn1.running_mean);
    learner.learn(stream, 0);
    CHECK(shares == std::vector<double>{0.5, 1});
    CHECK(to_vector(learner.model().bn1.running_mean) == before);
    return said;
  };
  auto said = record(0);
  REQUIRE(said.size() == 1 + 2 * 4 + 1);  // 60 examples: 32 and 28
  CHECK(said.front() == "begin 0");
  CHECK(said[1].size() == 32);
  CHECK(said[2] == "step");
  CHECK(said[3].size() == 28);
  std::string epoch = said[1] + said[3];
  CHECK(std::ranges::count(epoch, '0') == 30);
  CHECK(said.back() == "end 0");
  CHECK(record(0) == said);
  CHECK(record(1) != said);
}

TEST_CASE("continual trainer: LwF and EWC of weight 0 are fine-tuning bit for bit, and are not otherwise") {
  for (Scenario scenario : {Scenario::classes, Scenario::task}) {
    ContinualStream stream = five_tasks(scenario);
    auto plain = trained<FineTuning>(stream, 2);
    CHECK(trained<Lwf<SmallCnn>>(stream, 2, LwfOptions{.weight = 0}) == plain);
    CHECK(trained<Lwf<SmallCnn>>(stream, 1) == trained<FineTuning>(stream, 1));  // nothing to keep yet
    CHECK(trained<Lwf<SmallCnn>>(stream, 2) != plain);
    CHECK(trained<ElasticWeights<SmallCnn>>(stream, 2, ElasticOptions{.ewc = {.strength = 0}, .examples = 10}) == plain);
    CHECK(trained<ElasticWeights<SmallCnn>>(stream, 2, ElasticOptions{.ewc = {.strength = 1}, .examples = 10}) != plain);
    CHECK(trained<Replay<SmallCnn>>(stream, 1, 5) == trained<FineTuning>(stream, 1));
    CHECK(trained<Replay<SmallCnn>>(stream, 2, 5) != plain);
  }
}

TEST_CASE("continual trainer: a stronger EWC stays nearer to where the first task ended") {
  ContinualStream stream = five_tasks();
  auto after_one = trained<FineTuning>(stream, 1);
  auto distance = [&](double strength) {
    auto after = trained<ElasticWeights<SmallCnn>>(stream, 2, ElasticOptions{.ewc = {.strength = strength}, .examples = 20});
    double sum = 0;
    for (size_t i = 0; i < after.size(); ++i) sum += (after[i] - after_one[i]) * (after[i] - after_one[i]);
    return sum;
  };
  CHECK(distance(5) < distance(0));
}

TEST_CASE("continual trainer: in a class stream fine-tuning forgets, replay less, joint training not at all") {
  ContinualStream stream = class_stream(data::digits(), {.tasks = 2, .first = 4, .seed = 1});
  auto run = [&](std::unique_ptr<ContinualMethod<SmallCnn>> method) {
    ContinualTrainer<SmallCnn> learner(small_net(), {.epochs = 3, .batch = 32}, std::move(method));
    return run_continual(learner, stream);
  };
  auto plain = run({}), replay = run(std::make_unique<Replay<SmallCnn>>(20)), joint = run(std::make_unique<JointTraining<SmallCnn>>());
  CHECK(plain.accuracy[0][0] > 85);
  CHECK(plain.accuracy[1][0] < 30);
  CHECK(plain.recency > 85);  // of two tasks: 50 % would be right
  CHECK(replay.final_accuracy() > plain.final_accuracy() + 15);
  CHECK(joint.final_accuracy() > 85);
  CHECK(joint.final_accuracy() > replay.final_accuracy());
  CHECK(plain.forgetting() > replay.forgetting());
}

TEST_CASE("continual trainer: a clipped gradient is no longer than it may be") {
  ContinualTrainer<SmallCnn> learner(small_net(), {.epochs = 1, .batch = 60, .sgd = {.lr = 1}, .clip = 1e-2});
  learner.learn(five_tasks(), 0);  // one step
  SmallCnn start = small_net();
  std::vector<Tensor> before = start.parameters(), after = learner.model().parameters();
  double moved = 0;
  for (size_t k = 0; k < before.size(); ++k) moved += sum(square(after[k].detach() - before[k].detach())).item();
  CHECK(std::sqrt(moved) == doctest::Approx(1e-2).epsilon(1e-3));
}

TEST_CASE("continual trainer: the backbone is all but the head, and mistakes are named") {
  SmallCnn net = small_net();
  auto backbone = backbone_parameters(net);
  CHECK(backbone.size() + 2 == net.named_parameters().size());
  for (const auto& p : backbone) CHECK_FALSE(p.name.starts_with("head"));
  CHECK_THROWS_WITH_AS(ContinualTrainer<SmallCnn>(net, {.epochs = 0}), "continual: 0 epochs of batches of 64", ValueError);
  CHECK_THROWS_WITH_AS(ContinualTrainer<SmallCnn>(net, {.clip = -1}), "continual: gradients cannot be clipped at -1", ValueError);
  ContinualTrainer<SmallCnn> learner(net);
  ContinualStream stream = five_tasks();
  CHECK_THROWS_WITH_AS(learner.learn(stream, 5), "continual: no classes are left for task 6: the stream's 5 tasks have brought all 10",
                       ValueError);
}

TEST_CASE("continual trainer: a learner at the end answers as it started until the last task, and is asked no more") {
  ContinualStream stream = five_tasks();
  LearnsAtTheEnd joint(std::make_unique<ContinualTrainer<SmallCnn>>(small_net(), ContinualTrainOptions{.epochs = 1, .batch = 32},
                                                                    std::make_unique<JointTraining<SmallCnn>>()));
  ContinualTrainer<SmallCnn> every(small_net(), {.epochs = 1, .batch = 32}, std::make_unique<JointTraining<SmallCnn>>());
  const Tensor& x = stream.tasks[0].test.x;
  auto answers = [&](ContinualLearner& learner) {
    NoGrad off;
    return to_vector(learner.logits(x, 0));
  };
  auto before = answers(joint);
  for (size_t t = 0; t < 4; ++t) joint.learn(stream, t);
  CHECK(answers(joint) == before);
  joint.learn(stream, 4);
  every.learn(stream, 4);
  CHECK(answers(joint) == answers(every));
  CHECK_THROWS_AS(joint.learn(stream, 5), ValueError);
}
