// The teacher of SimMatch and SimMatchV2: a copy of the student that follows it by an exponential average and sees the weak views.
#pragma once
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "methods/common/semi_supervised.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::methods::simmatchv2 {

struct TeacherOptions {
  double momentum = 0.99;      ///< .999 in 300 epochs of ImageNet
  int64_t schedule_steps = 0;  ///< above 0 and momentum ≤ .996: it rises to 1 by a cosine over so many steps
  /// Buffers are averaged too and the teacher evaluates with them (EMAN; Cai et al. 2021). Else it normalises by its own batches.
  bool average_buffers = false;
};

/// m, or 1 − (1 − m)(cos(π s / S) + 1) / 2 where options ask for it. Throws ValueError for a momentum outside [0, 1).
double teacher_momentum(const TeacherOptions& options, int64_t step);

/// What student and teacher say of a step's views. The teacher's are constants.
struct TwoViewOutputs {
  Tensor teacher_labelled_z;             ///< [B, d], of the labelled examples' weak views
  Tensor teacher_logits, teacher_z;      ///< [N, C], [N, d], of the unlabelled ones'
  Tensor labelled;                       ///< the student's logits [B, C]
  std::vector<Tensor> strong, strong_z;  ///< of each strong view, [N, C] and [N, d]
};

/// Model has features(images), head(features) → logits and embedding(features) → vectors of unit length.
template <typename Model>
class MomentumTeacher {
 public:
  explicit MomentumTeacher(const TeacherOptions& options) : options_(options) {}

  /// To be called once a step, before the forward passes: makes the teacher, or moves it towards what the last step made of the student.
  void follow(const Model& student) {
    auto buffers = options_.average_buffers ? optim::EmaBuffers::average : optim::EmaBuffers::keep;
    if (!average_) {
      average_.emplace(student, optim::EmaOptions{.decay = options_.momentum, .buffers = buffers});
      average_->model.train(!options_.average_buffers);
    } else {
      average_->update(student, teacher_momentum(options_, average_->updates()));
    }
  }
  bool started() const { return average_.has_value(); }
  const Model& model() const { return average_->model; }

  /// Unit vectors of images, outside the graph.
  Tensor embed(const Tensor& images) const {
    NoGrad no_grad;
    return model().embedding(model().features(images));
  }

  /// Forward passes of a step: the teacher on labelled and weak views together, the student on labelled and the first strong views
  /// together, then on each further strong view. Throws ValueError for a batch without strong views.
  TwoViewOutputs outputs(Model& student, const SemiBatch& batch) const {
    if (batch.strong.empty()) throw ValueError("simmatchv2: a batch without strong views");
    TwoViewOutputs out;
    std::vector<int64_t> sizes{batch.labelled.size(0), batch.weak.size(0)};
    {
      NoGrad no_grad;
      Tensor features = model().features(cat({batch.labelled, batch.weak}, 0));
      auto z = split(model().embedding(features), sizes, 0);
      out.teacher_labelled_z = z[0];
      out.teacher_z = z[1];
      out.teacher_logits = split(model().head(features), sizes, 0)[1];
    }
    for (size_t s = 0; s < batch.strong.size(); ++s) {
      Tensor features = student.features(s == 0 ? cat({batch.labelled, batch.strong[0]}, 0) : batch.strong[s]);
      Tensor logits = student.head(features);
      if (s == 0) {
        auto parts = split(logits, sizes, 0);
        out.labelled = parts[0];
        logits = parts[1];
        features = split(features, sizes, 0)[1];
      }
      out.strong.push_back(logits);
      out.strong_z.push_back(student.embedding(features));
    }
    return out;
  }

 private:
  TeacherOptions options_;
  std::optional<optim::Ema<Model>> average_;
};

}  // namespace plumb::methods::simmatchv2
