// Modular arithmetic as pairs, its network, and the log of a run.
#include "methods/common/grokking.h"

#include <fmt/format.h>

#include <cmath>

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

PairExamples as_pairs(const data::Dataset& part, int64_t modulus) {
  if (part.size() == 0) throw ValueError("algorithmic_data: a part has no examples");
  data::Batch all = part.batch(part.size()).next();
  Tensor a = select(all.tokens, 1, 0), b = select(all.tokens, 1, 2) + modulus;
  return {stack({a, b}, 1), contiguous(all.label)};
}

}  // namespace

AlgorithmicData algorithmic_data(const data::ModularOptions& o) {
  if (!(o.train > 0 && o.train < 1)) throw ValueError(fmt::format("algorithmic_data: the training share {} is outside (0, 1)", o.train));
  data::DatasetParts parts = data::modular_arithmetic(o);
  return {o.modulus, as_pairs(parts.train(), o.modulus), as_pairs(parts.test(), o.modulus)};
}

PairMlp::PairMlp(const PairMlpConfig& c) : layers_(this, "layers"), logit_scale_(c.logit_scale) {
  if (c.modulus < 2) throw ValueError(fmt::format("pair_mlp: the modulus {} is below 2", c.modulus));
  if (c.hidden.empty()) throw ValueError("pair_mlp: needs a hidden layer");
  for (int64_t width : c.hidden)
    if (width < 1) throw ValueError(fmt::format("pair_mlp: a hidden layer of {} units", width));
  register_parameter("first", first, empty({2 * c.modulus, c.hidden[0]}, c.dtype));
  double bound = 1 / std::sqrt(2.0 * static_cast<double>(c.modulus));
  nn::init::uniform(first, -bound, bound);
  for (size_t i = 0; i < c.hidden.size(); ++i)
    layers_.emplace_back(c.hidden[i], i + 1 < c.hidden.size() ? c.hidden[i + 1] : c.modulus,
                         nn::LinearOptions{.bias = false, .dtype = c.dtype});
}

Tensor PairMlp::operator()(const Tensor& pairs) const {
  Tensor x = embedding_bag(first, pairs, {}, {.mode = BagMode::sum});
  for (size_t i = 0; i < layers_.size(); ++i) x = layers_[i](relu(x));
  return logit_scale_ == 1 ? x : x * logit_scale_;
}

void GrokkingLog::add(const GrokkingPoint& point) {
  if (!points_.empty() && point.epoch <= points_.back().epoch)
    throw ValueError(fmt::format("grokking_log: epoch {} comes after {}", point.epoch, points_.back().epoch));
  points_.push_back(point);
}

const GrokkingPoint& GrokkingLog::last() const {
  if (points_.empty()) throw ValueError("grokking_log: nothing was logged");
  return points_.back();
}

int64_t GrokkingLog::epoch_reaching(double accuracy, Part part) const {
  for (const GrokkingPoint& p : points_)
    if ((part == Part::train ? p.train_accuracy : p.test_accuracy) >= accuracy) return p.epoch;
  return -1;
}

int64_t GrokkingLog::delay(double accuracy) const {
  int64_t train = epoch_reaching(accuracy, Part::train), test = epoch_reaching(accuracy, Part::test);
  return train < 0 || test < 0 ? -1 : test - train;
}

}  // namespace plumb::methods
