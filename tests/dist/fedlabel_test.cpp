// FedLabel's rounds spread over processes give the bits of those simulated in one, models and counts alike.
#include <doctest/doctest.h>

#include "engine/dist/mpi.h"
#include "methods/semi_supervised/fedlabel/rounds.h"
#include "models/nn/linear.h"
#include "ops/pointwise.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::fedlabel;

namespace {

// Four rounds, the last three with pseudo-labels, on each client's own random points; all weights, and what the rounds counted.
std::vector<double> after_rounds(dist::Communicator* processes, bool count_weights) {
  manual_seed(3);
  nn::Linear global(4, 3), worker(4, 3);
  FedLabelOptions options{
      .supervised_steps = 3, .unsupervised_steps = 3, .burn_in = 1, .lr = 0.1, .tau = 0.4, .count_weights = count_weights};
  FedLabelRounds rounds(global.state(), {.clients = 7, .per_round = 5, .seed = 11, .processes = processes}, options);
  std::vector<double> all;
  for (int round = 0; round < 4; ++round) {
    RoundSummary s = rounds.run([&](int64_t client, const StateDict& w) {
      ClientData data{[&] { return LabelledRows{randn({8, 4}), randint(0, 3, {8})}; },  // from this client's generator in this round
                      [&] {
                        Tensor x = randn({6 + client, 4});
                        return UnlabelledRows{x, x + randn(x.shape()), randint(0, 3, {6 + client})};
                      }};
      return fedlabel_client(worker, w, data, rounds.rounds(), options);
    });
    all.insert(all.end(), {s.loss, s.counts.seen, s.counts.accepted, s.counts.from_global, s.counts.right, s.largest_share});
  }
  CHECK(all.back() > 0);
  for (const auto& [name, tensor] : rounds.global())
    for (double v : to_vector(tensor)) all.push_back(v);
  return all;
}

}  // namespace

TEST_CASE("fedlabel rounds: processes that share the clients out get the bits of one that trains all") {
  for (bool count_weights : {true, false}) CHECK(after_rounds(&dist::mpi_world(), count_weights) == after_rounds(nullptr, count_weights));
}
