// How good is a representation? A small classifier trained on frozen features says.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "engine/core/tensor.h"
#include "models/mlp/mlp.h"

namespace plumb::methods {

struct ProbeOptions {
  std::vector<int64_t> hidden = {};  ///< widths of hidden layers; none: a linear probe
  double lr = 1e-3, weight_decay = 2e-5;
  int64_t epochs = 50, batch = 128;
  bool standardise = true;           ///< features to mean 0 and deviation 1 over the training rows
  uint64_t seed = 0;                 ///< of the order of batches; weights come from the default generator
  std::function<void()> progress = {};  ///< called once an epoch
};

/// A classifier on features [N, ..], flattened, trained by AdamW with a cosine schedule on cross-entropy. The features must not change
/// later.
class Probe {
 public:
  /// labels i64 [N] in [0, classes). Throws ShapeError for other labels, ValueError for no rows, epochs or batch below 1.
  Probe(const Tensor& features, const Tensor& labels, int64_t classes, const ProbeOptions& options = {});
  /// Logits [N, classes].
  Tensor operator()(const Tensor& features) const;
  /// The share of rows whose largest logit is their label's.
  double accuracy(const Tensor& features, const Tensor& labels) const;

 private:
  Tensor standardised(const Tensor& features) const;
  Tensor mean_, scale_;
  mlp::Mlp net_;
};

/// The probe whose learning rate among `lrs` gives the highest accuracy on validation rows (the first of equals).
Probe best_probe(const Tensor& features, const Tensor& labels, const Tensor& validation_features, const Tensor& validation_labels,
                 int64_t classes, const std::vector<double>& lrs, const ProbeOptions& options = {});

}  // namespace plumb::methods
