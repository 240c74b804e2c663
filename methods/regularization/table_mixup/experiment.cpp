// The common table of mixing: the same few images, network, optimiser and steps for every way of mixing examples.
#include <algorithm>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "engine/data/step_batches.h"
#include "methods/common/mix_objective.h"
#include "methods/common/pooled_cnn.h"
#include "methods/common/table_images.h"
#include "methods/experiment.h"
#include "methods/regularization/adamixup/adamixup.h"
#include "models/metrics/calibration.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/join.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::mixup_table {
namespace {

constexpr int64_t kFeatures = 64, kBins = 15;
constexpr double kRate = 0.05;

std::string in(const std::string& measure, const char* set, const char* unit) {
  return std::string(set) + ": " + measure + " (" + unit + ")";
}

// What the variants of a seed share, for one set of images.
struct Problem {
  data::Dataset train;
  Tensor test, test_labels;
  PooledCnnConfig network;
  PooledCnn initial;
  int64_t classes;
};

// `count` of them, all classes in the same proportions, in memory.
data::Dataset some_of(const data::Dataset& all, int64_t count, uint64_t seed) {
  double share = std::min(1.0, static_cast<double>(count) / static_cast<double>(all.size()));
  data::Batch batch = all.split({share, 1 - share}, {.seed = seed, .stratified = true})[0].batch(count).next();
  return data::from_tensors({{"image", batch.image}, {"label", batch.label}});
}

Problem make_problem(const Cell& cell, const char* set) {
  bool digits = std::string_view(set) == kTableSets[0];
  TableImages images = table_images(set, cell.budget() == Budget::smoke);
  int64_t count = digits ? cell.pick<int64_t>(100, 500, 500) : cell.pick<int64_t>(100, 4000, 50'000);
  data::Dataset train = some_of(images.train, count, default_generator().next_u64());
  data::Batch test = images.test.batch(images.test.size()).next();
  auto labels = train.labels();
  int64_t classes = *std::ranges::max_element(labels) + 1;
  const Tensor& x = test.image;
  PooledCnnConfig network{.channels = x.size(1), .height = x.size(2), .width = x.size(3), .classes = classes, .features = kFeatures};
  return {train, x, test.label, network, PooledCnn(network), classes};
}

std::unique_ptr<MixObjective> objective_of(const Cell& cell, const Problem& p) {
  using adamixup::AdaMixUp;
  constexpr std::pair<const char*, const char*> kNames[]{{"no mixing", "none"},
                                                         {"mixup", "mixup"},
                                                         {"CutMix", "cutmix"},
                                                         {"Manifold Mixup", "manifold-mixup"},
                                                         {"ResizeMix", "resizemix"},
                                                         {"FMix", "fmix"},
                                                         {"mixup + DM", "decoupled-mixup"},
                                                         {"CutMix + DM", "decoupled-cutmix"},
                                                         {"AdaMixUp", "adamixup"}};
  if (cell.is("mixup + originals"))
    return std::make_unique<AdaMixUp>(adamixup::AdaMixUpConfig{.classes = p.classes, .region = false, .discriminator = false});
  MixObjectiveOptions options{.classes = p.classes, .alpha = 1, .features = kFeatures};
  if (cell.is("AdaMixUp")) {
    auto trunk = std::make_shared<PooledCnn>(p.network);
    options.trunk = {trunk, [net = trunk.get()](const Tensor& x) { return net->features(x); }};
  }
  for (auto [variant, name] : kNames)
    if (cell.is(variant)) return mix_objective(name, options);
  throw ValueError("mixup table: no objective for " + cell.variant());
}

Tensor probabilities(PooledCnn& net, const Tensor& images) {
  NoGrad off;
  net.eval();
  std::vector<Tensor> parts;
  for (const Tensor& some : split(images, 500)) parts.push_back(softmax(net(some), 1));
  net.train();
  return cat(parts);
}

// Trains the cell's variant on one set and records what comes of it.
void run_set(Cell& cell, const char* set, double from) {
  auto problem = cell.shared(set, [&] { return make_problem(cell, set); });
  bool digits = std::string_view(set) == kTableSets[0];
  int64_t steps = digits ? cell.pick<int64_t>(12, 400, 4000) : cell.pick<int64_t>(12, 800, 80'000), every = steps / 4;
  PooledCnn net = problem->initial;
  StagedNetwork stages = staged(net);
  auto objective = objective_of(cell, *problem);
  std::vector<Tensor> parameters = net.parameters();
  if (nn::Module* more = objective->module())
    for (const Tensor& p : more->parameters()) parameters.push_back(p);
  optim::SGD sgd(parameters, {.lr = kRate, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  optim::Schedule schedule = optim::cosine(steps);
  uint64_t seed = 2 * cell.seed() + static_cast<uint64_t>(digits);
  Generator mixing(seed + 1'000'000);  // the batches are the same for all variants
  data::StepBatches batches(problem->train, {.batch = cell.pick<int64_t>(16, 64, 128), .seed = seed});
  metrics::CalibrationReport report;
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    sgd.set_lr_scale(schedule(step));
    sgd.zero_grad();
    objective->loss(stages, batch.image, batch.label, mixing).backward();
    sgd.step();
    if (step % 10 == 0) cell.progress(from + 0.5 * static_cast<double>(step) / static_cast<double>(steps));
    if ((step + 1) % every != 0) continue;
    report = metrics::calibration_report(probabilities(net, problem->test), problem->test_labels, kBins);
    auto at = static_cast<double>(step + 1);
    cell.point(in("test error", set, "%"), "steps", at, 100 * report.error);
    cell.point(in("NLL", set, "nats"), "steps", at, report.nll);
    if (auto* adaptive = dynamic_cast<adamixup::AdaMixUp*>(objective.get()); adaptive && cell.is("AdaMixUp")) {
      cell.point(std::string("AdaMixUp's share λ, ") + set, "steps", at, adaptive->report().lambda_mean, "mean");
      cell.point(std::string("AdaMixUp's share λ, ") + set, "steps", at, adaptive->report().lambda_std, "deviation");
    }
  }
  cell.metric(in("test error", set, "%"), 100 * report.error);
  cell.metric(in("NLL", set, "nats"), report.nll);
  cell.metric(in("ECE", set, "%"), 100 * report.ece);
}

void run(Cell& cell) {
  run_set(cell, kTableSets[0], 0);
  run_set(cell, kTableSets[1], 0.5);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* set : kTableSets)
    for (auto [measure, unit] : {std::pair{"test error", "%"}, {"NLL", "nats"}, {"ECE", "%"}})
      metrics.push_back({in(measure, set, unit), Better::lower});
  return {
      .title = "Ways of mixing: one table",
      .paper = "each method's own; plumb methods names them",
      .claim =
          "test error and calibration after training on 500 images of MNIST (handwritten digits) and 4,000 of a CIFAR-10 subset (colour "
          "images): the same images, network, optimiser and steps for all; mixing is the only augmentation",
      .metrics = metrics,
      .variants = {{"no mixing", "the images as they are"},
                   {"mixup", "λ ~ U(0, 1), one a batch"},
                   {"CutMix", "a box of the other image, of share 1 − λ, λ ~ U(0, 1)"},
                   {"Manifold Mixup", "mixup before a random stage of the network"},
                   {"ResizeMix", "the other image whole, at 0.1 to 0.8 of its size"},
                   {"FMix", "the other image where a smooth random map is low"},
                   {"mixup + originals", "half of the batch mixed, λ ~ U(0, 1) for each example, beside its originals"},
                   {"AdaMixUp", "the same with λ from a learned interval and an intrusion discriminator"},
                   {"mixup + DM", "Decoupled Mixup, η = 0.1"},
                   {"CutMix + DM", "Decoupled Mixup, η = 0.1"}},
      .baseline = "mixup",
      .method = "",
      .run = run};
}

}  // namespace plumb::methods::mixup_table
