// Buckets: laid out once, filled by the backward pass, exchanged in order.
#include "models/parallel/gradient_buckets.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/autograd/gradient_ready.h"
#include "engine/core/data_kernels.h"
#include "models/optim/transforms.h"
#include "ops/shape.h"

namespace plumb::parallel {

GradientBuckets::GradientBuckets(std::vector<Tensor> parameters, dist::Collectives& processes, BucketOptions options)
    : parameters_(std::move(parameters)), processes_(processes), options_(options) {
  if (options.bytes < 1) throw ValueError("gradient buckets: a bucket of " + std::to_string(options.bytes) + " bytes");
}
GradientBuckets::~GradientBuckets() = default;

// -- layout -----------------------------------------------------------------------------------------

// Places of all parameters, the first complete first, those without a gradient last. The first process's order: graphs may differ.
std::vector<int64_t> GradientBuckets::agreed_order(const Tensor& loss) const {
  std::unordered_map<const TensorImpl*, int64_t> rank;
  for (const Tensor& leaf : leaves_by_readiness(loss)) rank.try_emplace(leaf.impl(), static_cast<int64_t>(rank.size()));
  auto ready = [&](int64_t i) {
    auto found = rank.find(parameters_[static_cast<size_t>(i)].impl());
    return found == rank.end() ? INT64_MAX : found->second;
  };
  std::vector<int64_t> order(parameters_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return ready(a) < ready(b); });
  bool first = processes_.rank() == 0;  // whole numbers below 2⁵³ are exact in f64, and a sum with zeros is the first's
  std::vector<double> said(order.begin(), order.end());
  if (!first) std::fill(said.begin(), said.end(), 0.0);
  Tensor shared = to(from_vector(said), parameters_.front().device());
  processes_.start_all_reduce(shared)->wait();
  said = to_vector(shared);
  return {said.begin(), said.end()};
}

void GradientBuckets::lay_out(const Tensor& loss) {
  if (parameters_.empty()) throw ValueError("gradient buckets: there is no parameter");
  for (int64_t i : agreed_order(loss)) {
    const Tensor& p = parameters_[static_cast<size_t>(i)];
    auto item = static_cast<int64_t>(item_size(p.dtype()));
    bool fits = !buckets_.empty() && parameters_[buckets_.back().parameters[0]].dtype() == p.dtype() &&
                buckets_.back().offsets.back() * item < options_.bytes;
    if (!fits) buckets_.push_back({{}, {0}, 0, {}});
    Bucket& bucket = buckets_.back();
    place_[p.impl()] = {buckets_.size() - 1, bucket.parameters.size()};
    bucket.parameters.push_back(static_cast<size_t>(i));
    bucket.offsets.push_back(bucket.offsets.back() + p.numel());
  }
  int64_t size = processes_.size();
  for (Bucket& bucket : buckets_) {
    const Tensor& p = parameters_[bucket.parameters[0]];
    bucket.slice = (bucket.offsets.back() + size - 1) / size;
    bucket.flat = zeros({size * bucket.slice}, p.dtype(), p.device());
    slices_.push_back(options_.scatter ? zeros({bucket.slice}, p.dtype(), p.device()) : Tensor());
  }
}

Tensor GradientBuckets::view(const Bucket& bucket, size_t k, const Tensor& flat) const {
  const Tensor& p = parameters_[bucket.parameters[k]];
  return reshape(narrow(flat, 0, bucket.offsets[k], p.numel()), p.shape());
}

Tensor GradientBuckets::own_slice(const Bucket& bucket, const Tensor& flat) const {
  return narrow(flat, 0, processes_.rank() * bucket.slice, bucket.slice);
}

// -- a pass -----------------------------------------------------------------------------------------

void GradientBuckets::backward(const Tensor& loss) {
  if (buckets_.empty()) lay_out(loss);
  has_.assign(parameters_.size(), 0);
  missing_.clear();
  for (const Bucket& bucket : buckets_) missing_.push_back(bucket.parameters.size());
  exchanges_.clear();
  started_early_ = 0;
  backward_by_leaf(loss, [this](const Tensor& leaf) { arrived(leaf); });
  NoGrad off;
  size_t early = exchanges_.size();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    for (size_t k = 0; missing_[b] > 0 && k < buckets_[b].parameters.size(); ++k)
      if (has_[buckets_[b].parameters[k]] == 0) collect(buckets_[b], k);  // no gradient in this pass; perhaps one of an earlier part
    if (b >= early) start(b);
  }
  started_early_ =
      static_cast<int64_t>(early) - (early == buckets_.size() ? 1 : 0);  // the last one filled has nothing left to overlap with
  std::vector<double> having = share_having();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    finish(b);
    for (size_t k = 0; k < buckets_[b].parameters.size(); ++k) {
      size_t i = buckets_[b].parameters[k];
      parameters_[i].set_grad(having[i] > 0 ? view(buckets_[b], k, buckets_[b].flat) : Tensor());
    }
  }
  exchanges_.clear();
}

void GradientBuckets::arrived(const Tensor& leaf) {
  for (auto& exchange : exchanges_) exchange->poll();
  auto found = place_.find(leaf.impl());
  if (found == place_.end() || !leaf.grad().defined()) return;
  NoGrad off;
  auto [b, k] = found->second;
  collect(buckets_[b], k);
  --missing_[b];
  start_full_buckets();
}

// The parameter's gradient into its place, where it stays.
void GradientBuckets::collect(Bucket& bucket, size_t k) {
  size_t i = bucket.parameters[k];
  Tensor here = view(bucket, k, bucket.flat), gradient = parameters_[i].grad();
  has_[i] = gradient.defined();
  if (!gradient.defined()) kernel::fill(here.device(), Scalar(0.0), here);
  else if (gradient.raw_data() != here.raw_data()) copy_data(gradient.detach(), here);
  parameters_[i].set_grad(here);
}

void GradientBuckets::start_full_buckets() {
  while (exchanges_.size() < buckets_.size() && missing_[exchanges_.size()] == 0) start(exchanges_.size());
}

void GradientBuckets::start(size_t b) {
  Bucket& bucket = buckets_[b];
  exchanges_.push_back(options_.scatter ? processes_.start_reduce_scatter(bucket.flat, slices_[b])
                                        : processes_.start_all_reduce(bucket.flat));
}

void GradientBuckets::finish(size_t b) {
  exchanges_[b]->wait();
  if (!options_.scatter) return;
  Tensor flat = buckets_[b].flat, slice = own_slice(buckets_[b], flat);
  kernel::fill(flat.device(), Scalar(0.0), flat);
  copy_data(slices_[b], slice);
}

// How many processes have a gradient for each parameter.
std::vector<double> GradientBuckets::share_having() {
  Tensor having = to(from_vector(has_), parameters_.front().device());
  processes_.start_all_reduce(having)->wait();
  return to_vector(having);
}

double GradientBuckets::clip_norm(double max_norm) {
  NoGrad off;
  std::vector<Tensor> gradients;
  for (const Bucket& bucket : buckets_)
    gradients.push_back(options_.scatter ? own_slice(bucket, bucket.flat) : narrow(bucket.flat, 0, 0, bucket.offsets.back()));
  if (!options_.scatter) return optim::clip_norm(gradients, max_norm);
  double own = optim::clip_norm(gradients, INFINITY);
  Tensor squares = to(from_vector(std::vector<double>{own * own}), parameters_.front().device());
  processes_.start_all_reduce(squares)->wait();
  double norm = std::sqrt(squares.item());
  if (std::isfinite(norm) && norm > max_norm && own > 0) optim::clip_norm(gradients, own * (max_norm / norm));
  return norm;
}

}  // namespace plumb::parallel
