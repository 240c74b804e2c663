// SimMatchV2's graph and memories.
#include "methods/semi_supervised/simmatchv2/graph.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/pseudo_labels.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::methods::simmatchv2 {
namespace {

constexpr double kLeastLog = -1e4;  // of a class that no node of a bank has: log 0 times a target of 0 would be no number

void check_unit(const char* name, const Tensor& rows) {
  NoGrad no_grad;
  auto lengths = to_vector<double>(norm(to(rows.detach(), f64), 2, {-1}));
  for (size_t j = 0; j < lengths.size(); ++j)
    if (!(std::abs(lengths[j] - 1) <= 1e-3))
      throw ValueError(fmt::format("{}: embedding {} has length {:.6g}, not 1", name, j, lengths[j]));
}

void check_temperature(const char* name, double temperature) {
  if (!(temperature > 0)) throw ValueError(fmt::format("{}: the temperature must be positive, it is {}", name, temperature));
}

void check_one_hot(const char* name, const Tensor& labels) {
  auto values = to_vector<double>(labels);
  auto classes = static_cast<size_t>(labels.size(-1));
  for (size_t row = 0; row * classes < values.size(); ++row) {
    double total = 0;
    bool bits = true;
    for (size_t c = 0; c < classes; ++c) {
      double v = values[row * classes + c];
      bits = bits && (v == 0 || v == 1);
      total += v;
    }
    if (!bits || total != 1) throw ValueError(fmt::format("{}: label row {} is not one-hot", name, row));
  }
}

// I − αA: [N, m, m] in f64.
Tensor walk_matrix(const Tensor& features, double temperature, double alpha) {
  if (features.rank() != 3 || features.size(1) < 2)
    throw ShapeError(fmt::format("propagation: features must be [N, m, d] with m of at least 2, they are {}", to_string(features.shape())));
  check_temperature("propagation", temperature);
  if (!(alpha >= 0 && alpha < 1)) throw ValueError(fmt::format("propagation: alpha must lie in [0, 1), it is {}", alpha));
  check_unit("propagation", features);
  Tensor k = to(features.detach(), f64);
  Tensor identity = eye(features.size(1), -1, f64);
  // Without its own edge a node would listen to itself alone: that edge is always the strongest.
  Tensor walk = softmax(bmm(k, contiguous(mT(k))) * (1 / temperature) - 1e9 * identity, 2);
  return identity - alpha * walk;
}

Tensor log_edges(const Tensor& z, const Tensor& bank, double temperature) {
  if (z.rank() != 2 || bank.rank() != 2 || z.size(1) != bank.size(1))
    throw ShapeError(fmt::format("edge_distribution: embeddings {} with the bank {}", to_string(z.shape()), to_string(bank.shape())));
  check_temperature("edge_distribution", temperature);
  check_unit("edge_distribution", z);
  return log_softmax(linear(z, bank.detach()), 1, temperature);
}

}  // namespace

Tensor propagation_matrix(const Tensor& features, double temperature, double alpha) {
  NoGrad no_grad;
  return (1 - alpha) * inv(walk_matrix(features, temperature, alpha));
}

Tensor propagation_weights(const Tensor& features, double temperature, double alpha) {
  NoGrad no_grad;
  Tensor walk = walk_matrix(features, temperature, alpha);
  Tensor first = narrow(eye(features.size(1), -1, f64), 1, 0, 1);  // M's first row w: (I − αA)ᵀ w = (1 − α) e₀
  return squeeze(solve(contiguous(mT(walk)), expand((1 - alpha) * first, {features.size(0), features.size(1), 1})), 2);
}

Tensor propagate_labels(const Tensor& query_feat, const Tensor& query_prob, const Tensor& nbr_feat, const Tensor& nbr_label,
                        double temperature, double alpha) {
  if (query_feat.rank() != 2 || query_prob.rank() != 2 || nbr_feat.rank() != 3 || nbr_label.rank() != 3 ||
      query_prob.size(0) != query_feat.size(0) || nbr_feat.shape() != Shape{query_feat.size(0), nbr_feat.size(1), query_feat.size(1)} ||
      nbr_label.shape() != Shape{query_feat.size(0), nbr_feat.size(1), query_prob.size(1)})
    throw ShapeError(fmt::format("propagate_labels: queries {} and {}, neighbours {} and {}", to_string(query_feat.shape()),
                                 to_string(query_prob.shape()), to_string(nbr_feat.shape()), to_string(nbr_label.shape())));
  NoGrad no_grad;
  check_probabilities("propagate_labels", query_prob);
  check_one_hot("propagate_labels", nbr_label);
  Tensor features = cat({unsqueeze(query_feat.detach(), 1), nbr_feat.detach()}, 1);
  Tensor weights = propagation_weights(features, temperature, alpha);
  Tensor labels = cat({unsqueeze(to(query_prob.detach(), f64), 1), to(nbr_label, f64)}, 1);
  return to(sum(unsqueeze(weights, 2) * labels, {1}), query_prob.dtype());
}

Tensor nearest_rows(const Tensor& z, const Tensor& bank, int64_t n) {
  if (n < 1 || n > bank.size(0)) throw ValueError(fmt::format("nearest_rows: {} neighbours among {} labelled examples", n, bank.size(0)));
  NoGrad no_grad;
  return topk(matmul(z.detach(), mT(bank)), n, 1).indices;
}

Tensor edge_distribution(const Tensor& z, const Tensor& bank, double temperature) { return exp(log_edges(z, bank, temperature)); }

Tensor edge_edge_loss(const Tensor& z, const Tensor& bank, const Tensor& target_edges, double temperature) {
  Tensor edges = log_edges(z, bank, temperature);
  if (target_edges.shape() != edges.shape())
    throw ShapeError(fmt::format("edge_edge_loss: edges {} with targets {}", to_string(edges.shape()), to_string(target_edges.shape())));
  return mean(-sum(target_edges.detach() * edges, {1}));
}

Tensor node_edge_loss(const Tensor& z, const Tensor& bank, const Tensor& bank_labels, const Tensor& target_probs, double temperature) {
  Tensor edges = log_edges(z, bank, temperature);
  if (bank_labels.rank() != 2 || target_probs.rank() != 2 || bank_labels.size(0) != bank.size(0) ||
      target_probs.shape() != Shape{z.size(0), bank_labels.size(1)})
    throw ShapeError(fmt::format("node_edge_loss: the bank {} with labels {}, embeddings {} with targets {}", to_string(bank.shape()),
                                 to_string(bank_labels.shape()), to_string(z.shape()), to_string(target_probs.shape())));
  check_probabilities("node_edge_loss: the bank", bank_labels);
  check_probabilities("node_edge_loss", target_probs);
  Tensor logs = logsumexp(unsqueeze(edges, 2) + unsqueeze(log(bank_labels.detach()), 0), {1});
  logs = clamp_min(logs, kLeastLog);
  return mean(-sum(target_probs.detach() * logs, {1}));
}

IndexedBank::IndexedBank(int64_t samples, int64_t width, Generator& generator) : rows_(samples, width) {
  rows_.put(arange(samples), normalize(randn({samples, width}, {.generator = &generator})));
}

NodeQueue::NodeQueue(int64_t capacity, int64_t width, int64_t classes, Generator& generator)
    : nodes_(capacity, width + classes), width_(width), classes_(classes) {
  if (width < 1 || classes < 2) throw ValueError(fmt::format("node_queue: width {}, {} classes", width, classes));
  nodes_.push(cat(
      {normalize(randn({capacity, width}, {.generator = &generator})), full({capacity, classes}, 1.0 / static_cast<double>(classes))}, 1));
}

void NodeQueue::push(const Tensor& rows, const Tensor& probabilities) {
  if (rows.rank() != 2 || rows.size(1) != width_ || probabilities.shape() != Shape{rows.size(0), classes_})
    throw ShapeError(fmt::format("node_queue: embeddings {} with probabilities {} where [n, {}] and [n, {}] are kept",
                                 to_string(rows.shape()), to_string(probabilities.shape()), width_, classes_));
  if (rows.size(0) < 1 || capacity() % rows.size(0) != 0)
    throw ValueError(fmt::format("node_queue: a batch of {} does not divide the capacity {}", rows.size(0), capacity()));
  NoGrad no_grad;
  nodes_.push(cat({to(rows.detach(), f32), to(probabilities.detach(), f32)}, 1));
}

Tensor NodeQueue::embeddings() const { return contiguous(narrow(nodes_.read(), 1, 0, width_)); }
Tensor NodeQueue::probabilities() const { return contiguous(narrow(nodes_.read(), 1, width_, classes_)); }

}  // namespace plumb::methods::simmatchv2
