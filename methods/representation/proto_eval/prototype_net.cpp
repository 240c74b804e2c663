// The network, its loss, and the two stages that ProtoPNet has beyond.
#include "methods/representation/proto_eval/prototype_net.h"

#include <fmt/format.h>

#include <limits>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "methods/representation/proto_eval/prototype_losses.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::proto_eval {
namespace {

constexpr int64_t kStages = 3, kBatch = 200;

// [classes, M], true where a prototype is the class's own.
Tensor own_prototypes(const PrototypeLayer& layer) {
  Tensor of = layer.class_of();
  return unsqueeze(slice(of, 0, 0, of.numel(), layer.per_class()), 1) == unsqueeze(of, 0);
}

// The largest of each map, [B, M].
Tensor largest(const Tensor& maps) { return max(flatten(maps, 2), 2).values; }

}  // namespace

resnet::ResNetConfig backbone_config(const PrototypeNetConfig& c) {
  return {.blocks = std::vector<int64_t>(kStages, 1), .width = c.backbone_width, .channels = c.channels * c.block * c.block, .classes = 0};
}

PrototypeNet::PrototypeNet(const PrototypeNetConfig& c)
    : backbone(backbone_config(c)),
      add_on(this, "add_on", c.backbone_width << (kStages - 1), c.width, 1),
      prototypes(c.classes, c.per_class, c.width),
      config_(c) {
  register_module("backbone", backbone);
  register_module("prototypes", prototypes);
  if (c.aggregate) {
    register_module("aggregation", aggregation.emplace(c.classes, c.per_class));
    return;
  }
  register_module("dense", dense.emplace(c.classes * c.per_class, c.classes, nn::LinearOptions{.bias = false}));
  NoGrad no_grad;
  Tensor weight = dense->weight;
  copy_(weight, where(own_prototypes(prototypes), full(weight.shape(), 1.0), -0.5));
}

Tensor PrototypeNet::last(const Tensor& activations) const { return aggregation ? (*aggregation)(activations) : (*dense)(activations); }

PrototypeNet::Output PrototypeNet::forward(const Tensor& images) const {
  int64_t multiple = config_.block << (kStages - 1);
  if (images.rank() != 4 || images.size(1) != config_.channels || images.size(2) % multiple != 0 || images.size(3) % multiple != 0)
    throw ShapeError(fmt::format("proto_eval: images are to be [B, {}, H, W] with sides that are multiples of {}, got {}", config_.channels,
                                 multiple, to_string(images.shape())));
  std::vector<Tensor> stages = backbone.stages(pixel_unshuffle(images, config_.block));
  Output o;
  o.shallow = stages.front(), o.deep = stages.back();
  o.z = sigmoid(add_on(o.deep));
  if (config_.similarity == Similarity::inner) {
    o.maps = prototypes.activation_maps(o.z);
    o.nearness = largest(prototypes.cosine_maps(o.z));
  } else {
    Tensor d = prototypes.squared_distance_maps(o.z);
    o.maps = log((d + 1) / (d + 1e-4));
    o.nearness = largest(-d);
  }
  o.logits = last(largest(o.maps));
  return o;
}

Tensor prototype_net_loss(const PrototypeNet& net, const PrototypeNet::Output& out, const Tensor& labels, const PrototypeLossOptions& o) {
  int64_t k = net.config().per_class;
  Tensor loss = cross_entropy(out.logits, labels);
  if (o.cluster != 0) loss = loss + cluster_loss(out.nearness, labels, k) * o.cluster;
  if (o.separation != 0) loss = loss - separation_loss(out.nearness, labels, k) * o.separation;
  if (o.orthogonality != 0) loss = loss + orthogonality_loss(net.prototypes.prototypes, k) * o.orthogonality;
  if (o.sdfa != 0) loss = loss + sdfa_loss(out.shallow, out.deep, out.maps, labels, k, o.margin) * o.sdfa;
  return loss;
}

void project_prototypes(PrototypeNet& net, const Tensor& images, const Tensor& labels) {
  NoGrad no_grad;
  bool trained = net.training();
  net.eval();
  int64_t k = net.config().per_class, classes = net.config().classes;
  std::vector<double> best(static_cast<size_t>(classes * k), -std::numeric_limits<double>::infinity());
  Tensor rows = clone(net.prototypes.prototypes);
  for (int64_t from = 0; from < images.size(0); from += kBatch) {
    Tensor part = slice(images, 0, from, from + kBatch), y = slice(labels, 0, from, from + kBatch);
    PrototypeNet::Output out = net.forward(part);
    auto nearest = max(flatten(own_class(out.maps, y, k), 2), 2);  // [B, K]
    auto values = to_vector(nearest.values);
    auto where = to_vector<int64_t>(nearest.indices), label = to_vector<int64_t>(y);
    Tensor places = mT(flatten(out.z, 2));  // [B, N, width]
    for (size_t i = 0; i < label.size(); ++i)
      for (int64_t j = 0; j < k; ++j) {
        size_t at = i * static_cast<size_t>(k) + static_cast<size_t>(j);
        int64_t m = label[i] * k + j;
        if (values[at] <= best[static_cast<size_t>(m)]) continue;
        best[static_cast<size_t>(m)] = values[at];
        Tensor row = select(rows, 0, m);
        copy_(row, select(select(places, 0, static_cast<int64_t>(i)), 0, where[at]));
      }
  }
  net.train(trained);
  for (size_t m = 0; m < best.size(); ++m)
    if (best[m] == -std::numeric_limits<double>::infinity())
      throw ValueError(fmt::format("proto_eval: class {} has no images", m / static_cast<size_t>(k)));
  Tensor p = net.prototypes.prototypes;
  copy_(p, rows);
}

void fit_last_layer(PrototypeNet& net, const Tensor& images, const Tensor& labels, const LastLayerOptions& o) {
  if (!net.dense) throw ValueError("proto_eval: this network has no dense layer to fit");
  std::vector<Tensor> parts;
  bool trained = net.training();
  net.eval();
  {
    NoGrad no_grad;
    for (const Tensor& part : split(images, kBatch)) parts.push_back(largest(net.forward(part).maps));
  }
  net.train(trained);
  Tensor g = cat(parts), foreign = to(logical_not(own_prototypes(net.prototypes)), f32);
  optim::Adam adam(net.dense->parameters(), {.lr = o.lr});
  for (int64_t step = 0; step < o.steps; ++step) {
    adam.zero_grad();
    (cross_entropy((*net.dense)(g), labels) + sum(abs(net.dense->weight) * foreign) * o.l1).backward();
    adam.step();
  }
}

}  // namespace plumb::methods::proto_eval
