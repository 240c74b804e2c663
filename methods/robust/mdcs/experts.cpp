// Experts on a shared trunk.
#include "methods/robust/mdcs/experts.h"

#include <string>

#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::methods::mdcs {
namespace {

int64_t features_of(const PooledCnnConfig& c) {
  Size2 parts = pooled_parts(c.height, c.width);
  return 4 * c.first * parts.height * parts.width;
}

const PooledCnnConfig& checked(const PooledCnnConfig& c) {
  c.check();
  return c;
}

}  // namespace

Tensor mean_logits(const std::vector<Tensor>& logits) {
  if (logits.empty()) throw ValueError("mdcs: there are no experts");
  Tensor total = logits[0];
  for (size_t e = 1; e < logits.size(); ++e) total = total + logits[e];
  return logits.size() == 1 ? total : total / static_cast<double>(logits.size());
}

ConvTrunk::ConvTrunk(const PooledCnnConfig& c)
    : conv1(this, "conv1", checked(c).channels, c.first, 3, {.padding = 1, .bias = false}),
      bn1(this, "bn1", c.first),
      conv2(this, "conv2", c.first, 2 * c.first, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn2(this, "bn2", 2 * c.first) {}

Tensor ConvTrunk::operator()(const Tensor& images) const {
  Tensor x = leaky_relu(bn1(conv1(images)), 0.1);
  return leaky_relu(bn2(conv2(x)), 0.1);
}

ConvExpert::ConvExpert(const PooledCnnConfig& c, double scale)
    : conv3(this, "conv3", checked(c).first * 2, 4 * c.first, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn3(this, "bn3", 4 * c.first),
      fc(this, "fc", features_of(c), c.features),
      head(this, "head", c.features, c.classes, {.scale = scale}),
      pooled_(pooled_parts(c.height, c.width)) {}

Tensor ConvExpert::operator()(const Tensor& shared) const {
  Tensor x = leaky_relu(bn3(conv3(shared)), 0.1);
  return head(leaky_relu(fc(flatten(adaptive_avg_pool2d(x, pooled_), 1)), 0.1));
}

ExpertCnn expert_cnn(const PooledCnnConfig& config, int64_t experts, double scale) {
  if (experts < 1) throw ValueError("mdcs: " + std::to_string(experts) + " experts");
  ConvTrunk trunk(config);
  std::vector<ConvExpert> made;
  for (int64_t e = 0; e < experts; ++e) made.emplace_back(config, scale);
  return ExpertCnn(std::move(trunk), std::move(made));
}

}  // namespace plumb::methods::mdcs
