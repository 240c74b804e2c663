// Low-rank adapters: what they compute, how they start, and keeping several apart.
#include <doctest/doctest.h>

#include "models/nn/attention.h"
#include "models/nn/conv.h"
#include "models/nn/low_rank.h"
#include "models/optim/adam.h"
#include "models/transformer/gpt.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb_test;

namespace {

struct Net : nn::Module {
  nn::Linear first{this, "first", 5, 6, {.dtype = f64}};
  nn::Linear second{this, "second", 6, 4, {.dtype = f64}};
  Tensor operator()(const Tensor& x) const { return second(first(x)); }
};

// Adapters start at zero change; give them one.
void stir(nn::Module& model, uint64_t seed) {
  for (const auto& [name, p] : model.named_parameters()) {
    Tensor parameter = p.detach();
    if (name.find("adapters") != std::string::npos) copy_data(test::sample(p.shape(), seed++, p.dtype(), 0.2, 1), parameter);
  }
}

// U diag(s) Vᵀ of the `rank` largest singular values.
Tensor principal(const Tensor& w, int64_t rank) {
  auto [u, s, vh] = svd(reshape(w.detach(), {w.size(0), -1}));
  return reshape(matmul(slice(u, 1, 0, rank) * slice(s, 0, 0, rank), slice(vh, 0, 0, rank)), w.shape());
}

}  // namespace

TEST_CASE("low rank: the layer starts unchanged, then adds alpha/rank · up · down; DoRA scales rows to its magnitudes") {
  Tensor x = test::sample({3, 5}, 1);
  nn::Linear layer(5, 6, {.dtype = f64}), plain = layer;
  CHECK(nn::add_adapter(layer, "a", {.rank = 2, .alpha = 3}) == 1);
  CHECK(test::same_bits(layer(x), plain(x)));
  stir(layer, 5);
  const nn::LowRankAdapter& a = layer.adapters->front();
  Tensor changed = plain.weight + matmul(a.up, a.down) * 1.5;
  CHECK(test::difference(layer(x), linear(x, changed, plain.bias)) < 1e-14);
  nn::Linear dora = plain;
  nn::add_adapter(dora, "a", {.rank = 2, .alpha = 3, .magnitude = true});
  CHECK(test::difference(dora(x), plain(x)) < 1e-14);
  stir(dora, 5);
  const nn::LowRankAdapter& d = dora.adapters->front();
  Tensor sum_of_both = plain.weight + matmul(d.up, d.down) * 1.5,
         expected = sum_of_both / norm(sum_of_both, 2, {1}, true) * unsqueeze(d.magnitude, 1);
  CHECK(test::difference(dora(x), linear(x, expected, plain.bias)) < 1e-14);
}

TEST_CASE("low rank: derivatives through linear and convolution layers match differences") {
  Tensor x = test::sample({2, 3, 5}, 2), image = test::sample({2, 4, 5, 5}, 3), sequence = test::sample({2, 4, 7}, 4);
  for (bool magnitude : {false, true}) {
    nn::LowRankOptions options{.rank = 2, .alpha = 1, .magnitude = magnitude};
    nn::Linear layer(5, 3, {.dtype = f64});
    nn::Conv2d conv(4, 6, 3, {.padding = 1, .groups = 2, .dtype = f64});
    nn::ConvTranspose1d up(4, 3, 2, {.stride = 2, .dtype = f64});
    for (nn::Module* module : {static_cast<nn::Module*>(&layer), static_cast<nn::Module*>(&conv), static_cast<nn::Module*>(&up)}) {
      nn::add_adapter(*module, "a", options);
      stir(*module, 9);
    }
    check_module_gradients(layer, {x}, [&] { return layer(x); });
    check_module_gradients(conv, {image}, [&] { return conv(image); });
    check_module_gradients(up, {sequence}, [&] { return up(sequence); });
  }
}

TEST_CASE("low rank: a principal start moves the largest singular part into the adapter, and gives it back") {
  Tensor x = test::sample({3, 5}, 1);
  nn::Linear layer(5, 6, {.dtype = f64}), plain = layer;
  nn::Conv1d conv(3, 4, 2, {.dtype = f64}), plain_conv = conv;
  for (nn::Module* module : {static_cast<nn::Module*>(&layer), static_cast<nn::Module*>(&conv)})
    nn::add_adapter(*module, "p", {.rank = 2, .alpha = 5, .start = nn::LowRankStart::principal});
  CHECK(test::difference(layer.adapters->front().change(), principal(plain.weight, 2)) < 1e-12);
  CHECK(test::difference(conv.adapters->front().change(), principal(plain_conv.weight, 2)) < 1e-12);
  CHECK(test::difference(layer.weight, plain.weight - principal(plain.weight, 2)) < 1e-12);
  CHECK(test::difference(layer(x), plain(x)) < 1e-12);
  stir(layer, 3);
  nn::remove_adapter(layer, "p");
  CHECK(test::difference(layer.weight, plain.weight) < 1e-12);
  CHECK(test::difference(layer(x), plain(x)) < 1e-12);
}

TEST_CASE("low rank: several adapters add up, can be idle, merged and brought back exactly") {
  Tensor x = test::sample({3, 5}, 1);
  Net net, plain = net;
  CHECK(nn::add_adapter(net, "a", {.rank = 2}) == 2);
  CHECK(nn::add_adapter(net, "b", {.rank = 1}, {"second"}) == 1);
  stir(net, 20);
  CHECK(nn::adapter_names(net) == std::vector<std::string>{"a", "b"});
  Tensor both = net(x);
  nn::use_adapters(net, {"b"});
  Tensor only_b = net(x);
  CHECK(test::difference(only_b, linear(plain.first(x), plain.second.weight + (*net.second.adapters)[1].change(), plain.second.bias)) <
        1e-13);
  nn::use_adapters(net, {});
  CHECK(test::same_bits(net(x), plain(x)));
  nn::use_adapters(net, {"a", "b"});
  CHECK(test::same_bits(net(x), both));
  nn::merge_adapters(net);
  nn::merge_adapters(net);
  CHECK(test::difference(net(x), both) < 1e-13);
  CHECK_FALSE(test::same_bits(net.first.weight, plain.first.weight));
  CHECK_THROWS_WITH_AS(nn::use_adapters(net, {"a"}), "use_adapters: the adapters of \"first\" are merged; unmerge_adapters first",
                       ValueError);
  Net copy = net;
  nn::unmerge_adapters(net);
  CHECK(test::same_bits(net.first.weight, plain.first.weight));
  CHECK(test::same_bits(net(x), both));
  CHECK(test::difference(copy(x), both) < 1e-13);
  nn::remove_adapter(net, "b");
  CHECK(nn::adapter_names(net) == std::vector<std::string>{"a"});
}

TEST_CASE("low rank: only adapters are trained, saved and loaded, and they learn") {
  manual_seed(4);
  Tensor x = test::sample({16, 5}, 1);
  Net net, plain = net;
  nn::add_adapter(net, "a", {.rank = 2});
  nn::add_adapter(net, "b", {.rank = 2});
  nn::use_adapters(net, {"a"});
  nn::train_adapters_only(net, {"a"});
  Tensor target = test::sample({16, 4}, 2);
  std::vector<Tensor> trained;
  for (const Tensor& p : net.parameters())
    if (p.requires_grad()) trained.push_back(p);
  CHECK(trained.size() == 4);
  optim::Adam adam(trained, {.lr = 0.02});
  auto loss = [&] { return mean(square(net(x) - target)); };
  double before = loss().item();
  for (int step = 0; step < 100; ++step) {
    adam.zero_grad();
    loss().backward();
    adam.step();
  }
  CHECK(loss().item() < 0.7 * before);
  CHECK(test::same_bits(net.first.weight, plain.first.weight));
  StateDict state = nn::adapter_state(net, "a");
  CHECK(state.size() == 4);
  CHECK(state.contains("first.down"));
  Net other = plain;
  nn::add_adapter(other, "a", {.rank = 2});
  nn::load_adapter_state(other, "a", state);
  CHECK(test::same_bits(other(x), net(x)));
  Net copy = net;
  CHECK(test::same_bits(copy(x), net(x)));
  CHECK(copy.state().contains("first.adapters.a.up"));
}

TEST_CASE("low rank: the state holds what a principal start took, and the weights before merging") {
  Tensor x = test::sample({3, 5}, 1);
  Net net, plain = net, other;
  for (Net* each : {&net, &other}) nn::add_adapter(*each, "p", {.rank = 2, .start = nn::LowRankStart::principal});
  stir(net, 3);
  other.load_state(net.state());
  CHECK(test::same_bits(other(x), net(x)));
  nn::merge_adapters(net);
  CHECK_THROWS_WITH_AS(other.load_state(net.state()),
                       "load_state: the module has no \"first.adapters.original\", \"second.adapters.original\"", ValueError);
  nn::merge_adapters(other);
  other.load_state(net.state());
  CHECK(test::same_bits(other(x), net(x)));
  for (Net* each : {&net, &other}) {
    nn::unmerge_adapters(*each);
    CHECK_FALSE(each->state().contains("first.adapters.original"));
    nn::remove_adapter(*each, "p");
    CHECK(test::difference((*each)(x), plain(x)) < 1e-12);
  }
}

TEST_CASE("low rank: dropout beside magnitudes is refused where it would be left out in silence") {
  nn::Linear layer(8, 8);
  Tensor x = test::sample({4, 8}, 1, f32);
  nn::add_adapter(layer, "drops", {.rank = 2, .dropout = 0.5});
  nn::add_adapter(layer, "scaled", {.rank = 2, .magnitude = true});
  CHECK_THROWS_WITH_AS(
      layer(x), "linear: the adapter \"drops\" drops out, which it cannot beside one with magnitudes; choose one of them by use_adapters",
      ValueError);
  nn::use_adapters(layer, {"scaled"});
  CHECK_NOTHROW(layer(x));
  nn::use_adapters(layer, {"drops", "scaled"});
  layer.eval();
  CHECK_NOTHROW(layer(x));
}

TEST_CASE("low rank: dropout acts in training alone") {
  nn::Linear layer(8, 8);
  nn::add_adapter(layer, "a", {.rank = 2, .dropout = 0.5});
  stir(layer, 3);
  Tensor x = test::sample({4, 8}, 1, f32);
  CHECK_FALSE(test::same_bits(layer(x), layer(x)));
  layer.eval();
  CHECK(test::same_bits(layer(x), layer(x)));
}

TEST_CASE("low rank: what cannot be is named, and nothing is changed") {
  Net net;
  CHECK_THROWS_WITH_AS(nn::add_adapter(net, "a", {.rank = 5}),
                       "add_adapter: \"second\" [4, 6] has no rank of 5; choose 4 or less, or other layers", ValueError);
  CHECK_THROWS_WITH_AS(nn::add_adapter(net, "a", {}, {"third"}),
                       "add_adapter: no linear or convolution layer has one of the names asked for", ValueError);
  CHECK_THROWS_WITH_AS(nn::add_adapter(net, "a.b"), "add_adapter: a name must be non-empty and without dots: \"a.b\"", ValueError);
  CHECK(nn::adapter_names(net).empty());
  nn::add_adapter(net, "a", {.rank = 1});
  CHECK_THROWS_WITH_AS(nn::add_adapter(net, "a", {.rank = 1}), "add_adapter: \"first\" has an adapter \"a\" already", ValueError);
  CHECK_THROWS_WITH_AS(nn::remove_adapter(net, "b"), "remove_adapter: no layer has an adapter \"b\"", ValueError);
  StateDict state = nn::adapter_state(net, "a");
  state["first.up"] = zeros({6, 2});
  CHECK_THROWS_WITH_AS(nn::load_adapter_state(net, "a", state),
                       "load_adapter_state: \"first.up\" is [6, 2] in the state, [6, 1] in the model", ShapeError);
  state.erase("first.up");
  CHECK_THROWS_WITH_AS(nn::load_adapter_state(net, "a", state), "load_adapter_state: the state lacks \"first.up\"", ValueError);
}

TEST_CASE("low rank: a weight that is tied to another parameter gets no adapter") {
  manual_seed(1);
  transformer::Gpt model({.vocab = 12, .layers = 1, .heads = 2, .width = 8, .context = 6});
  model.eval();
  Tensor tokens = randint(0, 12, {1, 5}), before = model(tokens);
  nn::add_adapter(model, "a", {.rank = 2, .start = nn::LowRankStart::principal}, {});
  CHECK(test::difference(model(tokens), before) < 1e-5);
}

TEST_CASE("low rank: an adapter added to a model in evaluation mode does not drop out") {
  Tensor x = test::sample({3, 5}, 1);
  nn::Linear layer(5, 6, {.dtype = f64});
  layer.eval();
  nn::add_adapter(layer, "a", {.rank = 2, .dropout = 0.5});
  stir(layer, 5);
  const nn::LowRankAdapter& a = layer.adapters->front();
  CHECK(test::difference(layer(x), linear(x, layer.weight + a.change(), layer.bias)) < 1e-14);
  layer.train();
  CHECK(test::difference(layer(x), linear(x, layer.weight + a.change(), layer.bias)) > 1e-3);
}
