// FedLabel's clients and server: a client's part of a round, the average that follows it, and rounds simulated in one process or shared
// out among several.
#pragma once
#include <functional>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "methods/common/federated.h"
#include "methods/semi_supervised/fedlabel/fedlabel.h"
#include "models/optim/parameters.h"
#include "models/optim/sgd.h"
#include "ops/loss.h"
#include "ops/softmax.h"

namespace plumb::methods::fedlabel {

struct FedLabelOptions {
  int64_t supervised_steps = 10;    ///< E_s
  int64_t unsupervised_steps = 5;   ///< E_u
  int64_t burn_in = 60;             ///< rounds in which v stays w; as many as there are rounds or more: the damped baseline
  double lr = 0.05, momentum = 0;
  double tau = 0.6;                 ///< τ suits the number of classes: 0.3 for a hundred
  double temperature = 1;           ///< T of the probabilities, both teachers' and, in L_cons, the student's
  double lambda_u = 1, lambda_c = 0.05, lambda_p = 1;
  Certainty certainty = Certainty::variance;
  Choice choice = Choice::certain;
  bool count_weights = true;        ///< v_k weighs n_k in the average; false: all the same
  /// As the paper's code does, the gradient of v is never cleared within a round: step j moves by the sum of j gradients.
  bool accumulate_gradients = false;

  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// What a client's pseudo-labels came to in one round.
struct LabelCounts {
  double seen = 0, accepted = 0, from_global = 0;
  double right = 0;  ///< of the accepted, where the truth is known; for measuring only
};

/// What a client sends: θ, v, and n = max(accepted, 1).
struct FedLabelUpdate {
  StateDict supervised, unsupervised;
  LabelCounts counts;
  double loss = 0;  ///< mean of the supervised steps
  double weight() const { return counts.accepted > 1 ? counts.accepted : 1; }
};

/// ½ mean_k θ_k + ½ Σ_k n_k v_k / Σ_k n_k over all state, buffers too (all n_k = 1 unless count_weights). Throws ValueError for no updates
/// or states whose names differ, ShapeError for shapes that do.
StateDict fedlabel_average(const std::vector<FedLabelUpdate>& updates, bool count_weights = true);

struct LabelledRows {
  Tensor images, labels;  ///< [B, ..], i64 [B]
};
struct UnlabelledRows {
  Tensor weak, strong;  ///< two views of the same images, [N, ..]
  Tensor truth;         ///< i64 [N] or undefined; for counting only
};
/// A client's data: each call draws a batch, from the default generator, which a round has at this client's place.
struct ClientData {
  std::function<LabelledRows()> labelled;
  std::function<UnlabelledRows()> unlabelled;
};

namespace detail {
/// λ_u L_pl + λ_c L_cons + λ_p L_prox of the chosen rows. strong and weak logits [N, C] of the student; local probabilities [N, C].
Tensor student_loss(const PseudoLabelChoice& chosen, const Tensor& strong, const Tensor& weak, const Tensor& local_probs,
                    const std::vector<Tensor>& parameters, const std::vector<Tensor>& received, const FedLabelOptions& options);
void count(LabelCounts& counts, const PseudoLabelChoice& chosen, const UnlabelledRows& rows);
}  // namespace detail

/// A client's part of a round from the global state w. `worker` is lent to it: Model maps images [B, ..] to logits [B, C]. Pseudo-labels
/// begin at `round` = burn_in; before it, and for a client without unlabelled data, v is w. Both teachers label in evaluation mode and
/// without a graph; v trains in training mode.
template <typename Model>
FedLabelUpdate fedlabel_client(Model& worker, const StateDict& global, const ClientData& data, int64_t round,
                               const FedLabelOptions& options) {
  ClientUpdate supervised = train_client(
      worker, global, 1,
      [&](Model& model, int64_t) {
        LabelledRows rows = data.labelled();
        return cross_entropy(model(rows.images), rows.labels);
      },
      {.steps = options.supervised_steps, .lr = options.lr, .momentum = options.momentum});
  FedLabelUpdate update{supervised.state, {}, {}, supervised.loss};
  Model local = worker, received = worker;
  received.load_state(global);
  Model student = received;
  local.eval(), received.eval(), student.train();
  if (round >= options.burn_in && data.unlabelled) {
    std::vector<Tensor> parameters = student.parameters(), start = received.parameters();
    optim::SGD sgd(parameters, {.lr = options.lr, .momentum = options.momentum});
    for (int64_t step = 0; step < options.unsupervised_steps; ++step) {
      UnlabelledRows rows = data.unlabelled();
      auto teach = [&](const Model& model) {
        NoGrad no_grad;
        return softmax(model(rows.weak), 1, options.temperature);
      };
      Tensor local_probs = teach(local);
      PseudoLabelChoice chosen =
          select_pseudo_labels(teach(received), local_probs, options.tau, options.certainty, options.choice);
      detail::count(update.counts, chosen, rows);
      if (chosen.index.numel() == 0) continue;
      if (!options.accumulate_gradients) sgd.zero_grad();
      Tensor strong = student(rows.strong), weak = student(rows.weak);  // in this order: dropout draws in both
      detail::student_loss(chosen, strong, weak, local_probs, parameters, start, options).backward();
      sgd.step();
    }
    sgd.zero_grad();
  }
  update.unsupervised = clone(student.state());
  return update;
}

/// What is known after a round; the counts are sums over its clients.
struct RoundSummary {
  double loss = 0;           ///< mean of the clients'
  LabelCounts counts;
  double largest_share = 0;  ///< of one client in Σ n_k: an over-confident one would lead
};

/// Rounds of FedLabel. With FederatedOptions::processes they are shared out among processes and have the same bits:
///   FedLabelRounds rounds(model.state(), {.clients = 10, .per_round = 5}, options);
///   for (int r = 0; r < 300; ++r)
///     rounds.run([&](int64_t k, const StateDict& w) { return fedlabel_client(worker, w, data[k], rounds.rounds(), options); });
///   model.load_state(rounds.global());
class FedLabelRounds {
 public:
  using Client = std::function<FedLabelUpdate(int64_t client, const StateDict& global)>;
  /// Throws ConfigError as FederatedRounds and FedLabelOptions::check do.
  FedLabelRounds(const StateDict& initial, FederatedOptions clients, FedLabelOptions options);
  RoundSummary run(const Client& client);
  /// w.
  StateDict global() const;
  int64_t rounds() const { return rounds_.rounds(); }

 private:
  FedLabelOptions options_;
  FederatedRounds rounds_;  // of states that hold θ, v and the counts beside each other: what travels between processes
};

}  // namespace plumb::methods::fedlabel
