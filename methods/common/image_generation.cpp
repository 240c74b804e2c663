// Images of 32 × 32, and the classifier that judges samples.
#include "methods/common/image_generation.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/files.h"
#include "engine/data/images.h"
#include "engine/data/shapes.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

constexpr int64_t kPart = 500, kShapes = 10'000;

data::Dataset images_of(const ImageProblemOptions& o, std::string& source) {
  if (o.real && !data::find_optional_data_file(data::data_directory(), "cifar10", "data_batch_1.bin").empty()) {
    source = "CIFAR-10";
    return data::cifar10().train();
  }
  source = "rendered shapes";
  return data::shapes(o.most > 0 ? o.most : kShapes, {.size = 32, .max_shapes = 1, .min_radius = 0.2, .max_radius = 0.4});
}

std::shared_ptr<const SmallCnn> trained_oracle(const Tensor& rows, const Tensor& labels, int64_t steps) {
  int64_t classes = max(labels).item<int64_t>() + 1;
  auto net = std::make_shared<SmallCnn>(SmallCnnConfig{.channels = 3, .side = rows.size(2), .classes = classes, .width = 32});
  net->to(rows.device());
  optim::AdamW adam(net->parameters(), {.lr = 1e-3, .weight_decay = 0.05});
  for (int64_t k = 0; k < steps; ++k) {
    adam.set_lr_scale(1 - static_cast<double>(k) / static_cast<double>(steps));
    Tensor chosen = to(randint(0, rows.size(0), {128}), rows.device());
    Tensor loss = cross_entropy((*net)(index_select(rows, 0, chosen)), index_select(labels, 0, chosen));
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  net->requires_grad_(false);
  net->eval();
  return net;
}

}  // namespace

unet::UnetConfig image_network() {
  return {.width = 128,
          .multipliers = {1, 2, 2, 2},
          .blocks = 3,
          .attention_levels = {1, 2},
          .head_width = 64,
          .time_scale = 100,  // of ¼ ln σ: a consistency model must change slowly with σ
          .dropout = 0.1};
}

ImageProblem::ImageProblem(const ImageProblemOptions& o) : config_(o.network) {
  data::Dataset all = images_of(o, source);
  int64_t n = o.most > 0 ? std::min(o.most, all.size()) : all.size();
  for (const auto& batch : all.batch(n)) {  // the first
    rows = to(batch.image * 2.0 - 1.0, o.device);
    labels = to(batch.label, o.device);
    break;
  }
  oracle_ = trained_oracle(rows, labels, o.oracle_steps);
  statistics_ = metrics::feature_statistics(features(rows));
}

ImageProblem::Network ImageProblem::network(bool second_time) const {
  Network network(config_, second_time);
  network.to(rows.device());
  return network;
}

Tensor ImageProblem::batch(int64_t n) const { return index_select(rows, 0, to(randint(0, rows.size(0), {n}), rows.device())); }

double ImageProblem::frechet_distance(const Tensor& samples) const {
  if (!std::isfinite(sum(samples).item())) return INFINITY;
  return metrics::frechet_distance(metrics::feature_statistics(features(samples)), statistics_);
}

Tensor ImageProblem::clipped(const Tensor& x) const { return clamp(x, -1, 1); }
Tensor ImageProblem::images(const Tensor& x) const { return to(clamp((x + 1) * 0.5, 0, 1), Device(cpu)); }
Tensor ImageProblem::features(const Tensor& x) const { return in_parts(x, false); }
Tensor ImageProblem::probabilities(const Tensor& x) const { return in_parts(x, true); }

Tensor ImageProblem::in_parts(const Tensor& x, bool probabilities) const {
  NoGrad off;
  std::vector<Tensor> parts;
  for (int64_t first = 0; first < x.size(0); first += kPart) {
    Tensor part = clipped(narrow(x, 0, first, std::min(kPart, x.size(0) - first)));
    parts.push_back(probabilities ? softmax((*oracle_)(part), 1) : oracle_->features(part));
  }
  return cat(parts);
}

}  // namespace plumb::methods
