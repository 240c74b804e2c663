// Teachers that do not learn: a frozen snapshot of a model, and its targets computed once an example. Teachers that follow their
// student are optim::Ema (models/optim/ema.h).
#pragma once
#include <type_traits>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "methods/common/per_sample.h"
#include "models/nn/module.h"

namespace plumb::methods {

/// A copy of `source` as it is now: in evaluation mode, without gradients, untouched by what happens to the source.
template <typename Model>
class FrozenSnapshot {
 public:
  explicit FrozenSnapshot(const Model& source) : model_(source) {
    model_.requires_grad_(false);
    model_.eval();
  }
  /// model(x…), outside the graph.
  template <typename... Args>
  auto operator()(Args&&... x) const {
    NoGrad no_grad;
    return model_(std::forward<Args>(x)...);
  }
  const Model& model() const { return model_; }

 private:
  Model model_;
};

/// A frozen teacher's outputs [width], one an example of a data set, each computed when it is first asked for. For inputs that are the same
/// at every visit: a target of an augmented view is another one.
class CachedTargets {
 public:
  CachedTargets(int64_t samples, int64_t width, DType dtype = f32) : store_(samples, width, dtype) {}
  /// The targets of `index` (i64 [B]). If any is missing, teacher() is asked for all B of them, [B, width]. Throws as PerSampleStore does.
  template <typename Teacher>
  Tensor operator()(const Tensor& index, Teacher&& teacher) {
    if (!complete(index)) {
      NoGrad no_grad;
      store_.put(index, teacher());
    }
    return store_.rows(index);
  }
  int64_t filled() const { return store_.filled(); }

 private:
  bool complete(const Tensor& index) const;
  PerSampleStore store_;
};

}  // namespace plumb::methods
