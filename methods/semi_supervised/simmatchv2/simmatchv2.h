// SimMatchV2 (Zheng, You, Huang, Luo, Wang, Qian, Xu, ICCV 2023): views of images are nodes (class probabilities and an embedding) of a
// graph whose edges are similarities, and the weak (teacher's) and the strong (student's) view of an image agree in four ways.
//   L = CE(labelled) + λ_nn L_nn + λ_ee L_ee + λ_ne L_ne
//   L_nn   1[max p ≥ τ] CE(strong, ŷ), ŷ the teacher's p propagated over its labelled neighbours (node–node with edge–node)
//   L_ee   CE(E, E'): the student's and the teacher's similarities to a queue of unlabelled nodes
//   L_ne   CE(E P, p): the label that the student's edges read off the queue's
#pragma once
#include "methods/common/pseudo_labels.h"
#include "methods/semi_supervised/simmatchv2/graph.h"
#include "methods/semi_supervised/simmatchv2/momentum_teacher.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::simmatchv2 {

struct SimMatchV2Options {
  double threshold = 0.7;    ///< τ, on p
  double temperature = 0.1;  ///< t of all edges
  double alpha = 0.1;        ///< of the propagation; 0: none
  int64_t neighbours = 8;    ///< n; 128 on ImageNet. At most the labelled examples
  int64_t queue = 512;       ///< Q, a multiple of the unlabelled batch; 256 batches on ImageNet
  double node_node = 1;      ///< λ_nn; 10 on ImageNet
  double edge_edge = 0.5;    ///< λ_ee; 10, or 5 with a tenth of the labels
  double node_edge = 0.5;    ///< λ_ne
  bool align = true;         ///< distribution alignment of p
  double align_decay = 0.9;
  bool hard = false;  ///< the target of L_nn is ŷ's largest class
  TeacherOptions teacher = {};
  uint64_t seed = 0;  ///< of the memories' first, random vectors
  /// Throws ValueError that names a negative λ, a threshold outside [0, 1], and what the graph does not take.
  void check() const;
};

/// Values of a step.
struct SimMatchV2Terms {
  Tensor total, supervised, node_node, edge_edge, node_edge;  ///< scalars, without their λ; 0 where λ is 0
  Tensor probabilities;                                       ///< p [N, C], aligned
  Tensor propagated;                                          ///< ŷ [N, C]
  Tensor mask;                                                ///< [N]: 1 where max p ≥ τ
};

/// The losses and the memories: what remains of SimMatchV2 when the network is taken away.
class SimMatchV2Objective {
 public:
  /// labels i64 [N_l] of the labelled examples and the teacher's embeddings of them [N_l, d], with which the bank begins (random ones
  /// would not be worth asking). Throws as check() does, ValueError for neighbours > N_l, IndexError for a label outside [0, classes).
  SimMatchV2Objective(const SimMatchV2Options& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z);
  /// The losses against the memories as they are; then the teacher's embeddings go in. labels [B] and labelled_index [B] of the batch.
  SimMatchV2Terms operator()(const TwoViewOutputs& out, const Tensor& labels, const Tensor& labelled_index);
  const IndexedBank& labelled_bank() const { return bank_; }
  const NodeQueue& queue() const { return queue_; }

  /// What it remembers beside the labelled bank, for checkpoints.
  struct Memories {
    Tensor embeddings, probabilities;  ///< of the queue, [Q, d] and [Q, C], oldest first
    Tensor mean;                       ///< [C], by which p is aligned; undefined without alignment
  };
  Memories memories() const;
  void restore(const Memories& memories);

 private:
  SimMatchV2Objective(const SimMatchV2Options& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z,
                      Generator generator);
  Tensor propagate(const Tensor& z, const Tensor& p) const;
  SimMatchV2Options options_;
  Tensor one_hot_;  // [N_l, C]
  std::vector<DistributionAligner> aligner_;
  IndexedBank bank_;
  NodeQueue queue_;
};

/// The options, checked. Throws as check() does, ValueError for more neighbours than labelled examples or no unlabelled ones.
const SimMatchV2Options& checked(const SimMatchV2Options& options, const SemiData& data);
/// Loss, mask as weights and ŷ's largest classes as labels.
SemiStep semi_step(const SimMatchV2Terms& terms);

/// The loss of a step for train_semi_supervised: Model has features(images), head(features) and embedding(features), see NormalisedTwoHead.
///   SimMatchV2<NormalisedTwoHead<SmallCnn>> method({}, data);
/// The teacher is made at the first step, and the bank filled with its embeddings of the labelled images as they are.
template <typename Model>
class SimMatchV2 {
 public:
  /// Throws as checked().
  SimMatchV2(const SimMatchV2Options& options, const SemiData& data)
      : options_(checked(options, data)), images_(data.labelled), labels_(data.labels), classes_(data.classes), teacher_(options.teacher) {}

  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    teacher_.follow(model);
    if (!objective_) objective_.emplace(options_, labels_, classes_, teacher_.embed(images_));
    terms_ = (*objective_)(teacher_.outputs(model, batch), batch.labels, batch.labelled_index);
    return semi_step(terms_);
  }
  /// Of the last step.
  const SimMatchV2Terms& terms() const { return terms_; }
  const MomentumTeacher<Model>& teacher() const { return teacher_; }

 private:
  SimMatchV2Options options_;
  Tensor images_, labels_;
  int64_t classes_;
  MomentumTeacher<Model> teacher_;
  std::optional<SimMatchV2Objective> objective_;
  SimMatchV2Terms terms_;
};

/// The two heads on a backbone's feature v [B, D]: u = LN(v) (v itself, without `norm`), logits W u, embedding MLP(u) / ‖MLP(u)‖, MLP =
/// Linear(D, D) – ReLU – Linear(D, d).
struct TwoHeads : nn::Module {
  nn::LayerNorm norm;
  nn::Linear classifier;
  nn::Linear fc1;
  nn::Linear fc2;
  bool normalise;  ///< whether `norm` is used

  TwoHeads(int64_t features, int64_t classes, int64_t width, bool normalise = true);
  Tensor normalised(const Tensor& v) const { return normalise ? norm(v) : v; }
  Tensor embedding(const Tensor& u) const;
};

/// A backbone with features(images) → [B, D] under the two heads; a module from images to logits.
template <typename Backbone>
struct NormalisedTwoHead : nn::Module {
  Backbone backbone;
  TwoHeads heads;

  /// D features, C classes, embeddings of d numbers.
  NormalisedTwoHead(Backbone made, int64_t features, int64_t classes, int64_t width = 32, bool normalise = true)
      : backbone(std::move(made)), heads(features, classes, width, normalise) {
    register_module("backbone", backbone);
    register_module("heads", heads);
  }
  Tensor features(const Tensor& images) const { return heads.normalised(backbone.features(images)); }
  Tensor head(const Tensor& features) const { return heads.classifier(features); }
  Tensor embedding(const Tensor& features) const { return heads.embedding(features); }
  Tensor operator()(const Tensor& images) const { return head(features(images)); }
};

}  // namespace plumb::methods::simmatchv2
