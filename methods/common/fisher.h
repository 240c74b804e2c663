// The diagonal of the Fisher information: how much a model's predictions depend on each of its parameters.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/nn/module.h"
#include "ops/tensor_function.h"

namespace plumb::methods {

/// ω_k ≥ 0 and the values θ0_k at which it was taken, for every parameter under its name: what elastic weights are tied with.
struct FisherDiagonal {
  std::vector<std::string> names;
  std::vector<Tensor> omega, origin;  ///< copies, of the parameters' shapes
  /// max_k ω_k. Throws ValueError without parameters.
  double largest() const;
};

/// ω = Σ_q w_q (dL_q/dθ)² / Σ_q w_q over losses L_q that are given one by one.
class FisherAccumulator {
 public:
  /// The parameters must require gradients when losses are made. Throws ValueError for none.
  explicit FisherAccumulator(std::vector<nn::NamedTensor> parameters);
  /// One scalar loss; a parameter it does not depend on gets 0. With `retain_graph` more losses of the same graph may follow.
  /// Throws ShapeError for another shape, ValueError for a negative weight.
  void add(const Tensor& loss, double weight = 1, bool retain_graph = false);
  /// The mean so far, and the parameters' values now. Throws ValueError before any loss of positive weight.
  FisherDiagonal diagonal() const;

 private:
  std::vector<nn::NamedTensor> parameters_;
  std::vector<Tensor> sums_;
  double weight_ = 0;
};

/// Where the label of an example comes from: the model's own choice argmax_c z_c (the first of equals), the true one, a draw from
/// p = softmax(z), or all of them, weighted by p: the exact expectation, for `sample` granularity alone.
enum class FisherLabels : uint8_t { pseudo, given, sampled, expected };
/// What is squared: the gradient of the mean loss of a batch (what released code often does, smaller by up to the batch's size), or that
/// of each example's loss.
enum class FisherUnit : uint8_t { batch, sample };

struct FisherOptions {
  FisherLabels labels = FisherLabels::pseudo;
  FisherUnit unit = FisherUnit::batch;
  int64_t batch = 64;              ///< examples a forward pass; the last batch may be smaller
  Generator* generator = nullptr;  ///< of sampled labels; the thread's own if null
};

/// f(loss, weight, retain_graph) for every loss that `options` make of a model's logits [B, C] on inputs [N, ..], one after the other;
/// losses of one graph follow each other, and all but the last are to keep it. labels i64 [N], read for FisherLabels::given alone. Throws
/// ValueError for no inputs, a batch below 1, or expected labels a batch; ShapeError for logits or labels of another shape.
using LossVisitor = std::function<void(const Tensor& loss, double weight, bool retain_graph)>;
void visit_fisher_losses(const TensorFunction& model, const Tensor& inputs, const Tensor& labels, const FisherOptions& options,
                         const LossVisitor& f);

/// ω_k = (1/Q) Σ_q (d CE(f(x_q), y_q)/dθ_k)² over the Q batches, or examples, of inputs [N, ..], f the model's logits [B, C]. The model
/// runs in the mode it is in: with nn::BatchStatistics alive around the call, batch norm goes by each batch (Kirkpatrick et al., PNAS
/// 2017). Throws as visit_fisher_losses does.
FisherDiagonal estimate_fisher(const TensorFunction& model, std::vector<nn::NamedTensor> parameters, const Tensor& inputs,
                               const Tensor& labels = {}, const FisherOptions& options = {});

}  // namespace plumb::methods
