// Measures of drawn images.
#include "tools/image_judge.h"

#include <algorithm>

#include "models/metrics/frechet.h"
#include "models/metrics/neighbours.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::tools {
namespace {

constexpr int64_t kBatch = 500;
constexpr double kCopyShare = 0.01;

template <typename F>
Tensor in_batches(const Tensor& images, F&& f) {
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < images.size(0); i += kBatch) rows.push_back(f(narrow(images, 0, i, std::min(kBatch, images.size(0) - i))));
  return cat(rows);
}

}  // namespace

ImageJudge::ImageJudge(const std::string& run) : ImageJudge(train::RunDirectory::open(run)) {}

ImageJudge::ImageJudge(const train::RunDirectory& directory) : classifier_(ClassifierRun::from_json(directory.config())) {
  classifier_.module().load_state(network_weights(directory.load_model()));
  classifier_.module().eval();
}

Tensor ImageJudge::features(const Tensor& images) const {
  return in_batches(images, [&](const Tensor& x) { return classifier_.features(x); });
}

Tensor ImageJudge::answers(const Tensor& images) const {
  return in_batches(images, [&](const Tensor& x) { return argmax(classifier_(x), -1); });
}

Tensor all_images(const data::Dataset& images) {
  std::vector<Tensor> parts;
  for (const auto& batch : images.batch(kBatch)) parts.push_back(batch.image);
  return cat(parts);
}

train::Measures measure_samples(const ImageJudge& judge, const LabelledImages& data, const Tensor& samples) {
  Tensor training = all_images(data.train), unseen = all_images(data.test.take(samples.size(0)));
  Tensor real = judge.features(unseen), drawn = judge.features(samples);
  metrics::PrecisionRecall pr = metrics::precision_recall(real, drawn);
  double threshold = metrics::copy_threshold(flatten(unseen, 1), flatten(training, 1), kCopyShare);
  return {{"precision", pr.precision},
          {"recall", pr.recall},
          {"density", pr.density},
          {"coverage", pr.coverage},
          {"frechet", metrics::frechet_distance(real, drawn)},
          {"frechet_of_real", metrics::frechet_distance(real, judge.features(narrow(training, 0, 0, unseen.size(0))))},
          {"copies", metrics::share_of_copies(flatten(samples, 1), flatten(training, 1), threshold)},
          {"copies_of_unseen", kCopyShare}};
}

}  // namespace plumb::tools
