// Federated learning, simulated in one process or spread over several: clients with their own data, rounds of local training, a server
// that averages.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/dist/communicator.h"
#include "models/nn/module.h"

namespace plumb::methods {

/// Places of the examples of each client: every client gets an equal share, ± 1, of a random order. Throws ValueError unless
/// 1 ≤ clients ≤ examples.
std::vector<std::vector<int64_t>> uniform_partition(int64_t examples, int64_t clients, Generator& generator);

/// The same with skewed classes (Hsu, Qi & Brown 2019): each client draws a Dirichlet(alpha, …, alpha) vector over the classes; the
/// examples of a class, in random order, are cut between the clients in proportion to their entries for it, at ⌊count · cumulative share⌋.
/// A small alpha gives clients of few classes and different sizes, a large one the same mixture to all. label [n] holds integers ≥ 0.
/// Partitions that leave a client fewer than `least` examples are drawn again. Throws ValueError for clients < 1, alpha not positive and
/// finite, a negative label, more than n examples wanted, or if 1000 draws did not do.
std::vector<std::vector<int64_t>> dirichlet_partition(const Tensor& label, int64_t clients, double alpha, Generator& generator,
                                                      int64_t least = 1);

/// Σ_k w_k s_k / Σ_k w_k over states of the same names and shapes, in f64 in the order given; of tensors that are not floating (counters)
/// the one of the largest weight. New tensors. Throws ValueError for no states, another number of weights, negative ones or none above 0,
/// and names that differ; ShapeError for shapes that do.
StateDict average_states(const std::vector<StateDict>& states, const std::vector<double>& weights);

/// ½ μ Σ ‖p − reference‖², a scalar: what FedProx adds to a client's loss (Li et al., MLSys 2020, eq. 2). Throws ValueError for μ < 0,
/// ShapeError unless the lists match.
Tensor proximal_penalty(const std::vector<Tensor>& parameters, const std::vector<Tensor>& reference, double mu);

/// What a client sends back.
struct ClientUpdate {
  StateDict state;    ///< its model after training, its own tensors
  double weight = 1;  ///< in the average: its number of examples, in FedAvg
  double loss = 0;    ///< mean of its training losses, for the record
};

struct LocalOptions {
  int64_t steps = 10;
  double lr = 0.05;
  double momentum = 0;
  double mu = 0;  ///< weight of the proximal penalty: 0 is FedAvg, more FedProx
};

/// A client's part of a round: `model`, lent to it, takes the global state and makes `steps` steps of SGD on loss(model, step) + the
/// proximal penalty to the global parameters, in training mode. `examples` is the update's weight. Throws ConfigError for steps < 1,
/// ValueError for another option out of range.
template <typename Model, typename Loss>
ClientUpdate train_client(Model& model, const StateDict& global, double examples, Loss&& loss, const LocalOptions& options);

struct FederatedOptions {
  int64_t clients = 10;
  int64_t per_round = 10;  ///< clients drawn for a round, without repetition
  uint64_t seed = 0;       ///< of the draws: round r of a seed has the same clients every time
  /// Processes that share a round's clients out in turn and tell each other the updates; none: all here. The results have the same bits.
  dist::Communicator* processes = nullptr;
};

/// FedAvg (McMahan et al., AISTATS 2017). A round draws clients, lets each make an update from the global state, and makes the weighted
/// average the new one:
///   FederatedRounds rounds(model.state(), {.clients = 10, .per_round = 5});
///   for (int r = 0; r < 50; ++r) rounds.run([&](int64_t client, const StateDict& global) { return train_client(worker, global, …); });
///   model.load_state(rounds.global());
class FederatedRounds {
 public:
  using Client = std::function<ClientUpdate(int64_t client, const StateDict& global)>;
  /// The new global state from the old and the updates, in the order of the clients.
  using Server = std::function<StateDict(const StateDict& global, const std::vector<ClientUpdate>& updates)>;

  /// Starts from a copy of `global`. Throws ConfigError unless 1 ≤ per_round ≤ clients.
  FederatedRounds(const StateDict& global, FederatedOptions options);

  /// One round with the average of McMahan et al., or with a server of the caller's. Clients run one after another, in ascending order,
  /// and draw from the default generator, which each finds at a place that the seed, the round and the client determine. Returns the mean
  /// loss of the clients, weighted as the average. With several processes every one calls this, trains its share and averages all; throws
  /// ValueError if another process sends updates of another model.
  double run(const Client& client);
  double run(const Client& client, const Server& server);

  /// The clients of round `round`, ascending.
  std::vector<int64_t> clients_of(int64_t round) const;
  const StateDict& global() const { return global_; }
  int64_t rounds() const { return round_; }

 private:
  FederatedOptions options_;
  StateDict global_;
  int64_t round_ = 0;
};

namespace detail {
/// SGD on loss(step) + proximal penalty; returns the mean loss (without the penalty).
double train_locally(nn::Module& model, const std::function<Tensor(int64_t step)>& loss, const LocalOptions& options);
}  // namespace detail

template <typename Model, typename Loss>
ClientUpdate train_client(Model& model, const StateDict& global, double examples, Loss&& loss, const LocalOptions& options) {
  model.load_state(global);
  double mean_loss = detail::train_locally(model, [&](int64_t step) { return Tensor(loss(model, step)); }, options);
  return {clone(model.state()), examples, mean_loss};
}

}  // namespace plumb::methods
