// Averages of effective weights: what an adapter adds is averaged, not its factors.
#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/linear.h"
#include "models/nn/low_rank.h"
#include "models/nn/norm.h"
#include "models/optim/merged_average.h"
#include "tests/ops/samples.h"

using namespace plumb;

namespace {

struct Net : nn::Module {
  nn::Linear first{this, "first", 3, 4, {.dtype = f64}};
  nn::Linear second{this, "second", 4, 2, {.dtype = f64}};
  Tensor operator()(const Tensor& x) const { return second(first(x)); }
};

Net adapted() {
  manual_seed(1);
  Net net;
  nn::add_adapter(net, "image", {.rank = 2, .alpha = 4}, {"first"});
  for (const auto& [name, p] : net.named_parameters())
    if (name.ends_with(".up")) {
      Tensor up = p.detach();
      copy_data(test::sample(up.shape(), 5), up);
    }
  return net;
}

}  // namespace

TEST_CASE("merged average: effective weights take the adapters in, and stripped models compute the same with or without them") {
  Net net = adapted();
  Tensor x = test::sample({5, 3}, 2);
  Net merged = optim::without_adapters(net, true), bare = optim::without_adapters(net, false);
  CHECK(nn::adapter_names(merged).empty());
  CHECK(nn::adapter_names(net) == std::vector<std::string>{"image"});
  CHECK(test::difference(merged(x), net(x)) < 1e-12);
  CHECK(test::same_bits(bare.first.weight, net.first.weight));
  CHECK(test::difference(bare(x), net(x)) > 1e-3);
}

TEST_CASE("merged average: an adapter's share in the average after k updates is 1 - decay^k") {
  Net net = adapted(), average = optim::without_adapters(net, false);
  Tensor full_change = net.first.adapters->find("image")->change().detach(), start = average.first.weight.detach();
  Tensor before = clone(start);
  int64_t done = 0;
  for (auto [k, share] : {std::pair<int64_t, double>{1, 0.05}, {10, 0.401263}, {14, 0.512325}, {50, 0.923055}, {100, 0.994079}}) {
    for (; done < k; ++done) optim::merged_ema_update(average, net, 0.95);
    Tensor got = average.first.weight.detach();
    CHECK(test::difference((got - before) / full_change, full(got.shape(), share, f64)) < 2e-6);
    CHECK(share == doctest::Approx(1 - std::pow(0.95, static_cast<double>(k))).epsilon(1e-5));
  }
  CHECK(test::same_bits(average.second.weight, net.second.weight));
}

TEST_CASE("merged average: the average of factors would be another one; models that differ are refused") {
  Net net = adapted(), average = optim::without_adapters(net, false);
  optim::merged_ema_update(average, net, 0.5);
  nn::LowRankAdapter& adapter = *net.first.adapters->find("image");
  Tensor halves = adapter.change().detach() * 0.25;  // both factors averaged with zero
  CHECK(test::difference(average.first.weight.detach() - net.first.weight.detach(), halves) > 1e-3);
  nn::Linear other(3, 4);
  CHECK_THROWS_WITH_AS(optim::merged_ema_update(other, net, 0.5), "merged_ema_update: the source has no \"bias\"", ValueError);
  CHECK_THROWS_WITH_AS(optim::merged_ema_update(average, net, 1.5), "merged_ema_update: the decay 1.5 is outside [0, 1]", ValueError);
}

TEST_CASE("merged average: counts are taken over") {
  nn::BatchNorm average(3), source(3);
  for (int i = 0; i < 5; ++i) source(plumb::test::sample({4, 3, 2, 2}, 1, f32));
  optim::merged_ema_update(average, source, 0.9);
  CHECK(average.num_batches_tracked.item<int64_t>() == 5);
}
