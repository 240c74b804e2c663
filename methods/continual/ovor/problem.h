// What OVOR's experiment compares on: a tower pre-trained on other images, and digits whose classes come two by two.
#pragma once
#include <memory>

#include "methods/common/continual_trainer.h"
#include "methods/continual/ovor/ovor.h"
#include "methods/experiment.h"

namespace plumb::methods::ovor {

/// Of one seed. Examples stand in the stream by their places in `images`, test examples first, so that what the frozen tower makes of them
/// is computed once.
struct Problem {
  transformer::VisionTransformer tower;
  ContinualStream stream;
  Tensor images;   ///< [N, 1, side, side]
  Tensor queries;  ///< [N, width]: the tower's features without prompts
  int64_t tests = 0;
};
/// MNIST after Fashion-MNIST where both files are there, else, and always for the smoke budget, the 8×8 digits after rendered shapes.
Problem make_problem(Cell& cell);

/// The tower, frozen, with prompts and a head, for places in `images`.
struct TableNet : PromptedVision {
  std::shared_ptr<const Problem> problem;
  TableNet(std::shared_ptr<const Problem> problem, const PromptOptions& options);
  PromptedFeatures prompted(const Tensor& places) const;
  Tensor features(const Tensor& places) const { return prompted(places).features; }
  Tensor operator()(const Tensor& places) const { return head(features(places)); }
};

/// The tower, all of it trained, with a head.
struct WholeNet : nn::Module {
  transformer::VisionTransformer tower;
  nn::Linear head;
  std::shared_ptr<const Problem> problem;
  explicit WholeNet(std::shared_ptr<const Problem> problem);
  Tensor features(const Tensor& places) const;
  Tensor operator()(const Tensor& places) const { return head(features(places)); }
};

/// What stage one of a kind of prompts left after each task. Stage two changes the head's rows of that task alone, which no later stage one
/// reads, so that every kind of stage two may follow it.
struct StageOne {
  struct Task {
    Tensor train, tests;  ///< features of its training examples, and of all test examples
    nn::Linear head;
    optim::OptimizerState optimizer;
  };
  std::vector<Task> tasks;
  TableNet start;
  ContinualTrainOptions training;
};
StageOne train_stage_one(Cell& cell, std::shared_ptr<const Problem> problem, const PromptOptions& prompts, const OvorOptions& options,
                         const ContinualTrainOptions& training);

/// Goes on from there: stage two of each task.
class StageTwo : public ContinualLearner {
 public:
  /// σ is `sigma_share` of a feature's mean length over √width.
  StageTwo(std::shared_ptr<const StageOne> one, const OvorOptions& options, double sigma_share, uint64_t seed);
  void learn(const ContinualStream& stream, size_t t) override;
  Tensor logits(const Tensor& places, size_t task) override;

 private:
  std::shared_ptr<const StageOne> one_;
  TableNet net_;
  OvorOptions options_;
  double sigma_share_;
  Generator generator_;
  size_t learned_ = 0;
};

}  // namespace plumb::methods::ovor
