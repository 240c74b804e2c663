// Gradients summed over processes in buckets, which are on their way while the backward pass goes on.
#pragma once
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/dist/collectives.h"

namespace plumb::parallel {

struct BucketOptions {
  int64_t bytes = int64_t{25} << 20;  ///< a bucket is full once it holds so many: fewer exchanges, but later ones
  /// Each process gets the sums of its slice of every bucket alone (zeros elsewhere), for optimisers that are shared out
  /// (ShardedOptimizer): half of what an all-reduce sends.
  bool scatter = false;
};

/// Parameters whose gradients are exchanged as one row of elements, in the order in which a backward pass completes them.
struct Bucket {
  std::vector<size_t> parameters;  ///< places in the list of parameters
  std::vector<int64_t> offsets;    ///< where each begins; one more: where the last ends
  int64_t slice = 0;               ///< elements a process: size() · slice ≥ offsets.back(), padded with zeros
  Tensor flat;                     ///< [size() · slice]
};

/// Data parallel training. Every process computes the loss of its part of a batch, divided by the number of processes, and
///   buckets.backward(loss);
/// leaves the gradient of their sum in grad() of each parameter, on all of them with the same bits. The layout is made in the first pass,
/// from its graph: parameters are sorted by when their gradient will be complete (leaves_by_readiness), whatever the order of declaration.
/// A bucket's exchange starts as soon as its last gradient is there; all processes start the buckets in the same order.
class GradientBuckets {
 public:
  /// `parameters` are the same list on all processes, floating, on the collectives' device. Throws ValueError unless options.bytes ≥ 1.
  GradientBuckets(std::vector<Tensor> parameters, dist::Collectives& processes, BucketOptions options = {});
  ~GradientBuckets();

  /// loss.backward() with the exchange. grad() of a parameter that no process has a gradient for stays undefined; one that others have
  /// counts as zeros here. Gradients from earlier parts of the batch (plain loss.backward()) are counted in. The gradients live in the
  /// buckets, until the next call.
  void backward(const Tensor& loss);
  /// As optim::clip_grad_norm, over all processes' slices where they are scattered.
  double clip_norm(double max_norm);

  /// Empty before the first backward.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  const std::vector<Tensor>& parameters() const { return parameters_; }
  dist::Collectives& processes() const { return processes_; }
  bool scattered() const { return options_.scatter; }
  /// Parameter `k` of the bucket as a view of `flat` (any row of the bucket's size), in its shape.
  Tensor view(const Bucket& bucket, size_t k, const Tensor& flat) const;
  /// This process's slice of `flat`.
  Tensor own_slice(const Bucket& bucket, const Tensor& flat) const;
  /// Exchanges that had started before the last gradient of the latest backward was there: what overlapped with it.
  int64_t started_early() const { return started_early_; }

 private:
  void lay_out(const Tensor& loss);
  std::vector<int64_t> agreed_order(const Tensor& loss) const;
  void arrived(const Tensor& leaf);
  void collect(Bucket& bucket, size_t k);
  void start_full_buckets();
  void start(size_t bucket);
  void finish(size_t bucket);
  std::vector<double> share_having();

  struct Place {
    size_t bucket, k;
  };
  std::vector<Tensor> parameters_;
  dist::Collectives& processes_;
  BucketOptions options_;
  std::vector<Bucket> buckets_;
  std::unordered_map<const TensorImpl*, Place> place_;
  // Of the pass that is on its way:
  std::vector<double> has_;            // for each parameter, whether it has a gradient here
  std::vector<size_t> missing_;        // for each bucket, gradients that are not there yet
  std::vector<std::unique_ptr<dist::Exchange>> exchanges_;
  std::vector<Tensor> slices_;         // what reduce-scatter writes
  int64_t started_early_ = 0;
};

}  // namespace plumb::parallel
