// OVOR on digits that come two by two, after a tower trained on other images: one prompt against pools, with and without virtual outliers,
// and the parts of the regulariser one by one.
#include "methods/common/continual_baselines.h"
#include "methods/continual/ovor/problem.h"

namespace plumb::methods::ovor {
namespace {

// Adam's rates, and what was tuned beside them (README).
constexpr double kPromptRate = 5e-3, kProbeRate = 5e-3, kWholeRate = 2e-3;
constexpr double kLwfWeight = 1, kEwcStrength = 100;
constexpr double kLambda = 1;         // of the four arms
constexpr double kSmallLambda = 0.1;  // the paper's
constexpr Margins kMargins{-8, -2};
constexpr double kSigmaShare = 0.1;
constexpr int64_t kBatch = 32, kReplayPerClass = 20;

OvorOptions vor_options(Cell& cell, double lambda) {
  bool smoke = cell.budget() == Budget::smoke;
  OvorOptions o{.epochs = cell.pick<int64_t>(1, 8, 16), .head_epochs = cell.pick<int64_t>(1, 4, 8)};
  o.vor = {.lambda = lambda, .margins = kMargins, .batch = kBatch};
  o.vor.sampler = {.neighbour = smoke ? 3 : 10, .boundary = smoke ? 5 : 20, .offsets = smoke ? 10 : 100, .keep_per_class = smoke ? 8 : 40};
  return o;
}

PromptOptions prompt_options(const Cell& cell, PromptKind kind) {
  PromptOptions o{.kind = kind, .general = {{0}, 4}, .expert = {{1, 2}, 8}, .tasks = 5, .pool = 10, .top = 3, .components = 20};
  if (kind == PromptKind::l2p) o.expert = {{0}, 4};
  if (kind == PromptKind::coda) o.expert = {{0, 1, 2}, 8};
  if (cell.budget() == Budget::smoke) o.components = 10;
  return o;
}

ContinualTrainOptions training(const Cell& cell, double rate, int64_t epochs) {
  return {.epochs = epochs, .batch = kBatch, .adam = optim::AdamOptions{.lr = rate}, .seed = cell.seed()};
}

// Prompts and head with all classes seen so far competing, or on all of the tasks' examples.
struct GlobalPrompts : Ovor<TableNet> {
  bool joint;
  GlobalPrompts(const OvorOptions& options, bool joint) : Ovor<TableNet>(options), joint(joint) {}
  ContinualExamples examples(const TaskContext& context) override {
    return joint ? JointTraining<TableNet>().examples(context) : context.task().train;
  }
};

std::unique_ptr<ContinualLearner> global_prompts(Cell& cell, const std::shared_ptr<const Problem>& problem, bool joint) {
  OvorOptions o = vor_options(cell, 0);
  o.epochs += o.head_epochs;
  o.head_epochs = 0;
  o.local = false;
  auto train = training(cell, kPromptRate, o.epochs);
  train.schedule = stage_one_schedule(o.epochs, 0);
  TableNet start(problem, prompt_options(cell, PromptKind::one));
  auto learner = std::make_unique<ContinualTrainer<TableNet>>(start, train, std::make_unique<GlobalPrompts>(o, joint));
  if (!joint) return learner;
  return std::make_unique<LearnsAtTheEnd>(std::move(learner));
}

// All weights, by the trainer's baselines.
std::unique_ptr<ContinualLearner> whole_network(Cell& cell, const std::shared_ptr<const Problem>& problem) {
  OvorOptions o = vor_options(cell, 0);
  std::unique_ptr<ContinualMethod<WholeNet>> method;
  if (cell.is("LwF")) method = std::make_unique<Lwf<WholeNet>>(LwfOptions{.weight = kLwfWeight});
  if (cell.is("EWC"))
    method = std::make_unique<ElasticWeights<WholeNet>>(
        ElasticOptions{.ewc = {.strength = kEwcStrength}, .examples = cell.pick<int64_t>(5, 100, 200)});
  if (cell.is("replay")) method = std::make_unique<Replay<WholeNet>>(kReplayPerClass);
  if (cell.is("joint")) method = std::make_unique<JointTraining<WholeNet>>();
  auto train = training(cell, kWholeRate, o.epochs + o.head_epochs);
  train.schedule = stage_one_schedule(train.epochs, 0);
  auto learner = std::make_unique<ContinualTrainer<WholeNet>>(WholeNet(problem), train, std::move(method));
  if (!cell.is("joint")) return learner;
  return std::make_unique<LearnsAtTheEnd>(std::move(learner));
}

// Stage one of the variant's prompts, then its stage two.
std::unique_ptr<ContinualLearner> two_stages(Cell& cell, const std::shared_ptr<const Problem>& problem) {
  const std::string& v = cell.variant();
  auto starts = [&](const char* with) { return v.starts_with(with); };
  PromptKind kind = starts("linear") ? PromptKind::none
                    : starts("L2P")  ? PromptKind::l2p
                    : starts("Dual") ? PromptKind::dual
                    : starts("CODA") ? PromptKind::coda
                                     : PromptKind::one;
  bool paper = cell.is("OnePrompt, no stage two");
  double lambda = v.ends_with("+ VOR") || starts("OVOR") ? kLambda : 0;
  if (cell.is("OVOR, paper's weight")) lambda = kSmallLambda;
  OvorOptions o = vor_options(cell, lambda);
  if (paper) o.epochs += std::exchange(o.head_epochs, 0);
  if (cell.is("OVOR, inliers only")) o.vor.outliers = false;
  if (cell.is("OVOR, outliers only")) o.vor.inliers = false;
  if (cell.is("OVOR, around the origin")) o.vor.sampler.center = Center::origin;
  auto train = training(cell, kind == PromptKind::none ? kProbeRate : kPromptRate, o.epochs);
  train.schedule = stage_one_schedule(o.epochs, o.head_epochs);
  auto name = std::string("stage one ") + std::to_string(static_cast<int>(kind)) + (paper ? " of all epochs" : "");
  auto one = cell.shared(name, [&] { return train_stage_one(cell, problem, prompt_options(cell, kind), o, train); });
  return std::make_unique<StageTwo>(one, o, kSigmaShare, data::mix(cell.seed(), 0x766f72));
}

std::unique_ptr<ContinualLearner> learner_of(Cell& cell, const std::shared_ptr<const Problem>& problem) {
  for (const char* whole : {"fine-tuning", "LwF", "EWC", "replay", "joint"})
    if (cell.is(whole)) return whole_network(cell, problem);
  if (cell.is("prompt, all classes compete") || cell.is("joint, prompt")) return global_prompts(cell, problem, cell.is("joint, prompt"));
  return two_stages(cell, problem);
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] { return make_problem(cell); });
  auto learner = learner_of(cell, problem);
  auto tasks = static_cast<double>(problem->stream.size());
  bool joint = cell.variant().starts_with("joint");
  ContinualResult result = run_continual(*learner, problem->stream, [&](size_t t, const ContinualResult& so_far) {
    cell.progress(static_cast<double>(t + 1) / tasks);
    double total = 0;
    for (size_t j = 0; j <= t; ++j) total += so_far.accuracy[t][j] / static_cast<double>(t + 1);
    if (!joint) cell.point("accuracy on the classes so far (%)", "tasks", static_cast<double>(t + 1), total);
  });
  double wrong = 100 - result.final_accuracy();
  bool pool = cell.variant().starts_with("L2P") || cell.variant().starts_with("Dual") || cell.variant().starts_with("CODA");
  cell.metric("final accuracy (%)", result.final_accuracy());
  cell.metric("forgetting (points)", joint ? 0 : result.forgetting());
  cell.metric("errors across tasks (%)", wrong > 0 ? 100 * result.cross_task / wrong : 0);
  cell.metric("taken for another task's (%)", result.cross_task);
  cell.metric("accuracy within the task (%)", result.within_accuracy());
  cell.metric("passes for an image", pool ? 2 : 1);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "OVOR",
      .paper =
          "Huang, Chen, Hsu: OVOR: OnePrompt with Virtual Outlier Regularization for Rehearsal-Free Class-Incremental Learning, ICLR 2024",
      .claim =
          "one prompt that all tasks train is about as good as pools of prompts, and virtual outliers make heads of different tasks "
          "confuse their classes less",
      .metrics = {{"final accuracy (%)"},
                  {"forgetting (points)", Better::lower},
                  {"errors across tasks (%)", Better::lower},
                  {"taken for another task's (%)", Better::lower},
                  {"accuracy within the task (%)"},
                  {"passes for an image", Better::lower}},
      .variants = {{"fine-tuning", "all weights, all classes so far compete"},
                   {"LwF", "fine-tuning, old logits distilled from the network before the task"},
                   {"EWC", "fine-tuning, weights held by their Fisher information"},
                   {"replay", "fine-tuning with 20 stored examples of every class: not rehearsal-free"},
                   {"joint", "all weights, all tasks at once: the upper bound"},
                   {"joint, prompt", "one prompt and the head, all tasks at once"},
                   {"prompt, all classes compete", "one prompt and the head, the softmax over all classes so far"},
                   {"linear probe", "the head alone, classes of the task compete"},
                   {"linear probe + VOR", "the same with virtual outliers in the last third"},
                   {"L2P++", "a pool of 10 prompts, the 3 nearest to the image"},
                   {"L2P++ + VOR", "the same with virtual outliers"},
                   {"DualPrompt", "a general prompt, and one for each task by the nearest key"},
                   {"DualPrompt + VOR", "the same with virtual outliers"},
                   {"CODA-P", "20 weighted components"},
                   {"CODA-P + VOR", "the same with virtual outliers"},
                   {"OnePrompt, no stage two", "prompt and head for all epochs"},
                   {"OnePrompt", "in the last third of the epochs the head alone, cross-entropy"},
                   {"OVOR, inliers only", "stage two with the hinge on features alone"},
                   {"OVOR, outliers only", "stage two with the hinge on virtual outliers alone"},
                   {"OVOR, around the origin", "both hinges, outliers drawn around 0, as the released code does"},
                   {"OVOR, paper's weight", "both hinges, λ = 0.1"},
                   {"OVOR", "both hinges, λ = 1, outliers around boundary points"}},
      .baseline = "OnePrompt",
      .method = "OVOR",
      .run = run};
}

}  // namespace plumb::methods::ovor
