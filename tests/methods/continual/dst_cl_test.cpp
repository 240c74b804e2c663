// Dynamic sparse training of a stream: what tasks leave for ever, what the trained network and the tested one share, the limits; the
// experiment.
#include "methods/continual/dst_cl/dst_cl.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/local_logits.h"
#include "methods/runner.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/measured.h"

namespace plumb::methods::dst_cl {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using dst_cl::DstCl;
using dst_cl::DstOptions;

namespace {

// Two layers, a norm and a head with a bias: weights with masks and all that has none.
struct Net : nn::Module {
  nn::Linear up, across;
  nn::LayerNorm norm;
  nn::Linear head;
  Net() : up(this, "up", 64, 20), across(this, "across", 20, 20), norm(this, "norm", 20), head(this, "head", 20, 30) {}
  Tensor features(const Tensor& x) const { return relu(across(norm(relu(up(flatten(x, 1)))))); }
  Tensor operator()(const Tensor& x) const { return head(features(x)); }
};

Net start() {
  manual_seed(7);
  return Net();
}

const ContinualStream& three_tasks() {
  static const ContinualStream stream =
      domain_stream(data::digits(), permuted_domains(3, 1),
                    {.scenario = Scenario::task, .share_data = false, .per_class = 8, .test_per_class = 4, .seed = 2});
  return stream;
}

ContinualTrainOptions training(int64_t epochs = 3) { return {.epochs = epochs, .batch = 16, .adam = optim::AdamOptions{.lr = 3e-3}}; }

std::vector<double> numbers(const nn::Module& module) {
  std::vector<double> all;
  for (const Tensor& p : module.parameters())
    for (double x : to_vector(p)) all.push_back(x);
  return all;
}

struct Learner {
  ContinualTrainer<Net> trainer;
  explicit Learner(const DstOptions& options, ContinualTrainOptions train = training())
      : trainer(start(), std::move(train), std::make_unique<DstCl<Net>>(options)) {}
  DstCl<Net>& method() { return static_cast<DstCl<Net>&>(trainer.method()); }
  const dst_cl::TaskIsolation& isolation() { return method().isolation(); }
  std::vector<double> logits(size_t task) {
    NoGrad off;
    return to_vector(trainer.logits(three_tasks().tasks[task].test.x, task));
  }
};

// Looks at the network after every step.
struct Watched : DstCl<Net> {
  std::function<void(Net&, const TaskContext&)> look;
  Watched(const DstOptions& options, std::function<void(Net&, const TaskContext&)> look) : DstCl<Net>(options), look(std::move(look)) {}
  void after_step(Net& net, const TaskContext& context) override {
    DstCl<Net>::after_step(net, context);
    look(net, context);
  }
};

int64_t nonzero_count(const Tensor& x) { return count_nonzero(x).item<int64_t>(); }

}  // namespace

TEST_CASE("dst_cl: layers with masks are the weights, of the head the task's own rows, and densities count those") {
  Net net = start();
  auto layers = dst_cl::masked_layers(net, {10, 20});
  REQUIRE(layers.size() == 3);
  CHECK(layers[2].rows(layers[2].weight).shape() == Shape{10, 20});
  CHECK_FALSE(layers[2].shared);
  CHECK(layers[0].shared);
  dst_cl::TaskIsolation isolation(net);
  Generator g(1);
  dst_cl::DynamicSparseTrainer training(layers, isolation, {.density = 0.1}, g);
  auto wanted = sparsity::erk_densities({{20, 64}, {20, 20}, {10, 20}}, 0.1);
  auto masks = training.masks();
  for (size_t l = 0; l < 3; ++l) {
    auto n = static_cast<double>(layers[l].rows(layers[l].weight).numel());
    CHECK(nonzero_count(masks[l]) == std::llround(wanted[l] * n));
    CHECK(nonzero_count(where(masks[l], 0, layers[l].weight.detach())) == 0);
  }
  CHECK(nonzero_count(narrow(masks[2], 0, 0, 10)) == 0);
  CHECK(nonzero_count(narrow(masks[2], 0, 20, 10)) == 0);
  dst_cl::DynamicSparseTrainer uniform(layers, isolation, {.density = 0.1, .initial = dst_cl::Initial::uniform}, g);
  CHECK(nonzero_count(uniform.masks()[1]) == 40);
}

TEST_CASE("dst_cl: through rounds of every rule a layer's number of weights stays, and outside the mask all is 0") {
  using sparsity::GrowthRule, sparsity::PruneRule;
  std::pair<PruneRule, GrowthRule> rules[] = {{PruneRule::magnitude, GrowthRule::random},   {PruneRule::magnitude, GrowthRule::unfired},
                                              {PruneRule::magnitude, GrowthRule::gradient}, {PruneRule::magnitude, GrowthRule::momentum},
                                              {PruneRule::set, GrowthRule::gradient},       {PruneRule::taylor, GrowthRule::gradient}};
  ContinualExamples batch = three_tasks().tasks[0].train;
  for (auto [prune, growth] : rules) {
    Net net = start();
    dst_cl::TaskIsolation isolation(net);
    Generator g(3);
    dst_cl::DynamicSparseTrainer masks(dst_cl::masked_layers(net, {0, 10}), isolation, {.prune = prune, .growth = growth, .interval = 2},
                                       g);
    optim::Adam adam(net.parameters(), {.lr = 3e-3});
    auto first = masks.masks();
    for (int64_t step = 1; step <= 6; ++step) {
      adam.zero_grad();
      local_cross_entropy(net(batch.x), batch.labels, 0, 10).backward();
      adam.step();
      masks.after_step(step, 6, &adam);
      auto now = masks.masks();
      auto weights = dst_cl::masked_layers(net, {0, 10});
      for (size_t l = 0; l < 3; ++l) {
        CHECK(nonzero_count(now[l]) == nonzero_count(first[l]));
        CHECK(nonzero_count(where(now[l], 0, weights[l].weight.detach())) == 0);
        if (step == 1) CHECK(to_vector(now[l]) == to_vector(first[l]));
        if (step == 2) CHECK(to_vector(now[l]) != to_vector(first[l]));
      }
    }
  }
}

TEST_CASE("dst_cl: frozen weights never change, and a task's answers stay what they were, bit for bit") {
  for (double decay : {0.0, 0.1}) {  // decay would move frozen weights
    auto train = training();
    train.adam->weight_decay = decay;
    Learner learner({.density = 0.3, .interval = 4}, train);
    std::vector<std::vector<double>> answers;
    std::vector<std::vector<Tensor>> frozen;  // Θ and where it was used, after each task
    for (size_t t = 0; t < 3; ++t) {
      learner.trainer.learn(three_tasks(), t);
      auto trained = numbers(learner.trainer.model());
      answers.push_back(learner.logits(t));
      CHECK(numbers(learner.trainer.model()) == trained);
      for (size_t s = 0; s <= t; ++s) CHECK(learner.logits(s) == answers[s]);
      std::vector<Tensor> now;
      for (size_t l = 0; l < 3; ++l) now.push_back(where(learner.isolation().used(l), learner.isolation().store(l), 0));
      if (t > 0)
        for (size_t l = 0; l < 3; ++l) {
          Tensor was = frozen.back()[l];
          CHECK(to_vector(where(was != 0, now[l], 0)) == to_vector(was));
        }
      frozen.push_back(now);
    }
    CHECK(learner.isolation().reuse()[0] == 0);
    CHECK(learner.isolation().reuse()[2] > 0.2);
    CHECK(learner.isolation().free_shares()[2] < learner.isolation().free_shares()[0]);
  }
}

TEST_CASE("dst_cl: the network that is tested is the one that was trained, with reused weights grown mid-task") {
  // Few free places, so that growth must take used ones.
  Learner learner({.density = 0.7, .growth = sparsity::GrowthRule::random, .interval = 3});
  for (size_t t = 0; t < 3; ++t) {
    learner.trainer.learn(three_tasks(), t);
    NoGrad off;
    Tensor x = three_tasks().tasks[t].test.x;
    auto working = to_vector(learner.trainer.model()(x));  // before anything is loaded
    Net loaded = start();
    learner.isolation().load_task(loaded, t);
    CHECK(to_vector(loaded(x)) == working);
  }
  CHECK(learner.isolation().reuse()[1] > 0.5);
}

TEST_CASE("dst_cl: density 1 without rounds is dense training, bit for bit; with rounds it is not") {
  ContinualTrainer<Net> dense(start(), training());
  dense.learn(three_tasks(), 0);
  // The head's rows of other tasks are outside the mask, so they are left out of the comparison.
  auto learned = [](Net& net) {
    std::vector<double> all = numbers(net.up), more = numbers(net.across), rows = to_vector(narrow(net.head.weight, 0, 0, 10));
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), rows.begin(), rows.end());
    return all;
  };
  Learner never({.density = 1, .interval = 1000}), rounds({.density = 1, .interval = 4});
  never.trainer.learn(three_tasks(), 0);
  rounds.trainer.learn(three_tasks(), 0);
  CHECK(learned(never.trainer.model()) == learned(dense.model()));
  CHECK(learned(rounds.trainer.model()) != learned(dense.model()));
  CHECK(rounds.isolation().mask(0, 0).count() == 1280);
}

TEST_CASE("dst_cl: no round within the task is a static mask") {
  Learner none({.density = 0.2, .interval = 0}), late({.density = 0.2, .interval = 1000}), rounds({.density = 0.2, .interval = 5});
  for (Learner* l : {&none, &late, &rounds}) l->trainer.learn(three_tasks(), 0);
  CHECK(numbers(none.trainer.model()) == numbers(late.trainer.model()));
  CHECK(numbers(none.trainer.model()) != numbers(rounds.trainer.model()));
}

TEST_CASE("dst_cl: SGD's momentum is masked with the weights, and growth sees it before") {
  std::vector<double> outside;
  auto look = [&](Net& net, const TaskContext& context) {
    Tensor buffer = context.optimizer->state().tensors.at("0.momentum");
    if (context.step % 4 != 0) outside.push_back(max(abs(where(net.up.weight.detach() == 0, buffer, 0))).item());
  };
  ContinualTrainer<Net> trainer(start(), {.epochs = 2, .batch = 16, .sgd = {.lr = 0.05, .momentum = 0.9}},
                                std::make_unique<Watched>(DstOptions{.growth = sparsity::GrowthRule::momentum, .interval = 4}, look));
  trainer.learn(three_tasks(), 0);
  REQUIRE_FALSE(outside.empty());
  for (double x : outside) CHECK(x == 0);
  ContinualTrainer<Net> plain(start(), {.epochs = 1, .batch = 16, .sgd = {.lr = 0.05, .momentum = 0}},
                              std::make_unique<DstCl<Net>>(DstOptions{.growth = sparsity::GrowthRule::momentum, .interval = 1}));
  CHECK_THROWS_WITH_AS(plain.learn(three_tasks(), 0), "sparsity: growth by momentum needs an optimiser with momentum", ValueError);
}

TEST_CASE("dst_cl: tasks to come are answered by the latest network, whose outputs stand for theirs") {
  Learner learner({.density = 0.3});
  CHECK(learner.logits(0).size() == 40 * 30);  // nothing was trained: the network as it is
  learner.trainer.learn(three_tasks(), 0);
  NoGrad off;
  const Tensor& x = three_tasks().tasks[2].test.x;
  Tensor z = learner.trainer.logits(x, 2), latest = learner.trainer.logits(x, 0);
  CHECK(to_vector(narrow(z, 1, 20, 10)) == to_vector(narrow(latest, 1, 0, 10)));
}

TEST_CASE("dst_cl: a run of a stream forgets exactly nothing, and the adaptive choice comes with the lack of free weights") {
  ContinualTrainer<Net> trainer(start(), training(15),
                                std::make_unique<DstCl<Net>>(DstOptions{.density = 0.4, .interval = 4, .adapt_below = 0.65}));
  ContinualResult result = run_continual(trainer, three_tasks());
  CHECK(result.backward_transfer() == 0);
  CHECK(result.forgetting() == 0);
  CHECK(result.final_accuracy() > 40);
  auto& isolation = static_cast<DstCl<Net>&>(trainer.method()).isolation();
  // ERK in the first task; 60 % are free before the second, which is less than 65 %: uniform.
  auto erk = sparsity::erk_densities({{20, 64}, {20, 20}, {10, 20}}, 0.4);
  CHECK(isolation.mask(0, 1).count() == std::llround(erk[1] * 400));
  CHECK(isolation.mask(1, 1).count() == 160);
}

TEST_CASE("dst_cl: mistakes are named") {
  CHECK_THROWS_WITH_AS(DstCl<Net>(DstOptions{.density = 0}), "dst_cl: the density must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(DstCl<Net>(DstOptions{.interval = -1}), "dst_cl: -1 steps between rounds", ValueError);
  CHECK_THROWS_WITH_AS(DstCl<Net>(DstOptions{.death = 0.1, .least_death = 0.2}),
                       "sparsity: death rates must have 0 <= least <= first <= 1, they are 0.2 and 0.1", ValueError);
  CHECK_THROWS_WITH_AS(dst_cl::initial_named("even"), "dst_cl: the initial density \"even\" is unknown; choose erk or uniform",
                       ConfigError);
  Net net = start();
  dst_cl::TaskIsolation isolation(net);
  CHECK_THROWS_WITH_AS(isolation.load_task(net, 1), "dst_cl: task 2 was never trained; 0 were", ValueError);
  CHECK_THROWS_WITH_AS(isolation.merge(net, {}), "dst_cl: 0 masks for 3 weights", ShapeError);
  Learner tiny({.density = 0.001, .initial = dst_cl::Initial::uniform});
  CHECK_THROWS_WITH_AS(tiny.trainer.learn(three_tasks(), 0),
                       "sparsity: a density of 0.001 leaves none of the 400 weights of a layer [20, 20]", ValueError);
  ContinualStream classes = class_stream(data::digits(), {.tasks = 2, .per_class = 4, .test_per_class = 2});
  Learner wrong({.density = 0.3});
  CHECK_THROWS_WITH_AS(wrong.trainer.learn(classes, 0), "dst_cl: needs a task stream, since a test example's mask is its task's",
                       ValueError);
  CHECK_THROWS_WITH_AS(dst_cl::masked_layers(nn::LayerNorm(Shape{4}), {0, 2}), "dst_cl: the network has no weights that could be masked",
                       ValueError);
}

TEST_CASE("dst_cl: the experiment measures every variant at the smoke budget, and no sparse one forgets") {
  Results results = run_experiment({"continual", "dst_cl", &dst_cl::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 17);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    bool sparse = cell.variant.find(", ") != std::string::npos;
    if (sparse) CHECK(measured(results, cell.variant, "backward transfer (points)") == 0);
    double unused = measured(results, cell.variant, "weights unused, D = 0.2 (%)"),
           reused = measured(results, cell.variant, "weights reused, D = 0.2 (%)");
    if (!sparse) continue;
    CHECK((unused > 40 && unused < 80));  // 100 · 0.8³ = 51 where masks are drawn at random
    CHECK((reused > 0 && reused < 60));
  }
  CHECK(measured(results, "a network for each task", "backward transfer (points)") == 0);
}
