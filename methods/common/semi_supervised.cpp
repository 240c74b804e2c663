// Few labels, many images without: data, batches, and the baselines' losses.
#include "methods/common/semi_supervised.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "models/metrics/confusion.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {

SemiData semi_split(const data::Dataset& train, const data::Dataset& test, int64_t per_class, Generator& generator, bool with_labelled) {
  if (per_class < 1) throw ValueError(fmt::format("semi_split: {} labels a class", per_class));
  auto labels = train.labels();
  int64_t classes = labels.empty() ? 0 : *std::ranges::max_element(labels) + 1;
  std::vector<int64_t> taken(static_cast<size_t>(classes)), with, without;
  for (int64_t i : data::random_order(train.size(), generator)) {
    auto& count = taken[static_cast<size_t>(labels[static_cast<size_t>(i)])];
    if (count < per_class) ++count, with.push_back(i);
    else without.push_back(i);
  }
  for (size_t c = 0; c < taken.size(); ++c)
    if (taken[c] < per_class) throw ValueError(fmt::format("semi_split: class {} has {} examples, fewer than {}", c, taken[c], per_class));
  if (with_labelled) without.insert(without.end(), with.begin(), with.end());
  std::ranges::sort(without);
  auto rows = [](const data::Dataset& set) { return set.batch(std::max<int64_t>(1, set.size())).next(); };
  auto few = rows(train.subset(with)), many = rows(train.subset(without)), judged = rows(test);
  return {few.image, few.label, many.image, many.label, judged.image, judged.label, classes};
}

SemiBatcher::SemiBatcher(const SemiData& data, SemiBatchOptions options)
    : data_(data),
      options_(std::move(options)),
      labelled_{data.labels.numel(), Generator(data::mix(options_.seed, 1))},
      unlabelled_{data.truth.numel(), Generator(data::mix(options_.seed, 2))},
      labelled_views_(data::mix(options_.seed, 3)),
      unlabelled_views_(data::mix(options_.seed, 4)) {
  if (options_.batch < 1) throw ValueError(fmt::format("semi_batcher: a batch of {}", options_.batch));
  if (options_.ratio < 0 || options_.strong_views < 0)
    throw ValueError(fmt::format("semi_batcher: ratio {}, {} strong views", options_.ratio, options_.strong_views));
}

Tensor SemiBatcher::Order::take(int64_t count) {
  std::vector<int64_t> out;
  for (int64_t k = 0; k < count; ++k) {
    if (at == order.size()) order = data::random_order(size, generator), at = 0;
    out.push_back(order[at++]);
  }
  return from_vector(out);
}

SemiBatch SemiBatcher::next() {
  NoGrad no_grad;
  SemiBatch b;
  b.labelled_index = labelled_.take(options_.batch);
  b.labels = index_select(data_.labels, 0, b.labelled_index);
  b.labelled =
      (options_.strong_labelled ? options_.strong : options_.weak)(index_select(data_.labelled, 0, b.labelled_index), labelled_views_);
  b.unlabelled_index = unlabelled_.take(options_.batch * options_.ratio);
  b.truth = index_select(data_.truth, 0, b.unlabelled_index);
  Tensor images = index_select(data_.unlabelled, 0, b.unlabelled_index);
  b.weak = options_.weak(images, unlabelled_views_);
  for (int v = 0; v < options_.strong_views; ++v) b.strong.push_back(options_.strong(images, unlabelled_views_));
  return b;
}

std::vector<optim::Group<optim::SgdOptions>> decay_groups(const nn::Module& model, optim::SgdOptions options, bool decay_vectors) {
  if (decay_vectors) return {{model.parameters(), options}};
  optim::Group<optim::SgdOptions> matrices{{}, options}, vectors{{}, options};
  vectors.options.weight_decay = 0;
  for (const Tensor& p : model.parameters()) (p.rank() >= 2 ? matrices : vectors).parameters.push_back(p);
  return {matrices, vectors};
}

std::unique_ptr<optim::Optimizer> make_optimizer(const nn::Module& model, const SemiTrainOptions& options) {
  if (options.adam) return std::make_unique<optim::Adam>(model.parameters(), *options.adam);
  return std::make_unique<optim::SGD>(decay_groups(model, options.sgd, options.decay_vectors));
}

double accuracy_percent(const Tensor& logits, const Tensor& labels) { return 100 * metrics::accuracy(argmax(logits, 1), labels); }

Tensor all_views(const SemiBatch& batch) {
  std::vector<Tensor> parts{batch.labelled, batch.weak};
  parts.insert(parts.end(), batch.strong.begin(), batch.strong.end());
  return cat(parts, 0);
}

SemiParts split_views(const Tensor& rows, const SemiBatch& batch) {
  std::vector<int64_t> sizes{batch.labelled.size(0), batch.weak.size(0)};
  for (const Tensor& s : batch.strong) sizes.push_back(s.size(0));
  auto parts = split(rows, sizes, 0);
  return {parts[0], parts[1], {parts.begin() + 2, parts.end()}};
}

std::vector<DistributionAligner> make_aligner(Alignment alignment, int64_t classes) {
  if (alignment == Alignment::queue) return {DistributionAligner::queue(classes)};
  if (alignment == Alignment::average) return {DistributionAligner::average(classes)};
  return {};
}

Tensor weak_probabilities(const Tensor& logits, std::vector<DistributionAligner>& aligner) {
  NoGrad no_grad;
  Tensor p = softmax(logits.detach(), 1);
  return aligner.empty() ? p : aligner[0].align(p);
}

FixMatch::FixMatch(const FixMatchOptions& options, const SemiData& data)
    : options_(options), aligner_(make_aligner(options.alignment, data.classes)) {
  if (options.flexible) flexible_.emplace_back(data.truth.numel(), data.classes, options.threshold);
}

SemiStep FixMatch::operator()(const SemiParts& logits, const SemiBatch& batch) {
  Tensor p = weak_probabilities(logits.weak, aligner_);
  PseudoLabels labels = pseudo_labels(p);
  Tensor mask = flexible_.empty() ? confidence_mask(p, options_.threshold) : flexible_[0].mask(labels);
  if (!flexible_.empty()) flexible_[0].update(batch.unlabelled_index, labels);
  SemiStep step{cross_entropy(logits.labelled, batch.labels), mask, labels.label, mean(to(mask, f64)).item()};
  double share = options_.weight / static_cast<double>(std::max<size_t>(1, logits.strong.size()));
  for (const Tensor& strong : logits.strong)
    step.loss = step.loss + share * weighted_cross_entropy(strong, options_.hard ? labels.label : p, mask);
  return step;
}

SemiStep Supervised::loss(const Tensor& logits, const SemiBatch& batch) const { return {cross_entropy(logits, batch.labels), {}, {}, 0}; }

}  // namespace plumb::methods
