// Recommendations from a catalogue of 100,000 items, most of which nobody ever clicked: two towers, two views of an item (CFM), and a table
// of item numbers that `mpirun -np N` shares out among N processes. In f64, so that what is printed is what one process prints.
//   recommend [items] [epochs] [directory of MovieLens' files]
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "engine/dist/mpi.h"
#include "methods/representation/item_ssl/evaluation.h"
#include "methods/representation/item_ssl/two_tower.h"

using namespace plumb;
using namespace plumb::methods;

/// One pass over the training clicks in a new order; the mean loss.
double epoch(item_ssl::TwoTower& model, const data::RecommendationSet& set, Generator& order_of, Generator& views) {
  std::vector<std::pair<int64_t, int64_t>> clicks;
  for (int64_t user = 0; user < set.users(); ++user)
    for (int64_t item : set.train[static_cast<size_t>(user)]) clicks.emplace_back(user, item);
  auto order = data::random_order(static_cast<int64_t>(clicks.size()), order_of);
  constexpr size_t kBatch = 256;
  double loss = 0;
  size_t steps = 0;
  for (size_t at = 0; at + kBatch <= order.size(); at += kBatch, ++steps) {
    std::vector<int64_t> users, items;
    for (size_t i = at; i < at + kBatch; ++i) {
      users.push_back(clicks[static_cast<size_t>(order[i])].first);
      items.push_back(clicks[static_cast<size_t>(order[i])].second);
    }
    loss += model.step(users, items, views);
  }
  return loss / static_cast<double>(steps);
}

void report(const item_ssl::TwoTower& model, const data::RecommendationSet& set, bool speaks) {
  std::vector<int64_t> users;
  std::vector<std::vector<int64_t>> truth, known;
  for (int64_t user = 0; user < set.users() && users.size() < 500; ++user) {
    auto u = static_cast<size_t>(user);
    if (set.test[u].empty()) continue;
    users.push_back(user);
    truth.push_back(set.test[u]);
    known.push_back(set.train[u]);
  }
  auto scores = item_ssl::evaluate_retrieval(model.user_vectors(users), model.all_item_vectors(), truth, known, {10, 50},
                                             item_ssl::popularity_slices(model.counts()));
  if (!speaks) return;
  for (const auto& s : scores)
    std::printf("%-4s  users %3lld  recall@50 %5.2f %%  MAP@10 %5.2f %%\n", s.slice.c_str(), static_cast<long long>(s.users),
                100 * s.recall[1], 100 * s.average_precision[0]);
}

void run(dist::Communicator& processes, int argc, char** argv) {
  const int64_t items = argc > 1 ? std::atoll(argv[1]) : 100'000, epochs = argc > 2 ? std::atoll(argv[2]) : 5;
  data::RecommendationSet set =
      argc > 3 ? data::movielens(argv[3])
               : data::power_law_catalogue({.items = items, .users = 2000, .types = 200, .other = 0.0014, .cardinality = 100, .tags = 300},
                                           /*seed=*/0);
  item_ssl::TwoTower model(set, {.regulariser = item_ssl::Regulariser::contrastive,
                                 .log_q = true,
                                 .adam = {.lr = 5e-3},
                                 .dtype = f64,
                                 .processes = &processes});
  Generator order_of(1), views(2);
  const bool speaks = processes.rank() == 0;
  for (int64_t e = 1; e <= epochs; ++e) {
    double loss = epoch(model, set, order_of, views);
    if (speaks) std::printf("epoch %lld  loss %.4f\n", static_cast<long long>(e), loss);
  }
  report(model, set, speaks);
}

int main(int argc, char** argv) {
  dist::Communicator& processes = dist::mpi_world();
  try {
    run(processes, argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "recommend: %s\n", e.what());
    dist::abandon(2);
  }
}
