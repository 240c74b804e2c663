// The loss of a classifier run whose recipe is more than the cross-entropy, and all that is kept for it from step to step.
#pragma once
#include <memory>
#include <optional>

#include "methods/common/mix_objective.h"
#include "methods/common/per_sample.h"
#include "methods/regularization/ps_kd/ps_kd.h"
#include "methods/robust/ldr/ldr.h"
#include "tools/image_classifier.h"

namespace plumb::tools {

/// The module that is trained: the network, under its own names, beside it "mix.…", what a way of mixing trains, and "memory.…", what
/// losses remember of each image. A checkpoint of it is all that a resumed run needs.
class ClassifierObjective : public nn::Module {
 public:
  /// `train` are the images that are trained on. Weights of what is trained beside the network are drawn from the default generator.
  ClassifierObjective(const ClassifierRun& run, ImageClassifier& classifier, const data::Dataset& train);

  /// The loss of images [B, C, H, W], their labels and indices, i64 [B], in step `step`. What it draws comes from the default generator.
  ///   ℓ(z, y) for the loss's name;  mixed: λ ℓ(z, y) + (1 − λ) ℓ(z, y');  with PS-KD: (1 − α) ℓ + α CE(z, P), P mixed as labels are.
  Tensor loss(const Tensor& images, const Tensor& labels, const Tensor& index, int64_t step);

 protected:
  std::vector<std::pair<std::string, nn::Module*>> heap_children() const override;

 private:
  // Which images of the batch were mixed: places of the second ones, and the first ones' share.
  struct Pairs {
    Tensor second;
    double share = 1;
  };
  Tensor label_loss(const Tensor& logits, const Tensor& labels, const Tensor& index);
  Tensor mixed_label_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, const Pairs& pairs);
  Tensor elr_loss(const Tensor& logits, const Tensor& labels, const Tensor& index);
  Tensor progressive_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, const Pairs& pairs);
  Tensor unmixed_logits(const Tensor& images) const;
  int64_t epoch_of(int64_t step) const;

  const ClassifierRun& run_;
  ImageClassifier& classifier_;
  methods::StagedNetwork network_;
  int64_t examples_;
  std::optional<methods::MixPolicy> policy_;    // of mixing that any loss can follow
  std::unique_ptr<methods::MixObjective> mix_;  // of one with a loss of its own
  std::optional<methods::PerSampleEma> elr_;
  std::optional<methods::ldr::AldrKlLoss> aldr_;
  std::optional<methods::ps_kd::ProgressiveTargets> progressive_;
  Tensor prior_;  // of the balanced softmax
  struct Memory : nn::Module {
    nn::Buffer loss, distil;  // handles of the tables of the above
  } memory_;
};

}  // namespace plumb::tools
