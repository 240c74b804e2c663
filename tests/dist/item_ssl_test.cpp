// Two towers trained by processes that share the item table and the batch are those that one process trains.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "methods/representation/item_ssl/two_tower.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::item_ssl;

namespace {

struct Outcome {
  std::vector<double> losses, items, users;
};

Outcome train(const data::RecommendationSet& set, Regulariser regulariser, dist::Communicator* processes) {
  TwoTower model(set, {.width = 4, .hidden = {8}, .outputs = 4, .regulariser = regulariser, .ssl_batch = 13, .log_q = true, .dtype = f64,
                       .seed = 5, .processes = processes});
  Generator clicks(1), views(2);
  Outcome out;
  for (int step = 0; step < 4; ++step) {
    std::vector<int64_t> users, items;
    for (int i = 0; i < 17; ++i) {
      users.push_back(static_cast<int64_t>(clicks.next_below(static_cast<uint64_t>(set.users()))));
      const auto& taken = set.train[static_cast<size_t>(users.back())];
      items.push_back(taken[clicks.next_below(taken.size())]);
    }
    out.losses.push_back(model.step(users, items, views));
  }
  out.items = to_vector(model.all_item_vectors());
  out.users = to_vector(model.user_vectors({0, 3, 1}));
  return out;
}

}  // namespace

TEST_CASE("item_ssl: processes that share table and batch train what one trains") {
  auto set = data::power_law_catalogue({.items = 60, .users = 12, .types = 5, .taken = 10, .tags = 12}, 4);
  for (Regulariser r : {Regulariser::none, Regulariser::feature_dropout, Regulariser::spread_out, Regulariser::contrastive}) {
    Outcome shared = train(set, r, &dist::mpi_world()), alone = train(set, r, nullptr);
    auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
      REQUIRE(a.size() == b.size());
      for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-9));
    };
    same(shared.losses, alone.losses);
    same(shared.items, alone.items);
    same(shared.users, alone.users);
  }
}
