// Rehearsal-free learning with a pre-trained transformer: L2 to the latest weights in the attention blocks alone, against prompts before a
// frozen tower, and against holding or freezing other parts. Tower, digits and prompts are OVOR's.
#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "methods/continual/ovor/problem.h"
#include "methods/continual/rehearsal_free/rehearsal_free.h"

namespace plumb::methods::rehearsal_free_vit {
namespace {

using namespace rehearsal_free;
using ovor::Problem;
using ovor::TableNet;
using ovor::WholeNet;
using Learner = std::unique_ptr<ContinualLearner>;

// Adam's rates: where all weights learn, the same where they are held or see all tasks, where those of attention (and the head) learn, and
// of prompts and the head.
constexpr double kWholeRate = 5e-4, kHeldRate = 2e-3, kAttentionRate = 1e-3, kPromptRate = 5e-3;
constexpr double kL2 = 0.05, kEwc = 10, kFeatures = 5;
constexpr int64_t kBatch = 32;

// Queries, keys, values and the output projection of every block.
bool in_attention(const std::string& name) { return name.find(".attention.") != std::string::npos; }

struct Row {
  const char* name;
  Regulariser regulariser;
  double weight, rate;
  bool attention;      // alone is held
  bool freeze_others;  // and alone is trained, with the head
  const char* about;
};
using R = Regulariser;
constexpr std::array kRows{
    Row{"FT++", R::none, 0, kWholeRate, false, false, "all weights, the task's own classes compete"},
    Row{"frozen", R::freeze, 0, kPromptRate, false, false, "the head alone"},
    Row{"FeatKD", R::features, kFeatures, kHeldRate, false, false, "all weights, features distilled"},
    Row{"EWC", R::ewc, kEwc, kHeldRate, false, false, "all weights but the head's held by Fisher information"},
    Row{"L2", R::l2, kL2, kWholeRate, false, false, "all weights but the head's held near their latest values"},
    Row{"attention", R::none, 0, kAttentionRate, true, true, "attention and head are trained, nothing is held"},
    Row{"L2 in attention, others free", R::l2, kL2, kHeldRate, true, false, "all weights are trained, those of attention are held"},
    Row{"L2 in attention", R::l2, kL2, kAttentionRate, true, true, "attention is trained and held, all else but the head is frozen"},
};

ContinualTrainOptions training(Cell& cell, double rate) {
  auto at = [&cell](size_t task, double share) { cell.progress((static_cast<double>(task) + share) / 5); };
  return {.epochs = cell.pick<int64_t>(2, 6, 30),
          .batch = kBatch,
          .adam = optim::AdamOptions{.lr = rate},
          .schedule = [](int64_t steps) { return optim::cosine(steps); },
          .seed = cell.seed(),
          .progress = at};
}

Learner tuned(Cell& cell, const std::shared_ptr<const Problem>& problem, const Row& row) {
  RehearsalFreeOptions options{.classification = Classification::local_softmax, .regulariser = row.regulariser, .weight = row.weight};
  if (row.attention) options.held = in_attention;
  options.freeze_others = row.freeze_others;
  options.fisher.batch = kBatch;
  return std::make_unique<ContinualTrainer<WholeNet>>(WholeNet(problem), training(cell, row.rate),
                                                      std::make_unique<RehearsalFree<WholeNet>>(options));
}

// Prompts before the frozen tower, all epochs on prompts and head, the task's own classes competing.
Learner prompted(Cell& cell, const std::shared_ptr<const Problem>& problem) {
  ovor::PromptOptions prompts{.kind = cell.is("L2P++")        ? ovor::PromptKind::l2p
                                      : cell.is("DualPrompt") ? ovor::PromptKind::dual
                                                              : ovor::PromptKind::one,
                              .general = {{0}, 4},
                              .expert = {{1, 2}, 8},
                              .tasks = 5,
                              .pool = 10,
                              .top = 3};
  if (cell.is("L2P++")) prompts.expert = {{0}, 4};
  auto options = training(cell, kPromptRate);
  ovor::OvorOptions stage{.epochs = options.epochs, .head_epochs = 0};
  return std::make_unique<ContinualTrainer<TableNet>>(TableNet(problem, prompts), options, std::make_unique<ovor::Ovor<TableNet>>(stage));
}

Learner learner_of(Cell& cell, const std::shared_ptr<const Problem>& problem) {
  if (cell.is("joint"))
    return std::make_unique<ContinualTrainer<WholeNet>>(WholeNet(problem), training(cell, kHeldRate),
                                                        std::make_unique<JointTraining<WholeNet>>());
  auto row = std::ranges::find(kRows, cell.variant(), [](const Row& r) { return std::string(r.name); });
  return row == kRows.end() ? prompted(cell, problem) : tuned(cell, problem, *row);
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] { return ovor::make_problem(cell); });
  Learner learner = learner_of(cell, problem);
  ContinualResult result = run_continual(*learner, problem->stream, [&](size_t t, const ContinualResult& so_far) {
    double seen = 0;
    for (size_t j = 0; j <= t; ++j) seen += so_far.accuracy[t][j] / static_cast<double>(t + 1);
    cell.point("accuracy on the classes seen (%)", "tasks learned", static_cast<double>(t + 1), seen);
  });
  cell.metric("final accuracy (%)", result.final_accuracy());
  cell.metric("forgetting (points)", result.forgetting());
  cell.metric("mean of running accuracies (%)", result.incremental_accuracy());
  cell.metric("predicted as of the last task (%)", result.recency);
  cell.metric("told the task (%)", result.within_accuracy());
}

}  // namespace

Experiment experiment() {
  std::vector<Variant> variants{{"joint", "all weights, every task from the start on the examples of all tasks so far: the upper bound"}};
  for (const Row& row : kRows) variants.push_back({row.name, row.about});
  variants.insert(variants.end() - 1, {{"OnePrompt", "one prompt that all tasks train, before a frozen tower"},
                                       {"L2P++", "a pool of 10 prompts, the 3 nearest to the image"},
                                       {"DualPrompt", "a general prompt, and one for each task by the nearest key"}});
  return {
      .title = "Rehearsal-free, a transformer",
      .paper = "Smith, Tian, Halbe, Hsu & Kira, A Closer Look at Rehearsal-Free Continual Learning, CVPR Workshops 2023",
      .claim =
          "five tasks of two digits after a vision transformer pre-trained on garments: L2 to the latest weights in the attention blocks "
          "beats prompting a frozen one",
      .metrics = {{"final accuracy (%)"},
                  {"forgetting (points)", Better::lower},
                  {"mean of running accuracies (%)"},
                  {"predicted as of the last task (%)", Better::neither},
                  {"told the task (%)"}},
      .variants = variants,
      .baseline = "OnePrompt",
      .method = "L2 in attention",
      .run = run};
}

}  // namespace plumb::methods::rehearsal_free_vit
