// AdaMixUp: the region, the discriminator, and the loss of a step.
#include "methods/regularization/adamixup/adamixup.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "engine/core/error.h"
#include "methods/common/mixing.h"
#include "models/nn/batch_statistics.h"
#include "models/nn/init.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::adamixup {
namespace {

void start_normal(const nn::Linear& layer, double std) {
  nn::init::normal(layer.weight, 0, std);
  nn::init::zeros(layer.bias);
}

int64_t checked_half(const Tensor& x) {
  if (x.rank() < 1 || !is_floating(x.dtype())) throw ShapeError("adamixup: takes floating examples [B, ..], got " + to_string(x.shape()));
  int64_t batch = x.size(0);
  if (batch < 4 || batch % 2 != 0) throw ShapeError(fmt::format("adamixup: needs an even batch of at least 4 examples, got {}", batch));
  return batch / 2;
}

struct Spread {
  double mean = 0, std = 0;
};
Spread spread(const Tensor& x) {
  auto values = to_vector(x.detach());
  double sum = 0, squares = 0, n = static_cast<double>(values.size());
  for (double v : values) sum += v, squares += v * v;
  return {sum / n, std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)))};
}

// λ of each pair, and the region it is from where there is one.
struct Share {
  Tensor lambda;
  std::optional<PolicyRegion> region;
};

Share choose_share(const Networks& nets, const Tensor& first, const Tensor& second, const Draws& d, const AdaMixUpOptions& o) {
  if (!nets.region) return {o.a + d.u * o.b, {}};
  Tensor pair = (d.first_noise * first + d.second_noise * second) * 0.5;
  PolicyRegion region = (*nets.region)(nets.trunk(o.pair_scale * pair + o.pair_shift));
  return {sample_lambda(region, d.u), region};
}

void note_region(StepLoss& out, const Share& share, const AdaMixUpOptions& o) {
  Spread l = spread(share.lambda);
  out.lambda_mean = l.mean, out.lambda_std = l.std;
  if (!share.region) {
    out.a_mean = o.a, out.b_mean = o.b;
    return;
  }
  Spread a = spread(share.region->a), b = spread(share.region->b);
  out.a_mean = a.mean, out.a_std = a.std, out.b_mean = b.mean, out.b_std = b.std;
}

}  // namespace

PolicyRegion policy_region(const Tensor& logits) {
  if (logits.rank() != 2 || logits.size(1) != 3) throw ShapeError("policy_region: takes logits [h, 3], got " + to_string(logits.shape()));
  Tensor p = softmax(logits, 1);
  return {select(p, 1, 0), select(p, 1, 1), select(p, 1, 2)};
}

Tensor sample_lambda(const PolicyRegion& region, const Tensor& u) {
  if (u.shape() != region.a.shape())
    throw ShapeError(fmt::format("sample_lambda: {} numbers u for {} regions", to_string(u.shape()), to_string(region.a.shape())));
  for (double v : to_vector(u))
    if (!(v >= 0 && v <= 1)) throw ValueError(fmt::format("sample_lambda: u must lie in [0, 1], one is {}", v));
  return clamp_max(region.a + u * region.b, 1);
}

RegionHead::RegionHead(int64_t features, int64_t units, double std) : hidden(this, "hidden", features, units), out(this, "out", units, 3) {
  start_normal(hidden, std);
  start_normal(out, std);
}

IntrusionDiscriminator::IntrusionDiscriminator(int64_t features, int64_t classes, double std)
    : first(this, "first", features, classes), second(this, "second", classes, 2) {
  start_normal(first, std);
  start_normal(second, std);
}

Tensor intrusion_loss(const Tensor& real, const Tensor& mixed) {
  for (const Tensor* logits : {&real, &mixed})
    if (logits->rank() != 2 || logits->size(1) != 2)
      throw ShapeError("intrusion_loss: takes logits [n, 2], got " + to_string(logits->shape()));
  Tensor labels = cat({ones({real.size(0)}, i64, real.device()), zeros({mixed.size(0)}, i64, real.device())});
  return cross_entropy(cat({real, mixed}), labels);
}

Draws draw(const Tensor& x, Generator& generator) {
  int64_t half = checked_half(x);
  Shape pair = x.shape();
  pair[0] = half;
  RandomOptions options{.dtype = x.dtype(), .device = x.device(), .generator = &generator};
  Draws d;
  d.order = randperm(x.size(0), {.dtype = i64, .device = x.device(), .generator = &generator});
  d.first_noise = truncated_normal(pair, 0, 1, -2, 2, options);
  d.second_noise = truncated_normal(pair, 0, 1, -2, 2, options);
  d.u = rand({half}, options);
  return d;
}

StepLoss step_loss(const Networks& nets, const Tensor& x, const Tensor& labels, const Draws& d, const AdaMixUpOptions& o) {
  int64_t half = checked_half(x);
  o.check();
  if (nets.region && !nets.trunk)
    throw ValueError("adamixup: the region needs a trunk, a network of the classifier's form with weights of its own");
  if (labels.rank() != 1 || labels.dtype() != i64 || labels.size(0) != x.size(0))
    throw ShapeError(fmt::format("adamixup: labels must be i64 [{}], got {}", x.size(0), to_string(labels.shape())));
  Tensor first = narrow(x, 0, 0, half), unseen = narrow(x, 0, half, half), first_labels = narrow(labels, 0, 0, half);
  Tensor partners = narrow(d.order, 0, 0, half), second = index_select(x, 0, partners);
  Share share = choose_share(nets, first, second, d, o);
  Tensor mixed = mix_pairs(first, second, share.lambda);

  Tensor logits = nets.classifier(cat({mixed, first}));
  Tensor targets = cat({mixed_targets(first_labels, index_select(labels, 0, partners), share.lambda, logits.size(1)),
                        to(one_hot(first_labels, logits.size(1)), share.lambda.dtype())});
  Tensor classification = cross_entropy(logits, targets, {.label_smoothing = o.label_smoothing});
  StepLoss out{.total = classification, .classification = classification.item()};
  note_region(out, share, o);
  if (!nets.discriminator) return out;

  nn::BatchStatistics without_running;  // the classifier's pass alone moves them
  Tensor judged = (*nets.discriminator)(nets.classifier.features(cat({unseen, first, mixed})));
  Tensor of_mixed = narrow(judged, 0, 2 * half, half);
  Tensor intrusion = intrusion_loss(narrow(judged, 0, 0, 2 * half), of_mixed);
  if (o.intrusion_weight > 0) out.total = classification + o.intrusion_weight * intrusion;
  out.intrusion = intrusion.item();
  out.intrusion_rate = mean(to(select(of_mixed, 1, 1) > select(of_mixed, 1, 0), f32)).item();
  return out;
}

void AdaMixUpOptions::check() const {
  if (!(intrusion_weight >= 0))
    throw ValueError(fmt::format("adamixup: the intrusion's weight must not be negative, it is {}", intrusion_weight));
  if (!(a >= 0 && b >= 0 && a + b <= 1)) throw ValueError(fmt::format("adamixup: shares from {} to {} do not lie in [0, 1]", a, a + b));
}

void AdaMixUpConfig::check() const {
  for (auto [name, value] : {std::pair{"features", features}, {"classes", classes}, {"hidden units", hidden}})
    if (value < 1) throw ValueError(fmt::format("adamixup: {} must be at least 1, they are {}", name, value));
  if (!(region_std >= 0 && discriminator_std >= 0))
    throw ValueError(fmt::format("adamixup: deviations must not be negative, they are {} and {}", region_std, discriminator_std));
  options.check();
}

// What is trained beside the classifier. The trunk is somebody else's object, so this has no copies.
struct AdaMixUp::Parts : nn::Module {
  FeatureNetwork trunk;
  std::optional<RegionHead> region;
  std::optional<IntrusionDiscriminator> discriminator;

  Parts(const AdaMixUpConfig& c, FeatureNetwork network) : trunk(std::move(network)) {
    if (c.region) register_module("region", region.emplace(c.features, c.hidden, c.region_std));
    if (c.discriminator) register_module("discriminator", discriminator.emplace(c.features, c.classes, c.discriminator_std));
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

 protected:
  std::vector<std::pair<std::string, nn::Module*>> heap_children() const override {
    if (!region) return {};
    return {{"trunk", trunk.module.get()}};
  }
};

AdaMixUp::AdaMixUp(const AdaMixUpConfig& config, FeatureNetwork trunk) : config_((config.check(), config)) {
  if (config.region && (!trunk.module || !trunk.features))
    throw ValueError("adamixup: the region needs a trunk, a network of the classifier's form with weights of its own");
  parts_ = std::make_unique<Parts>(config, std::move(trunk));
}
AdaMixUp::~AdaMixUp() = default;

Tensor AdaMixUp::loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) {
  Networks nets{network, parts_->trunk.features, parts_->region ? &*parts_->region : nullptr,
                parts_->discriminator ? &*parts_->discriminator : nullptr};
  StepLoss step = step_loss(nets, x, labels, draw(x, generator), config_.options);
  report_ = step;
  report_.total = {};
  return step.total;
}

nn::Module* AdaMixUp::module() { return parts_->region || parts_->discriminator ? parts_.get() : nullptr; }

}  // namespace plumb::methods::adamixup
