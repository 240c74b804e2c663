// Ten clients with few labels and skewed classes learn one classifier of digits by FedLabel. `mpirun -np N` shares the clients of a round
// out among N processes; the numbers are those of one.
#include <cstdio>

#include "engine/data/digits/digits.h"
#include "engine/dist/mpi.h"
#include "methods/common/semi_supervised.h"
#include "methods/semi_supervised/fedlabel/rounds.h"
#include "models/mlp/mlp.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

/// Of one client; images [n, 64].
struct Client {
  Tensor labelled, labels, weak, strong;
};

int main() {
  Generator generator(/*seed=*/0);
  auto digits = data::digits();
  data::Batch train = digits.train().batch(2000).next(), test = digits.test().batch(2000).next();
  auto rows = [](const Tensor& x, const std::vector<int64_t>& places) { return index_select(x, 0, from_vector(places)); };
  augment::View strong = augment::rand_augment_view(augment::small_digits_policy(), augment::shift_view());
  std::vector<Client> clients;
  for (const auto& places : dirichlet_partition(train.label, 10, /*alpha=*/0.3, generator, /*least=*/40)) {
    fedlabel::ClientSplit split = fedlabel::split_client(places, /*share=*/0.2, /*least=*/5, generator);
    Tensor few = rows(train.image, split.labelled), many = rows(train.image, split.unlabelled);
    clients.push_back({flatten(few, 1), rows(train.label, split.labelled), flatten(augment::shift_view()(many, generator), 1),
                       flatten(strong(many, generator), 1)});
  }

  manual_seed(1);
  mlp::Mlp model({.inputs = 64, .hidden = {64}, .outputs = 10}), worker = model;
  dist::Communicator& processes = dist::mpi_world();
  fedlabel::FedLabelOptions options{.burn_in = 20};
  fedlabel::FedLabelRounds rounds(model.state(), {.clients = 10, .per_round = 5, .seed = 2, .processes = &processes}, options);
  for (int round = 1; round <= 100; ++round) {
    fedlabel::RoundSummary summary = rounds.run([&](int64_t k, const StateDict& global) {
      const Client& c = clients[static_cast<size_t>(k)];
      fedlabel::ClientData data;
      data.labelled = [&c] {
        Tensor at = randint(0, c.labels.numel(), {16});
        return fedlabel::LabelledRows{index_select(c.labelled, 0, at), index_select(c.labels, 0, at)};
      };
      data.unlabelled = [&c] {
        Tensor at = randint(0, c.weak.size(0), {32});
        return fedlabel::UnlabelledRows{index_select(c.weak, 0, at), index_select(c.strong, 0, at), {}};
      };
      return fedlabel::fedlabel_client(worker, global, data, rounds.rounds(), options);
    });
    if (round % 20 != 0 || processes.rank() != 0) continue;
    model.load_state(rounds.global());
    NoGrad off;
    std::printf("round %3d  loss %.4f  labels accepted %3.0f  test accuracy %.1f %%\n", round, summary.loss, summary.counts.accepted,
                accuracy_percent(model(flatten(test.image, 1)), test.label));
  }
}
