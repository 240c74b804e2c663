// Experts shared out over processes that have a device each.
#include "models/moe/expert_parallel.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "engine/dist/world.h"
#include "models/moe/losses.h"
#include "models/parallel/exchange_rows.h"
#include "models/parallel/gradient_buckets.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/parallel/process_shares.h"

using namespace plumb;
using namespace plumb::moe;
using plumb_test::experts_of, plumb_test::noise, plumb_test::share;

namespace {

constexpr int64_t kExperts = 7, kWidth = 6, kTokens = 12;  // tokens are divisible by up to four processes, experts are not

Device own_gpu() { return {DeviceType::cuda, static_cast<int8_t>(std::getenv("PLUMB_TEST_GPU") ? dist::world().local_rank() : 0)}; }

double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  return a.numel() == 0 ? 0 : max(abs(to(a.detach(), cpu) - to(b.detach(), cpu))).item();
}

}  // namespace

TEST_CASE("exchange_rows: rows go from device to device, some of them none, and their gradients come back") {
  dist::Communicator& world = dist::world();
  auto collectives = world.collectives_on(own_gpu());
  int64_t size = world.size(), rank = world.rank();
  std::vector<int64_t> give, take;
  std::vector<double> expected, back;
  for (int64_t r = 0; r < size; ++r) {
    give.push_back((rank + 2 * r) % 3);
    take.push_back((r + 2 * rank) % 3);
    expected.insert(expected.end(), static_cast<size_t>(2 * take.back()), 1.0 + static_cast<double>(r));
    back.insert(back.end(), static_cast<size_t>(2 * give.back()), 2 * (1.0 + static_cast<double>(r)) * (1.0 + static_cast<double>(rank)));
  }
  int64_t rows = static_cast<int64_t>(back.size()) / 2;
  for (DType type : {f64, f32, bf16}) {
    Tensor x = full({rows, 2}, 1.0 + static_cast<double>(rank), type, own_gpu()).requires_grad_();
    Tensor y = parallel::exchange_rows(x, give, take, world);
    CHECK(y.device() == own_gpu());
    CHECK(to_vector(y) == expected);
    CHECK(to_vector(grad({sum(square(y)) * (1.0 + static_cast<double>(rank))}, {x})[0]) == back);  // receiver r weighs by r + 1
  }
  CHECK(world.collectives_on(own_gpu()) == collectives);
}

TEST_CASE("expert parallel: forward and backward between devices are those of one process with all tokens on the CPU") {
  dist::Communicator& world = dist::world();
  struct Kind {
    const char* router;
    double capacity;
    int64_t top_k;
  };
  Tensor all = noise({kTokens, kWidth}, 5), weight = noise({kTokens, kWidth}, 6);
  for (const Kind& kind : {Kind{"softmax", 0.6, 2}, Kind{"switch", 0.5, 1}, Kind{"expert_choice", 1.5, 2}}) {
    CAPTURE(kind.router);
    manual_seed(3);
    MoeFeedForward one(kWidth, {.experts = kExperts,
                                .top_k = kind.top_k,
                                .router = kind.router,
                                .capacity = kind.capacity,
                                .inner = 5,
                                .gated = true,
                                .bias = true});
    one.to(f64);
    MoeFeedForward many = one;
    Tensor x = clone(all).requires_grad_();
    Routing routing = one.router(x);
    Tensor y = one.forward(x, routing);
    (sum(y * weight) + importance_loss(routing) + load_balance_loss(routing)).backward();

    many.to(own_gpu());
    share_out_experts(many, world);
    parallel::ShardedParameters sharded = parallel::sharded_parameters(many);
    auto collectives = world.collectives_on(own_gpu());
    parallel::GradientBuckets buckets(sharded.same(many.parameters()), *collectives);
    Tensor own_x = clone(to(share(all), own_gpu())).requires_grad_();
    Routing own = many.router(own_x);
    Tensor own_y = many.forward(own_x, own), balance = importance_loss(own) + load_balance_loss(own);
    buckets.backward(sum(own_y * to(share(weight), own_gpu())) + balance / static_cast<double>(world.size()));
    CHECK(own_y.device() == own_gpu());
    CHECK(difference(own_y, share(y)) < 1e-12);
    CHECK(difference(own_x.grad(), share(x.grad())) < 1e-12);
    auto wanted = one.named_parameters(), found = many.named_parameters();
    REQUIRE(wanted.size() == found.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(wanted[i].name);
      Tensor expected = wanted[i].tensor.grad();
      CHECK(difference(found[i].tensor.grad(), wanted[i].name.starts_with("experts.") ? experts_of(expected) : expected) < 1e-12);
    }
    StateDict whole = sharded.whole(many, many.state());  // for checkpoints: on the CPU, with the experts of all
    for (auto& [name, t] : one.state()) CHECK(difference(whole.at(name), t) == 0);
  }
}
