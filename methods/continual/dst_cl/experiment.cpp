// Sparse parts of one network for permuted digits: how the first densities, the rule of growth and the density matter, beside static masks
// and dense networks.
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/continual_baselines.h"
#include "methods/common/image_sets.h"
#include "methods/continual/dst_cl/dst_cl.h"
#include "methods/experiment.h"
#include "models/nn/linear.h"
#include "ops/activation.h"

namespace plumb::methods::dst_cl {
namespace {

// Adam's rates, and what was tuned beside them (README). EWC and replay hold what was learned, and bear a larger rate than fine-tuning.
constexpr double kSparseRate = 2e-2, kDenseRate = 1e-3, kHeldRate = 3e-3;
constexpr double kLwfWeight = 3, kEwcStrength = 100;
constexpr double kAdaptBelow = 0.5;
constexpr int64_t kReplayPerClass = 5;
constexpr double kDensities[] = {0.2, 0.05, 0.02};

// Hidden layers without biases; a head of ten outputs a task.
struct Perceptron : nn::Module {
  nn::Linear up, across, head;
  Perceptron(int64_t inputs, int64_t width, int64_t outputs)
      : up(this, "up", inputs, width, {.bias = false}),
        across(this, "across", width, width, {.bias = false}),
        head(this, "head", width, outputs) {}
  Tensor features(const Tensor& x) const { return relu(across(relu(up(flatten(x, 1))))); }
  Tensor operator()(const Tensor& x) const { return head(features(x)); }
};

struct Problem {
  ContinualStream stream;
  Perceptron start;
};

Problem make_problem(Cell& cell) {
  bool real = cell.budget() != Budget::smoke && images_there("mnist");
  auto count = cell.pick<int64_t>(3, 10, 10);
  ContinualStream stream = domain_stream(real ? data::mnist() : data::digits(), permuted_domains(count, cell.seed()),
                                         {.scenario = Scenario::task,
                                          .share_data = false,
                                          .per_class = cell.pick<int64_t>(12, 100, 400),
                                          .test_per_class = cell.pick<int64_t>(3, 30, 100),
                                          .seed = cell.seed()});
  int64_t inputs = stream.tasks[0].train.x.numel() / stream.tasks[0].train.size(), outputs = stream.outputs();
  Perceptron start(inputs, cell.pick<int64_t>(32, 128, 256), outputs);
  start_without_norms(start, default_generator());
  return {std::move(stream), std::move(start)};
}

ContinualTrainOptions training(const Cell& cell, double rate) {
  return {.epochs = cell.pick<int64_t>(1, 4, 4),
          .batch = cell.pick<int64_t>(16, 64, 64),
          .adam = optim::AdamOptions{.lr = rate},
          .seed = cell.seed()};
}

// A network for each task: nothing is shared, nothing can be forgotten.
class Separate : public ContinualMethod<Perceptron> {
 public:
  bool starts_over() const override { return true; }
  void end_task(Perceptron& net, const TaskContext& context) override { nets_.emplace(context.number, net); }
  Tensor logits(Perceptron& net, const Tensor& x, size_t task) override {
    auto own = nets_.find(task);
    return own == nets_.end() ? net(x) : own->second(x);
  }

 private:
  std::map<size_t, Perceptron> nets_;
};

std::unique_ptr<ContinualLearner> dense(Cell& cell, const Problem& problem) {
  std::unique_ptr<ContinualMethod<Perceptron>> method;
  double rate = cell.is("EWC") || cell.is("replay") ? kHeldRate : kDenseRate;
  if (cell.is("LwF")) method = std::make_unique<Lwf<Perceptron>>(LwfOptions{.weight = kLwfWeight});
  if (cell.is("EWC"))
    method = std::make_unique<ElasticWeights<Perceptron>>(
        ElasticOptions{.ewc = {.strength = kEwcStrength}, .examples = cell.pick<int64_t>(5, 100, 200)});
  if (cell.is("replay")) method = std::make_unique<Replay<Perceptron>>(kReplayPerClass);
  if (cell.is("joint")) method = std::make_unique<JointTraining<Perceptron>>();
  if (cell.is("a network for each task")) method = std::make_unique<Separate>();
  auto learner = std::make_unique<ContinualTrainer<Perceptron>>(problem.start, training(cell, rate), std::move(method));
  if (!cell.is("joint")) return learner;
  return std::make_unique<LearnsAtTheEnd>(std::move(learner));
}

DstOptions sparse_options(Cell& cell, double density) {
  const std::string& v = cell.variant();
  DstOptions o{.density = density, .interval = cell.pick<int64_t>(2, 8, 25)};
  if (v.starts_with("adaptive")) o.adapt_below = kAdaptBelow;
  if (v.starts_with("uniform")) o.initial = Initial::uniform;
  std::string growth = v.substr(v.find(", ") + 2);
  if (growth == "static")
    o.interval = 0;
  else
    o.growth = sparsity::growth_rule_named(growth);
  return o;
}

bool is_sparse(const Cell& cell) { return cell.variant().find(", ") != std::string::npos; }

std::string at(const char* what, double density, const char* unit) { return fmt::format("{}, D = {} ({})", what, density, unit); }

void run_dense(Cell& cell, const Problem& problem) {
  auto learner = dense(cell, problem);
  bool joint = cell.is("joint"), separate = cell.is("a network for each task");
  ContinualResult result = run_continual(*learner, problem.stream, [&](size_t t, const ContinualResult&) {
    cell.progress(static_cast<double>(t + 1) / static_cast<double>(problem.stream.size()));
  });
  for (double density : kDensities) cell.metric(at("accuracy", density, "%"), result.final_accuracy());
  cell.metric("backward transfer (points)", joint ? 0 : result.backward_transfer());
  cell.metric(at("forward transfer", kDensities[0], "points"), joint ? 0 : result.forward_transfer());
  cell.metric(at("weights reused", kDensities[0], "%"), separate ? 0 : 100);
  cell.metric(at("weights unused", kDensities[0], "%"), 0);
}

void run_sparse(Cell& cell, const Problem& problem) {
  double transfer = 0, done = 0;
  auto tasks = static_cast<double>(problem.stream.size());
  for (double density : kDensities) {
    ContinualTrainer<Perceptron> learner(problem.start, training(cell, kSparseRate),
                                         std::make_unique<DstCl<Perceptron>>(sparse_options(cell, density)));
    ContinualResult result = run_continual(learner, problem.stream, [&](size_t t, const ContinualResult& so_far) {
      cell.progress((done + static_cast<double>(t + 1) / tasks) / static_cast<double>(std::size(kDensities)));
      cell.point(at("accuracy on the newest task", density, "%"), "tasks", static_cast<double>(t + 1), so_far.accuracy[t][t]);
    });
    done += 1;
    if (std::abs(result.backward_transfer()) > std::abs(transfer)) transfer = result.backward_transfer();
    cell.metric(at("accuracy", density, "%"), result.final_accuracy());
    const TaskIsolation& isolation = static_cast<DstCl<Perceptron>&>(learner.method()).isolation();
    double reused = 0;
    for (size_t t = 0; t < problem.stream.size(); ++t) {
      cell.point(at("shared weights unused", density, "%"), "tasks", static_cast<double>(t + 1), 100 * isolation.free_shares()[t]);
      cell.point(at("of the mask reused", density, "%"), "tasks", static_cast<double>(t + 1), 100 * isolation.reuse()[t]);
      if (t > 0) reused += 100 * isolation.reuse()[t] / (tasks - 1);
    }
    if (density != kDensities[0]) continue;
    cell.metric(at("forward transfer", density, "points"), result.forward_transfer());
    cell.metric(at("weights reused", density, "%"), reused);
    cell.metric(at("weights unused", density, "%"), 100 * isolation.free_share());
  }
  cell.metric("backward transfer (points)", transfer);
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] { return make_problem(cell); });
  is_sparse(cell) ? run_sparse(cell, *problem) : run_dense(cell, *problem);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "CL-with-DST",
      .paper =
          "Yildirim et al.: Continual Learning with Dynamic Sparse Training: Exploring Algorithms for Effective Model Updates, CPAL 2024",
      .claim =
          "sparse parts of one network forget nothing, and searching them by pruning and growth beats fixed ones where they are "
          "very sparse",
      .metrics = {{"accuracy, D = 0.05 (%)"},
                  {"accuracy, D = 0.2 (%)"},
                  {"accuracy, D = 0.02 (%)"},
                  {"backward transfer (points)"},
                  {"forward transfer, D = 0.2 (points)"},
                  {"weights reused, D = 0.2 (%)", Better::neither},
                  {"weights unused, D = 0.2 (%)", Better::neither}},
      .variants = {{"fine-tuning", "the dense network, task after task"},
                   {"LwF", "dense, the outputs of earlier tasks distilled from the network before the task"},
                   {"EWC", "dense, weights held by their Fisher information"},
                   {"replay", "dense, with 5 stored examples of every class of every task"},
                   {"joint", "dense, all tasks at once"},
                   {"a network for each task", "dense and ten times as large: the upper bound"},
                   {"ERK, static", "a random mask for each task"},
                   {"uniform, static", "a random mask, the same density in every layer"},
                   {"ERK, random", "rounds of pruning and growth: random places"},
                   {"uniform, random", "the same, uniform at first"},
                   {"ERK, unfired", "places that have not been active in the task"},
                   {"uniform, unfired", "the same, uniform at first"},
                   {"ERK, gradient", "places of the largest gradient"},
                   {"uniform, gradient", "the same, uniform at first"},
                   {"ERK, momentum", "places of the largest momentum"},
                   {"uniform, momentum", "the same, uniform at first"},
                   {"adaptive, gradient", "ERK and gradient; uniform and random once less than half of the weights is unused"}},
      .baseline = "ERK, static",
      .method = "ERK, gradient",
      .run = run};
}

}  // namespace plumb::methods::dst_cl
