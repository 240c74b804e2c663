// The GPT of experts: generation, causality, recompute, upcycling, and a short training.
#include "models/moe/gpt.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/transformer/generate.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::moe;
using namespace plumb_test;

namespace {

MoeGptConfig small() {
  return {.gpt = {.vocab = 11, .layers = 2, .heads = 2, .width = 8, .context = 12}, .moe = {.experts = 4}, .every = 2};
}

MoeGpt made(uint64_t seed, const MoeGptConfig& config = small(), DType t = f32) {
  manual_seed(seed);
  MoeGpt model(config);
  model.to(t);
  return model;
}

Tensor text() { return tensor({{1, 5, 2, 7, 7, 0, 10, 3}, {3, 3, 10, 9, 1, 1, 4, 2}}); }

}  // namespace

TEST_CASE("moe gpt: every so many blocks have experts; active parameters are those of the dense model and the gates") {
  MoeGpt model = made(1);
  CHECK(model.blocks()[0].mlp.has_value());
  CHECK(model.blocks()[1].moe.has_value());
  CHECK(model.blocks()[1].moe->experts.up.weight.shape() == Shape{4, 16, 8});
  CHECK(model.forward(text()).routings.size() == 1);
  transformer::Gpt dense(small().gpt);
  CHECK(model.router_parameters() == 4 * 8);
  CHECK(model.active_parameters() == dense.num_parameters() + model.router_parameters());
  CHECK(model.num_parameters() == model.active_parameters() + 2 * (2 * 16 * 8));
  MoeGptConfig all = small();
  all.every = 1;
  CHECK(made(1, all).forward(text()).routings.size() == 2);
  MoeGptConfig odd = small();
  odd.gpt.layers = 3;
  odd.first = 0;
  MoeGpt first_and_third = made(1, odd);
  CHECK(first_and_third.blocks()[0].moe.has_value());
  CHECK_FALSE(first_and_third.blocks()[1].moe.has_value());
  CHECK(first_and_third.blocks()[2].moe.has_value());
  odd.first = 3;
  CHECK_THROWS_WITH_AS(odd.check(), "--first must lie between 0 and --layers - 1 = 2, or be -1, it is 3", ConfigError);
}

TEST_CASE("moe gpt: derivatives match differences, with the losses of its routers") {
  MoeGptConfig config = small();
  config.gpt.bias = true;
  MoeGpt model = made(2, config, f64);
  check_module_gradients(model, {}, [&] {
    MoeGpt::Output out = model.forward(text());
    return out.logits + router_loss(out.routings, {.balance = 0.1, .importance = 0.1, .z = 0.1});
  }, 3);
}

TEST_CASE("moe gpt: tokens a few at a time, with a cache, give the logits of the whole sequence") {
  for (const char* router : {"softmax", "sigmoid", "noisy", "hash"}) {
    MoeGptConfig config = small();
    config.moe.router = router;
    config.moe.capacity = 0.5;  // in training only
    MoeGpt model = made(3, config);
    model.eval();
    NoGrad off;
    Tensor whole = model(text());
    transformer::KeyValueCache cache = model.make_cache(2);
    int64_t done = 0;
    for (int64_t step : {3, 1, 4}) {
      Tensor last = model.next(slice(text(), 1, done, done + step), cache);
      done += step;
      CHECK(test::difference(last, select(whole, 1, done - 1)) < 1e-5);
    }
  }
}

TEST_CASE(
    "moe gpt: recomputed parts, whose sums are taken at once, give the same bits of loss and gradients, whatever is drawn, under autocast "
    "too") {
  MoeGptConfig config = small();
  config.gpt.dropout = 0.2;
  config.moe.router = "noisy";
  config.every = 1;
  auto gradients = [&](bool recompute, DType type) {
    MoeGpt model = made(4, config);
    model.recompute = recompute;
    manual_seed(5);
    Tensor loss;
    {
      Autocast cast(type);
      MoeGpt::Output out = model.forward(text());
      loss = cross_entropy(flatten(out.logits, 0, 1), flatten(text(), 0, 1)) + router_loss(out.routings, {.importance = 1, .load = 1});
    }
    loss.backward();
    std::vector<Tensor> all;
    for (const Tensor& p : model.parameters()) all.push_back(p.grad());
    return all;
  };
  for (DType type : {f32, bf16}) {
    auto kept = gradients(false, type), again = gradients(true, type);
    for (size_t i = 0; i < kept.size(); ++i) CHECK(test::same_bits(kept[i], again[i]));
  }
}

TEST_CASE("moe gpt: a state loads into another; a seed gives one model; the configuration survives JSON") {
  MoeGptConfig config = small();
  config.moe.router = "hash";
  MoeGpt a = made(6), b = made(7);
  auto run = [](const MoeGpt& m) { return m(text()); };
  check_state_round_trip<MoeGpt>(a, b, run);
  CHECK(test::same_bits(run(made(6)), run(made(6))));
  CHECK(MoeGptConfig::from_json(config.to_json()).to_json() == config.to_json());
  CHECK(MoeGpt(MoeGptConfig::from_json(config.to_json()))(text()).shape() == Shape{2, 8, 11});
}

TEST_CASE("upcycle: with weights that sum to 1 the model computes what the dense one does; gates are its own") {
  manual_seed(8);
  transformer::Gpt dense(small().gpt);
  dense.eval();
  NoGrad off;
  for (const char* router : {"softmax", "sigmoid", "noisy", "hash", "random_token"})
    for (int64_t every : {1, 2}) {
      MoeGptConfig config = small();
      config.moe.inner = 32;  // that of the dense network: 4 · 8
      config.moe.router = router;
      config.every = every;
      MoeGpt model = made(9, config);
      Tensor gate;
      if (model.blocks()[1].moe->router.gate) gate = clone(model.blocks()[1].moe->router.gate->weight);
      model.eval();
      upcycle(dense.state(), model);
      CHECK(test::difference(model(text()), dense(text())) < 1e-6);
      if (gate.defined()) CHECK(test::same_bits(model.blocks()[1].moe->router.gate->weight, gate));
    }
}

TEST_CASE("upcycle: what does not fit is named with both shapes, and nothing is changed") {
  transformer::Gpt dense(small().gpt);
  MoeGpt narrow = made(9);
  Tensor before = narrow(text());
  CHECK_THROWS_WITH_AS(upcycle(dense.state(), narrow),
                       "upcycle: blocks.1.mlp.down.weight is [8, 32] in the dense model, [8, 16] in the model (one expert of "
                       "blocks.1.moe.experts.down.weight)",
                       ShapeError);
  MoeGptConfig config = small();
  config.moe.inner = 32;
  MoeGpt model = made(9, config);
  StateDict less = dense.state(), more = dense.state();
  less.erase("blocks.1.mlp.up.weight");
  CHECK_THROWS_WITH_AS(upcycle(less, model),
                       "upcycle: the dense model has no blocks.1.mlp.up.weight, which blocks.1.moe.experts.up.weight would start from",
                       ValueError);
  more["blocks.2.norm1.weight"] = ones({8});
  CHECK_THROWS_WITH_AS(upcycle(more, model), "upcycle: the model has no place for the dense model's blocks.2.norm1.weight", ValueError);
  CHECK(test::same_bits(narrow(text()), before));
}

TEST_CASE("moe gpt: learns a small grammar, keeps its experts in use, and writes it") {
  // After a token comes the one that stands three (or, behind an odd one, five) places on.
  auto after = [](int64_t t) { return (t + (t % 2 == 0 ? 3 : 5)) % 11; };
  auto batch = [&](uint64_t seed) {
    Generator g(seed);
    std::vector<int64_t> all;
    for (int b = 0; b < 16; ++b) {
      auto t = static_cast<int64_t>(g.next_below(11));
      for (int i = 0; i < 9; ++i, t = after(t)) all.push_back(t);
    }
    return from_vector(all, {16, 9});
  };
  MoeGpt model = made(10);
  optim::AdamW adamw(model.parameters(), {.lr = 0.02, .weight_decay = 0});
  double loss = 0;
  for (uint64_t step = 0; step < 120; ++step) {
    Tensor tokens = batch(step);
    MoeGpt::Output out = model.forward(slice(tokens, 1, 0, 8));
    Tensor error = cross_entropy(flatten(out.logits, 0, 1), flatten(slice(tokens, 1, 1), 0, 1));
    adamw.zero_grad();
    (error + router_loss(out.routings, {.balance = 0.01})).backward();
    adamw.step();
    loss = error.item();
  }
  CHECK(loss < 0.1);  // of log 11 = 2.4
  model.eval();
  CHECK(statistics(model.forward(slice(batch(0), 1, 0, 8)).routings[0]).evenness > 0.6);
  std::vector<int32_t> written{4};
  Generator generator(1);
  transformer::generate(model, {4}, 20, {.temperature = 0}, generator, [&](int32_t t) { written.push_back(t); });
  for (size_t i = 1; i < written.size(); ++i) CHECK(written[i] == after(written[i - 1]));
}

TEST_CASE("moe gpt: wrong sizes and settings are named") {
  MoeGpt model = made(7);
  CHECK_THROWS_WITH_AS(model(zeros({1, 13}, i64)), "moe gpt: 13 tokens are more than the context of 12", ShapeError);
  CHECK_THROWS_WITH_AS(model(zeros({4}, i64)), "moe gpt: takes tokens [B, T], got [4]", ShapeError);
  MoeGptConfig config = small();
  config.every = 3;
  CHECK_THROWS_WITH_AS(MoeGpt{config}, "--every must lie between 1 and --layers 2, it is 3", ConfigError);
  config = small();
  config.moe.top_k = 3;
  CHECK_THROWS_WITH_AS(MoeGpt{config}, "--top-k 3 does not divide the dense width 32; give the experts an --inner", ConfigError);
  config.moe.inner = 5;
  CHECK(MoeGpt(config)(text()).shape() == Shape{2, 8, 11});
}
