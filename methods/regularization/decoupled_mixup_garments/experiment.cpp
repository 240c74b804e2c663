// Decoupled Mixup with CutMix and mixup on few garments: in the paper's form, and with the weights that its authors released for each
// policy.
#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/step_batches.h"
#include "methods/common/image_sets.h"
#include "methods/common/pooled_cnn.h"
#include "methods/experiment.h"
#include "methods/regularization/decoupled_mixup/decoupled_mixup.h"
#include "methods/regularization/decoupled_mixup/hard_pairs.h"
#include "models/metrics/calibration.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/join.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::decoupled_mixup_garments {
namespace {

using decoupled_mixup::DecoupledMixupOptions;
using decoupled_mixup::Terms;

constexpr int64_t kClasses = 10, kBins = 15, kPairs = 1000;
constexpr double kRate = 0.05;

struct Problem {
  data::Dataset train;
  Tensor test, test_labels;
  decoupled_mixup::HardPairs pairs;
  PooledCnn initial;
};

Problem make_problem(const data::Dataset& train, const data::Dataset& test, int64_t count, int64_t judged) {
  Generator& g = default_generator();
  double share = static_cast<double>(count) / static_cast<double>(train.size());
  data::Batch learns = train.split({share}, {.seed = g.next_u64(), .stratified = true})[0].batch(count).next();
  data::Batch asked = test.take(judged).batch(judged).next();
  const Tensor& x = asked.image;
  auto pairs = decoupled_mixup::hard_pairs(x, asked.label, kPairs, g);
  PooledCnn net({.channels = x.size(1), .height = x.size(2), .width = x.size(3), .classes = kClasses});
  return {data::from_tensors({{"image", learns.image}, {"label", learns.label}}), x, asked.label, pairs, net};
}

std::unique_ptr<MixObjective> objective_of(const Cell& cell) {
  const std::string& v = cell.variant();
  if (v == "cross-entropy") return mix_objective("none", {});
  if (v == "label smoothing") return mix_objective("none", {.label_smoothing = 0.1});
  bool cut = v.starts_with("CutMix");
  MixPolicy policy{.kind = cut ? MixKind::cutmix : MixKind::mixup, .alpha = cut ? 0.2 : 1.0};
  if (v.find("+ DM") == std::string::npos) return mixed_cross_entropy_objective(policy);
  DecoupledMixupOptions released = cut ? DecoupledMixupOptions{.eta = 0.1, .exponent = 0.5, .terms = Terms::less}
                                       : DecoupledMixupOptions{.eta = 0.01, .exponent = 0.5, .terms = Terms::more};
  return decoupled_mixup::decoupled_objective(policy, v.ends_with("released") ? released : DecoupledMixupOptions{});
}

Tensor logits_of(PooledCnn& net, const Tensor& images) {
  NoGrad off;
  net.eval();
  std::vector<Tensor> parts;
  for (const Tensor& some : split(images, 500)) parts.push_back(net(some));
  net.train();
  return cat(parts);
}

void run(Cell& cell) {
  bool garments = images_there("fashion_mnist") && cell.budget() != Budget::smoke;
  auto problem = cell.shared("images", [&] {
    if (!garments) return make_problem(data::digits().train(), data::digits().test(), 200, 359);
    return make_problem(data::fashion_mnist().train(), data::fashion_mnist().test(), 2000, 2000);
  });
  int64_t steps = cell.pick<int64_t>(20, 600, 6000), every = std::max<int64_t>(1, steps / 5);
  PooledCnn net = problem->initial;
  StagedNetwork stages = staged(net);
  auto objective = objective_of(cell);
  optim::SGD sgd(net.parameters(), {.lr = kRate, .momentum = 0.9});
  optim::Schedule schedule = optim::cosine(steps);
  Generator mixing(cell.seed() + 1'000'000);
  data::StepBatches batches(problem->train, {.batch = 32, .seed = cell.seed()});
  metrics::CalibrationReport report;
  double found = 0;
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    sgd.set_lr_scale(schedule(step));
    sgd.zero_grad();
    objective->loss(stages, batch.image, batch.label, mixing).backward();
    sgd.step();
    if (step % 20 == 0) cell.progress(static_cast<double>(step) / static_cast<double>(steps));
    if ((step + 1) % every != 0) continue;
    report = metrics::calibration_report(softmax(logits_of(net, problem->test), 1), problem->test_labels, kBins);
    found = 100 * decoupled_mixup::both_classes_found(logits_of(net, problem->pairs.x), problem->pairs);
    cell.point("test error (%)", "steps", static_cast<double>(step + 1), 100 * report.error);
    cell.point("both classes found (%)", "steps", static_cast<double>(step + 1), found);
  }
  cell.metric("test error (%)", 100 * report.error);
  cell.metric("both classes found (%)", found);
  cell.metric("NLL (nats)", report.nll);
  cell.metric("ECE (%)", 100 * report.ece);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "Decoupled Mixup on garments",
      .paper = "Liu, Li, Wang, Tan, Wu, Li: Harnessing Hard Mixed Samples with Decoupled Regularizer, NeurIPS 2023",
      .claim =
          "CutMix with the decoupled regulariser has a lower test error than CutMix alone, and finds both classes of mixed images more "
          "often",
      .metrics = {{"test error (%)", Better::lower}, {"both classes found (%)"}, {"NLL (nats)", Better::lower}, {"ECE (%)", Better::lower}},
      .variants = {{"cross-entropy", "the images as they are"},
                   {"label smoothing", "a tenth of each label spread over all classes"},
                   {"mixup", "λ ~ Beta(1, 1), one a batch"},
                   {"CutMix", "λ ~ Beta(0.2, 0.2)"},
                   {"mixup + DM", "η = 0.1, both terms, unweighted"},
                   {"mixup + DM, released", "η = 0.01, the larger share's term alone, weighted by √λ"},
                   {"CutMix + DM, released", "η = 0.1, the smaller share's term alone, weighted by √λ"},
                   {"CutMix + DM", "η = 0.1, both terms, unweighted"}},
      .baseline = "CutMix",
      .method = "CutMix + DM",
      .run = run};
}

}  // namespace plumb::methods::decoupled_mixup_garments
