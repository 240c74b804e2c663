// Federated rounds spread over processes give the bits of those simulated in one.
#include "methods/common/federated.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "models/nn/linear.h"
#include "ops/loss.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// Three rounds of logistic regression on each client's own random points; the last loss and all weights.
std::vector<double> weights_after(dist::Communicator* processes, double mu) {
  manual_seed(3);
  nn::Linear global(4, 3), worker(4, 3);
  FederatedRounds rounds(global.state(), {.clients = 7, .per_round = 5, .seed = 11, .processes = processes});
  double loss = 0;
  for (int round = 0; round < 3; ++round)
    loss = rounds.run([&](int64_t client, const StateDict& state) {
      Tensor x = randn({8 + client, 4});  // from the generator of this client in this round
      Tensor y = randint(0, 3, {8 + client});
      return train_client(worker, state, static_cast<double>(8 + client),
                          [&](const nn::Linear& model, int64_t) { return cross_entropy(model(x), y); }, {.steps = 3, .lr = 0.1, .mu = mu});
    });
  std::vector<double> all{loss};
  for (const auto& [name, tensor] : rounds.global())
    for (double v : to_vector(tensor)) all.push_back(v);
  return all;
}

}  // namespace

TEST_CASE("federated rounds: processes that share the clients out get the bits of one that trains all") {
  for (double mu : {0.0, 0.5}) CHECK(weights_after(&dist::mpi_world(), mu) == weights_after(nullptr, mu));
}

TEST_CASE("federated rounds: processes with different models say so") {
  dist::Communicator& world = dist::mpi_world();
  if (world.size() == 1) return;
  nn::Linear model(2, 2 + world.rank() % 2);
  FederatedRounds rounds(model.state(), {.clients = 3, .per_round = 3, .processes = &world});
  CHECK_THROWS_WITH_AS(rounds.run([&](int64_t, const StateDict& global) { return ClientUpdate{global, 1, 0}; }),
                       "federated rounds: another process sent updates of another model", ValueError);
}
