// The student's loss, the server's average, and rounds.
#include "methods/semi_supervised/fedlabel/rounds.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "models/require.h"
#include "models/train/run_directory.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::fedlabel {
namespace {

const std::string kSupervised = "supervised.", kUnsupervised = "unsupervised.", kCounts = "counts";

// Both models and the counts as one state, whose layout every round and every process shares.
StateDict packed(const StateDict& supervised, const StateDict& unsupervised, const LabelCounts& c) {
  StateDict state = train::with_prefix(supervised, kSupervised);
  state.merge(train::with_prefix(unsupervised, kUnsupervised));
  state[kCounts] = from_vector(std::vector<double>{c.seen, c.accepted, c.from_global, c.right});
  return state;
}

FedLabelUpdate unpacked(const ClientUpdate& update) {
  auto c = to_vector(update.state.at(kCounts));
  return {train::without_prefix(update.state, kSupervised), train::without_prefix(update.state, kUnsupervised), {c[0], c[1], c[2], c[3]},
          update.loss};
}

}  // namespace

void FedLabelOptions::check() const {
  require_positive("fedlabel", {{"supervised_steps", supervised_steps}, {"unsupervised_steps", unsupervised_steps}});
  require(burn_in >= 0, fmt::format("fedlabel: burn_in must not be negative, it is {}", burn_in));
  require(lr > 0, fmt::format("fedlabel: lr must be positive, it is {}", lr));
  require_rate("fedlabel", "momentum", momentum);
  require(tau > 0 && tau <= 1, fmt::format("fedlabel: tau must lie in (0, 1], it is {}", tau));
  require(temperature > 0, fmt::format("fedlabel: temperature must be positive, it is {}", temperature));
  for (auto [name, value] : {std::pair{"lambda_u", lambda_u}, {"lambda_c", lambda_c}, {"lambda_p", lambda_p}})
    require(value >= 0, fmt::format("fedlabel: {} must not be negative, it is {}", name, value));
}

Tensor detail::student_loss(const PseudoLabelChoice& chosen, const Tensor& strong, const Tensor& weak, const Tensor& local_probs,
                            const std::vector<Tensor>& parameters, const std::vector<Tensor>& received, const FedLabelOptions& o) {
  Tensor loss = o.lambda_u * cross_entropy(index_select(strong, 0, chosen.index), chosen.label);
  if (o.lambda_c > 0)
    loss = loss + o.lambda_c * agreement_consistency(index_select(weak, 0, chosen.index) / o.temperature,
                                                     index_select(local_probs, 0, chosen.index), chosen.ratio, chosen.agree);
  if (o.lambda_p > 0) loss = loss + o.lambda_p * mean_proximal_penalty(parameters, received);
  return loss;
}

void detail::count(LabelCounts& counts, const PseudoLabelChoice& chosen, const UnlabelledRows& rows) {
  NoGrad no_grad;
  counts.seen += static_cast<double>(rows.weak.size(0));
  counts.accepted += static_cast<double>(chosen.index.numel());
  counts.from_global += sum(to(chosen.from_global, f64)).item();
  if (rows.truth.defined()) counts.right += sum(to(index_select(rows.truth, 0, chosen.index) == chosen.label, f64)).item();
}

StateDict fedlabel_average(const std::vector<FedLabelUpdate>& updates, bool count_weights) {
  if (updates.empty()) throw ValueError("fedlabel: no client sent an update");
  std::vector<StateDict> supervised, unsupervised;
  std::vector<double> weights;
  for (const FedLabelUpdate& u : updates) {
    supervised.push_back(u.supervised);
    unsupervised.push_back(u.unsupervised);
    weights.push_back(count_weights ? u.weight() : 1);
  }
  std::vector<double> equal_weights(updates.size(), 1);
  return average_states({average_states(supervised, equal_weights), average_states(unsupervised, weights)}, {1, 1});
}

FedLabelRounds::FedLabelRounds(const StateDict& initial, FederatedOptions clients, FedLabelOptions options)
    : options_(options), rounds_(packed(initial, initial, {}), clients) {
  options_.check();
}

StateDict FedLabelRounds::global() const { return train::without_prefix(rounds_.global(), kSupervised); }

RoundSummary FedLabelRounds::run(const Client& client) {
  RoundSummary summary;
  auto local = [&](int64_t k, const StateDict& state) -> ClientUpdate {
    FedLabelUpdate u = client(k, train::without_prefix(state, kSupervised));
    return {packed(u.supervised, u.unsupervised, u.counts), 1, u.loss};
  };
  auto server = [&](const StateDict&, const std::vector<ClientUpdate>& received) {
    std::vector<FedLabelUpdate> updates;
    double total = 0;
    for (const ClientUpdate& r : received) {
      updates.push_back(unpacked(r));
      const LabelCounts& c = updates.back().counts;
      summary.counts.seen += c.seen;
      summary.counts.accepted += c.accepted;
      summary.counts.from_global += c.from_global;
      summary.counts.right += c.right;
      total += updates.back().weight();
      summary.largest_share = std::max(summary.largest_share, updates.back().weight());
    }
    summary.largest_share /= total;
    StateDict w = fedlabel_average(updates, options_.count_weights);
    return packed(w, w, {});
  };
  summary.loss = rounds_.run(local, server);
  return summary;
}

}  // namespace plumb::methods::fedlabel
