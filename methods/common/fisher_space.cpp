// Leading eigenvectors of Fisher matrices.
#include "methods/common/fisher_space.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

// How many of the descending eigenvalues to keep.
int64_t kept(const std::vector<double>& values, const SpaceOptions& o) {
  auto n = static_cast<int64_t>(values.size());
  if (o.rank < 0 || o.rank > n) throw ValueError(fmt::format("fisher_space: rank {} does not lie between 1 and {}", o.rank, n));
  if (o.most < 1) throw ValueError(fmt::format("fisher_space: at most {} directions are none", o.most));
  if (!(o.energy > 0 && o.energy <= 1)) throw ValueError(fmt::format("fisher_space: energy must lie in (0, 1], it is {}", o.energy));
  if (o.rank > 0) return o.rank;
  double total = 0, sum = 0;
  for (double v : values) total += std::max(v, 0.0);
  int64_t d = 0;
  while (d < std::min(n, o.most) && (d == 0 || sum < o.energy * total)) sum += std::max(values[static_cast<size_t>(d++)], 0.0);
  return d;
}

void check_height(const FisherSpace& space, const Tensor& x) {
  if (x.rank() < 1 || x.size(0) != space.dimension())
    throw ShapeError(fmt::format("fisher_space: a space of {} dimensions, and a change {}", space.dimension(), to_string(x.shape())));
}

}  // namespace

Tensor FisherSpace::project(const Tensor& x) const {
  check_height(*this, x);
  Tensor matrix = reshape(x, {x.size(0), -1});
  return reshape(matmul(vectors, matmul(mT(vectors), matrix)), x.shape());
}

Tensor FisherSpace::complement(const Tensor& x) const { return x - project(x); }

FisherSpace FisherSpace::normalized() const {
  double largest = select(values, 0, 0).item();
  return largest > 0 ? FisherSpace{values / largest, vectors} : *this;
}

FisherSpace leading_space(const Tensor& fisher, const SpaceOptions& options) {
  if (fisher.rank() != 2 || fisher.size(0) != fisher.size(1) || fisher.size(0) == 0)
    throw ShapeError("fisher_space: takes a square matrix, got " + to_string(fisher.shape()));
  NoGrad off;
  auto [w, v] = eigh(to(to(fisher.detach(), cpu), f64));
  std::vector<double> ascending = to_vector(w);
  int64_t d = kept({ascending.rbegin(), ascending.rend()}, options), n = fisher.size(0);
  std::vector<int64_t> places;
  for (int64_t k = 0; k < d; ++k) places.push_back(n - 1 - k);
  Tensor leading = from_vector(places);
  auto like_fisher = [&](const Tensor& x) { return to(to(x, fisher.dtype()), fisher.device()); };
  return {like_fisher(index_select(w, 0, leading)), like_fisher(index_select(v, 1, leading))};
}

FisherSpace leading_space_of(const Tensor& gradients, const SpaceOptions& options) {
  if (gradients.rank() != 2) throw ShapeError("fisher_space: takes gradients [samples, parameters], got " + to_string(gradients.shape()));
  if (gradients.numel() == 0) throw ValueError("fisher_space: there are no gradients in " + to_string(gradients.shape()));
  NoGrad off;
  auto [u, s, vh] = svd(to(gradients.detach(), f64));
  Tensor values = s * s / static_cast<double>(gradients.size(0));
  int64_t d = kept(to_vector(values), options);
  return {to(clone(slice(values, 0, 0, d)), gradients.dtype()), to(clone(mT(slice(vh, 0, 0, d))), gradients.dtype())};
}

RowFisherAccumulator::RowFisherAccumulator(std::vector<Tensor> weights) : weights_(std::move(weights)) {
  if (weights_.empty()) throw ValueError("fisher: there are no parameters");
  for (const Tensor& w : weights_) sums_.push_back(zeros({w.size(0), w.size(0)}, w.dtype(), w.device()));
}

void RowFisherAccumulator::add(const Tensor& loss, double weight, bool retain_graph) {
  if (loss.numel() != 1) throw ShapeError(fmt::format("fisher: a loss is one number, got {}", to_string(loss.shape())));
  if (!(weight >= 0)) throw ValueError(fmt::format("fisher: a loss with the weight {}", weight));
  std::vector<Tensor> gradients = grad({loss}, weights_, {.retain_graph = retain_graph, .allow_unused = true});
  NoGrad off;
  for (size_t k = 0; k < sums_.size(); ++k) {
    if (!gradients[k].defined()) continue;
    Tensor g = reshape(gradients[k], {gradients[k].size(0), -1});
    optim::axpy(weight, {matmul(g, mT(g))}, {sums_[k]});
  }
  weight_ += weight;
}

std::vector<Tensor> RowFisherAccumulator::matrices() const {
  if (weight_ <= 0) throw ValueError("fisher: no loss was given");
  NoGrad off;
  std::vector<Tensor> result;
  for (const Tensor& sum : sums_) result.push_back(sum / weight_);
  return result;
}

std::vector<Tensor> estimate_row_fisher(const TensorFunction& model, std::vector<Tensor> weights, const Tensor& inputs,
                                        const Tensor& labels, const FisherOptions& options) {
  RowFisherAccumulator fisher(std::move(weights));
  visit_fisher_losses(model, inputs, labels, options,
                      [&](const Tensor& loss, double weight, bool retain) { fisher.add(loss, weight, retain); });
  return fisher.matrices();
}

}  // namespace plumb::methods
