// The network, and one training loop for known and for new classes.
#include "methods/continual/happy/learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "models/nn/init.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "models/optim/transforms.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::happy {
namespace {

constexpr int64_t kPart = 512;  // rows of one pass outside training

int64_t pooled(int64_t side) { return side / 2 / 2; }

/// f of rows in parts, outside the graph.
template <typename F>
Tensor in_parts(const Tensor& rows, F&& f) {
  NoGrad no_grad;
  std::vector<Tensor> parts;
  for (const Tensor& part : split(rows, kPart)) parts.push_back(f(part));
  return cat(parts, 0);
}

std::vector<optim::Group<optim::SgdOptions>> groups_of(const std::vector<Tensor>& parameters, const DiscoveryTraining& t) {
  optim::SgdOptions decayed{.lr = t.lr, .momentum = t.momentum, .weight_decay = t.weight_decay}, plain = decayed;
  plain.weight_decay = 0;
  std::vector<optim::Group<optim::SgdOptions>> groups{{{}, decayed}, {{}, plain}};
  for (const Tensor& p : parameters) groups[p.rank() > 1 ? 0 : 1].parameters.push_back(p);
  return groups;
}

/// Places in [V n, ..] of two different views of each example at `places`: first views, then second ones.
Tensor two_views(const std::vector<int64_t>& places, int64_t views, int64_t n, Generator& generator) {
  std::vector<int64_t> first, second;
  for (int64_t i : places) {
    auto a = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(views)));
    auto b = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(views - 1)));
    first.push_back(a * n + i);
    second.push_back((b >= a ? b + 1 : b) * n + i);
  }
  first.insert(first.end(), second.begin(), second.end());
  return from_vector(first);
}

void check(const StageInputs& inputs, const DiscoveryTraining& t) {
  if (inputs.views.rank() != inputs.plain.rank() + 1 || inputs.views.size(1) != inputs.plain.size(0))
    throw ShapeError(fmt::format("happy: views {} of examples {} must be [V, n, ..] and [n, ..]", to_string(inputs.views.shape()),
                                 to_string(inputs.plain.shape())));
  if (inputs.views.size(0) < 2)
    throw ValueError(fmt::format("happy: two views of an example are needed, there are {}", inputs.views.size(0)));
  if (t.epochs < 1 || t.batch < 1) throw ValueError(fmt::format("happy: {} epochs of batches of {}", t.epochs, t.batch));
}

/// One loop: loss(places in the flattened views, places of the examples, epoch) for each batch.
template <typename Loss>
void train(const std::vector<Tensor>& parameters, const StageInputs& inputs, const DiscoveryTraining& t, Generator& generator,
           Loss&& loss) {
  optim::SGD sgd(groups_of(parameters, t));
  sgd.add_transform(optim::clip_norm(t.clip));
  optim::Schedule rate = optim::cosine(t.epochs, 1, 1e-3);
  int64_t n = inputs.plain.size(0), batch = std::min(t.batch, n), views = inputs.views.size(0);
  for (int64_t epoch = 0; epoch < t.epochs; ++epoch) {
    sgd.set_lr_scale(rate(epoch));
    std::vector<int64_t> order = data::random_order(n, generator);
    for (int64_t from = 0; from + batch <= n; from += batch) {
      std::vector<int64_t> places(order.begin() + from, order.begin() + from + batch);
      sgd.zero_grad();
      loss(two_views(places, views, n, generator), from_vector(places), epoch).backward();
      sgd.step();
    }
    if (t.progress) t.progress(static_cast<double>(epoch + 1) / static_cast<double>(t.epochs));
  }
}

}  // namespace

// -- the network
// ---------------------------------------------------------------------------------------------------------------------------

DiscoveryNet::DiscoveryNet(const DiscoveryNetConfig& c)
    : config(c),
      conv1(this, "conv1", c.channels, c.first, 3, {.padding = 1}),
      norm1(this, "norm1", 4, c.first),
      conv2(this, "conv2", c.first, c.second, 3, {.padding = 1}),
      norm2(this, "norm2", 4, c.second),
      fc(this, "fc", c.second * pooled(c.side) * pooled(c.side), c.features),
      norm(this, "norm", c.features),
      projector(this, "projector"),
      head(this, "head", c.features, c.classes, {.scale = 1}) {
  for (auto [in, out] : {std::pair{c.features, c.hidden}, {c.hidden, c.hidden}, {c.hidden, c.projected}}) {
    if (projector.size() > 0) projector.push_back([](const Tensor& x) { return gelu(x); });
    projector.push_back(nn::Linear(in, out));
  }
  restart_projector(default_generator());
}

Tensor DiscoveryNet::stem(const Tensor& images) const { return max_pool2d(relu(norm1(conv1(images))), 2); }
Tensor DiscoveryNet::features(const Tensor& stems) const { return norm(fc(flatten(max_pool2d(relu(norm2(conv2(stems))), 2), 1))); }
Tensor DiscoveryNet::project(const Tensor& f) const { return projector(f); }

void DiscoveryNet::restart_projector(Generator& generator) {
  for (const auto& [name, module] : projector.named_modules()) {
    auto* linear = dynamic_cast<nn::Linear*>(module);
    if (!linear) continue;
    nn::init::kaiming_normal(linear->weight, std::numbers::sqrt2, nn::init::Fan::in, generator);
    nn::init::zeros(linear->bias);
  }
}

std::vector<Tensor> DiscoveryNet::upper_parameters() const {
  std::vector<Tensor> upper;
  for (const nn::NamedTensor& p : named_parameters())
    if (!p.name.starts_with("conv1.") && !p.name.starts_with("norm1.")) upper.push_back(p.tensor);
  return upper;
}

Tensor stems_of(const DiscoveryNet& net, const Tensor& images) {
  int leading = images.rank() - 3;
  Tensor rows = in_parts(flatten(images, 0, leading - 1), [&](const Tensor& part) { return net.stem(part); });
  return leading == 1 ? rows : unflatten(rows, 0, images.shape().slice(0, leading));
}

// -- learning
// ------------------------------------------------------------------------------------------------------------------------------

double teacher_temperature(int64_t epoch, double from, double to, int64_t epochs) {
  if (epoch >= epochs) return to;
  return epochs == 1 ? from : from + (to - from) * static_cast<double>(epoch) / static_cast<double>(epochs - 1);
}

void HappyLearner::learn_known(const StageInputs& inputs, const Tensor& labels, const KnownOptions& options,
                               const DiscoveryTraining& training, Generator& generator) {
  check(inputs, training);
  if (labels.shape() != Shape{inputs.plain.size(0)})
    throw ShapeError(fmt::format("happy: {} labels for {} examples", to_string(labels.shape()), inputs.plain.size(0)));
  Tensor views = flatten(inputs.views, 0, 1);
  train(net_.parameters(), inputs, training, generator, [&](const Tensor& at, const Tensor& places, int64_t epoch) {
    Tensor f = net_.features(net_.stem(index_select(views, 0, at)));
    double teacher = teacher_temperature(epoch, training.teacher, training.teacher_end, training.teacher_epochs);
    return known_loss(net_.head(f), net_.project(f), index_select(labels, 0, places), teacher, options);
  });
  bank_.fit_labelled(features(stems_of(net_, inputs.plain)), labels, net_.head.weight.size(0));
}

void HappyLearner::discover(const StageInputs& inputs, int64_t k_new, const HappyOptions& options, const DiscoveryTraining& training,
                            Generator& generator) {
  check(inputs, training);
  if (bank_.size() == 0) throw ValueError("happy: no classes are known yet; learn_known comes first");
  if (k_new < 1) throw ValueError(fmt::format("happy: a stage with {} new classes", k_new));
  int64_t k_old = net_.head.weight.size(0);
  if (inputs.plain.size(0) < k_old + k_new)
    throw ValueError(fmt::format("happy: {} examples for {} classes", inputs.plain.size(0), k_old + k_new));
  Tensor rows = options.cluster_init ? clustered_rows(net_.head, features(inputs.plain), k_new, generator)
                                     : random_rows(k_new, net_.head.weight.size(1), generator);
  grow_head(net_.head, rows);
  net_.restart_projector(generator);
  Tensor views = flatten(inputs.views, 0, 1), previous;
  if (options.distillation != 0) previous = features(views);  // the network as it still is: frozen, and so known for all views
  train(net_.upper_parameters(), inputs, training, generator, [&](const Tensor& at, const Tensor&, int64_t) {
    Tensor f = net_.features(index_select(views, 0, at));
    StageOutputs out{.logits = net_.head(f), .projected = net_.project(f), .features = f};
    if (previous.defined()) out.previous = index_select(previous, 0, at);
    if (options.prototypes != 0) {
      DrawnFeatures drawn = bank_.sample(at.numel(), options.hardness, generator);
      out.prototype_logits = net_.head(drawn.features);
      out.prototype_labels = drawn.labels;
    }
    return happy_terms(out, k_old, options).total(options);
  });
  Tensor f = features(inputs.plain);
  bank_.extend_pseudo(f, argmax(logits(inputs.plain), 1), net_.head.weight);
}

Tensor HappyLearner::features(const Tensor& stems) const {
  return in_parts(stems, [&](const Tensor& part) { return net_.features(part); });
}

Tensor HappyLearner::logits(const Tensor& stems) const {
  return in_parts(stems, [&](const Tensor& part) { return net_.head(net_.features(part)); });
}

}  // namespace plumb::methods::happy
