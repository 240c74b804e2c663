// Data, the tower, and stage one kept for every stage two.
#include "methods/continual/ovor/problem.h"

#include <cmath>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/shapes.h"
#include "engine/data/step_batches.h"
#include "methods/common/image_sets.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ovor {
namespace {

struct Sources {
  data::Dataset before;  // what the tower is trained on
  data::DatasetParts digits;
  int64_t side, patch, classes;
};

Sources sources(const Cell& cell) {
  int64_t count = cell.pick<int64_t>(200, 6000, 60'000);
  if (cell.budget() != Budget::smoke && images_there("mnist") && images_there("fashion_mnist"))
    return {data::fashion_mnist().train().take(count), data::mnist(), 28, 7, 10};
  data::ShapeOptions shape{.size = 8, .channels = 1, .max_shapes = 1, .min_radius = 0.25, .max_radius = 0.45, .seed = cell.seed()};
  return {data::shapes(count, shape).cache(), data::digits(), 8, 2, data::kShapeKinds};
}

transformer::VisionTransformer pretrained(Cell& cell, const Sources& from) {
  bool smoke = cell.budget() == Budget::smoke;
  transformer::VisionTransformer tower({.image_height = from.side,
                                        .image_width = from.side,
                                        .channels = 1,
                                        .patch = from.patch,
                                        .classes = from.classes,
                                        .layers = 3,
                                        .heads = 4,
                                        .width = smoke ? 16 : 48,
                                        .inner = smoke ? 32 : 96});
  int64_t steps = cell.pick<int64_t>(10, 400, 8000);
  optim::Adam adam(tower.parameters(), {.lr = 2e-3});
  optim::Schedule rate = optim::cosine_with_warmup(steps / 10, steps);
  data::StepBatches batches(from.before, {.batch = 64, .seed = default_generator().next_u64()});
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    adam.set_lr_scale(rate(step));
    adam.zero_grad();
    cross_entropy(tower(batch.image), batch.label).backward();
    adam.step();
    if (step % 10 == 0) cell.progress(0);
  }
  return tower;
}

// The stream's images in one table, and their places in it instead.
Tensor take_images(ContinualStream& stream, int64_t& tests) {
  std::vector<Tensor> images;
  int64_t next = 0;
  auto move = [&](ContinualExamples& part) {
    images.push_back(part.x);
    part.x = arange(next, next + part.size());
    next += part.size();
  };
  for (ContinualTask& task : stream.tasks) move(task.test);
  tests = next;
  for (ContinualTask& task : stream.tasks) move(task.train);
  return cat(images);
}

}  // namespace

Problem make_problem(Cell& cell) {
  Sources from = sources(cell);
  Problem problem{pretrained(cell, from),
                  class_stream(from.digits, {.tasks = 5,
                                             .per_class = cell.pick<int64_t>(12, 200, 1000),
                                             .test_per_class = cell.pick<int64_t>(6, 80, 400),
                                             .seed = cell.seed()}),
                  {},
                  {},
                  0};
  problem.images = take_images(problem.stream, problem.tests);
  PromptedVision plain(problem.tower, {.kind = PromptKind::none}, 1);
  problem.queries = Ovor<PromptedVision>::features_of(plain, problem.images);
  return problem;
}

TableNet::TableNet(std::shared_ptr<const Problem> p, const PromptOptions& options)
    : PromptedVision(p->tower, options, p->stream.outputs()), problem(std::move(p)) {}

PromptedFeatures TableNet::prompted(const Tensor& places) const {
  Tensor queries = index_select(problem->queries, 0, places);
  if (prompts.options().kind == PromptKind::none) return {queries, {}};
  return PromptedVision::prompted(index_select(problem->images, 0, places), queries);
}

WholeNet::WholeNet(std::shared_ptr<const Problem> p)
    : tower(p->tower), head(p->tower.config().width, p->stream.outputs()), problem(std::move(p)) {
  register_module("tower", tower);
  register_module("head", head);
}

Tensor WholeNet::features(const Tensor& places) const { return select(tower.hidden(index_select(problem->images, 0, places)), 1, 0); }

namespace {

// Stage one, which is kept as it ends.
struct Recording : Ovor<TableNet> {
  std::vector<StageOne::Task>* tasks;
  Recording(const OvorOptions& options, std::vector<StageOne::Task>* tasks) : Ovor<TableNet>(options), tasks(tasks) {}
  void end_task(TableNet& net, const TaskContext& context) override {
    Tensor train = features_of(net, context.task().train.x);  // in training mode: the task is known
    net.eval();
    Tensor tests = features_of(net, arange(net.problem->tests));
    tasks->push_back({train, tests, net.head, context.optimizer->state()});
  }
};

}  // namespace

StageOne train_stage_one(Cell& cell, std::shared_ptr<const Problem> problem, const PromptOptions& prompts, const OvorOptions& options,
                         const ContinualTrainOptions& training) {
  StageOne out{{}, TableNet(problem, prompts), training};
  ContinualTrainer<TableNet> trainer(out.start, training, std::make_unique<Recording>(options, &out.tasks));
  for (size_t t = 0; t < problem->stream.size(); ++t) {
    cell.progress(0);
    trainer.learn(problem->stream, t);
  }
  return out;
}

StageTwo::StageTwo(std::shared_ptr<const StageOne> one, const OvorOptions& options, double sigma_share, uint64_t seed)
    : one_(std::move(one)), net_(one_->start), options_(options), sigma_share_(sigma_share), generator_(seed) {}

void StageTwo::learn(const ContinualStream& stream, size_t t) {
  const ContinualTask& task = stream.at(t);
  const StageOne::Task& one = one_->tasks.at(t);
  {
    NoGrad off;
    for (auto [from, to] : {std::pair{one.head.weight, net_.head.weight}, std::pair{one.head.bias, net_.head.bias}}) {
      Tensor rows = narrow(to, 0, task.classes.begin, task.classes.size());
      copy_data(narrow(from, 0, task.classes.begin, task.classes.size()), rows);
    }
  }
  auto optimizer = methods::detail::continual_optimizer(net_.parameters(), one_->training);
  optimizer->load_state(one.optimizer);
  options_.vor.sampler.sigma = sigma_share_ * mean(norm(one.train, 2, {1})).item() / std::sqrt(static_cast<double>(one.train.size(1)));
  if (options_.head_epochs > 0) stage_two(net_.head, one.train, task.train.labels, task.classes, *optimizer, options_, generator_);
  learned_ = t + 1;
}

Tensor StageTwo::logits(const Tensor& places, size_t) {
  const Tensor& features = learned_ == 0 ? net_.problem->queries : one_->tasks[learned_ - 1].tests;
  return net_.head(index_select(features, 0, places));
}

}  // namespace plumb::methods::ovor
