// SimMatchV2: the losses of a step, the memories, the heads.
#include "methods/semi_supervised/simmatchv2/simmatchv2.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::simmatchv2 {

double teacher_momentum(const TeacherOptions& o, int64_t step) {
  if (!(o.momentum >= 0 && o.momentum < 1))
    throw ValueError(fmt::format("simmatchv2: the teacher's momentum must lie in [0, 1), it is {}", o.momentum));
  if (o.schedule_steps < 1 || o.momentum > 0.996) return o.momentum;
  double at = std::min(1.0, static_cast<double>(step) / static_cast<double>(o.schedule_steps));
  return 1 - (1 - o.momentum) * (std::cos(std::numbers::pi * at) + 1) / 2;
}

void SimMatchV2Options::check() const {
  if (!(threshold >= 0 && threshold <= 1))
    throw ValueError(fmt::format("simmatchv2: the threshold must lie in [0, 1], it is {}", threshold));
  if (!(temperature > 0)) throw ValueError(fmt::format("simmatchv2: the temperature must be positive, it is {}", temperature));
  if (!(alpha >= 0 && alpha < 1)) throw ValueError(fmt::format("simmatchv2: alpha must lie in [0, 1), it is {}", alpha));
  for (auto [name, value] : {std::pair("node_node", node_node), {"edge_edge", edge_edge}, {"node_edge", node_edge}})
    if (!(value >= 0)) throw ValueError(fmt::format("simmatchv2: {} must not be negative, it is {}", name, value));
  if (neighbours < 1 || queue < 1) throw ValueError(fmt::format("simmatchv2: {} neighbours, a queue of {}", neighbours, queue));
  teacher_momentum(teacher, 0);
}

static void check_neighbours(const SimMatchV2Options& options, int64_t labelled) {
  if (options.neighbours > labelled)
    throw ValueError(fmt::format("simmatchv2: {} neighbours among {} labelled examples", options.neighbours, labelled));
}

const SimMatchV2Options& checked(const SimMatchV2Options& options, const SemiData& data) {
  options.check();
  check_neighbours(options, data.labels.numel());
  if (data.truth.numel() < 1) throw ValueError("simmatchv2: no unlabelled example");
  return options;
}

SemiStep semi_step(const SimMatchV2Terms& terms) {
  NoGrad no_grad;
  return {terms.total, terms.mask, argmax(terms.propagated, 1), mean(to(terms.mask, f64)).item()};
}

SimMatchV2Objective::SimMatchV2Objective(const SimMatchV2Options& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z)
    : SimMatchV2Objective(options, labels, classes, labelled_z, Generator(options.seed)) {}

SimMatchV2Objective::SimMatchV2Objective(const SimMatchV2Options& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z,
                                         Generator generator)
    : options_(options),
      one_hot_(to(one_hot(labels, classes), f32)),
      bank_(labels.numel(), labelled_z.size(-1), generator),
      queue_(options.queue, labelled_z.size(-1), classes, generator) {
  options.check();
  check_neighbours(options, labels.numel());
  if (options.align) aligner_.push_back(DistributionAligner::average_after(classes, options.align_decay));
  bank_.put(arange(labels.numel()), labelled_z);
}

SimMatchV2Objective::Memories SimMatchV2Objective::memories() const {
  return {queue_.embeddings(), queue_.probabilities(), aligner_.empty() ? Tensor() : aligner_[0].mean()};
}

void SimMatchV2Objective::restore(const Memories& m) {
  queue_.push(m.embeddings, m.probabilities);
  if (!aligner_.empty()) aligner_[0].set_mean(m.mean);
}

Tensor SimMatchV2Objective::propagate(const Tensor& z, const Tensor& p) const {
  if (options_.alpha == 0) return p;
  NoGrad no_grad;
  int64_t n = options_.neighbours;
  Tensor places = flatten(nearest_rows(z, bank_.table(), n));
  Tensor features = reshape(index_select(bank_.table(), 0, places), {z.size(0), n, z.size(1)});
  Tensor labels = reshape(index_select(one_hot_, 0, places), {z.size(0), n, p.size(1)});
  return propagate_labels(z, p, features, labels, options_.temperature, options_.alpha);
}

SimMatchV2Terms SimMatchV2Objective::operator()(const TwoViewOutputs& out, const Tensor& labels, const Tensor& labelled_index) {
  const SimMatchV2Options& o = options_;
  SimMatchV2Terms t;
  t.probabilities = weak_probabilities(out.teacher_logits, aligner_);
  t.propagated = propagate(out.teacher_z, t.probabilities);
  t.mask = confidence_mask(t.probabilities, o.threshold);
  t.supervised = cross_entropy(out.labelled, labels);
  t.node_node = t.edge_edge = t.node_edge = zeros({}, out.labelled.dtype());
  Tensor bank = queue_.embeddings(), bank_labels = queue_.probabilities();
  Tensor edges = o.edge_edge > 0 ? edge_distribution(out.teacher_z.detach(), bank, o.temperature) : Tensor();
  Tensor target = o.hard ? argmax(t.propagated, 1) : t.propagated;
  double share = 1 / static_cast<double>(std::max<size_t>(1, out.strong.size()));
  for (size_t s = 0; s < out.strong.size(); ++s) {
    if (o.node_node > 0) t.node_node = t.node_node + share * weighted_cross_entropy(out.strong[s], target, t.mask);
    if (o.edge_edge > 0) t.edge_edge = t.edge_edge + share * edge_edge_loss(out.strong_z[s], bank, edges, o.temperature);
    if (o.node_edge > 0)
      t.node_edge = t.node_edge + share * node_edge_loss(out.strong_z[s], bank, bank_labels, t.probabilities, o.temperature);
  }
  t.total = t.supervised + o.node_node * t.node_node + o.edge_edge * t.edge_edge + o.node_edge * t.node_edge;
  bank_.put(labelled_index, out.teacher_labelled_z.detach());
  queue_.push(out.teacher_z, t.probabilities);
  return t;
}

TwoHeads::TwoHeads(int64_t features, int64_t classes, int64_t width, bool normalise)
    : norm(this, "norm", features),
      classifier(this, "classifier", features, classes),
      fc1(this, "fc1", features, features),
      fc2(this, "fc2", features, width),
      normalise(normalise) {}

Tensor TwoHeads::embedding(const Tensor& u) const { return normalize(fc2(relu(fc1(u)))); }

}  // namespace plumb::methods::simmatchv2
