// Adapter tuning and prompt tuning.
#include <doctest/doctest.h>

#include "engine/core/generator.h"
#include "models/nn/bottleneck.h"
#include "models/nn/soft_prompt.h"
#include "models/transformer/encoder.h"
#include "models/transformer/gpt.h"
#include "models/transformer/llama.h"
#include "ops/index.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

TEST_CASE("bottleneck: starts as the identity in every attention and feed-forward network, and alone is trained") {
  manual_seed(1);
  Encoder model({.vocab = 9, .layers = 2, .heads = 2, .width = 8, .inner = 8, .context = 6, .dropout = 0, .attention_dropout = 0});
  model.to(f64);
  Tensor tokens = tensor({{1, 2, 3}});
  Tensor before = model(tokens);
  CHECK(nn::add_bottlenecks(model, 3, {.dtype = f64}) == 4);
  CHECK(test::same_bits(model(tokens), before));
  nn::train_bottlenecks_only(model, {"pooler.bias"});
  int64_t trained = 0;
  for (const Tensor& p : model.parameters()) trained += p.requires_grad() ? p.numel() : 0;
  CHECK(trained == 4 * (8 * 3 + 3 + 3 * 8 + 8) + 8);
  for (const auto& [name, p] : model.named_parameters()) {
    Tensor parameter = p.detach();
    if (name.find("bottleneck") != std::string::npos) copy_data(test::sample(p.shape(), 3, f64), parameter);
  }
  CHECK_FALSE(test::same_bits(model(tokens), before));
  model.requires_grad_(true);
  check_module_gradients(model, {}, [&] { return model(tokens); }, 3);
  Encoder copy = model;
  CHECK(test::same_bits(copy(tokens), model(tokens)));
  CHECK_THROWS_WITH_AS(nn::add_bottlenecks(model, 3), "add_bottlenecks: \"blocks.0.attention\" has one already", ValueError);
  nn::Linear plain(2, 2);
  CHECK_THROWS_WITH_AS(nn::add_bottlenecks(plain, 3), "add_bottlenecks: the model has neither attention nor feed-forward networks",
                       ValueError);
}

TEST_CASE("soft prompt: embeddings of a text as a prompt give what the text in front gives") {
  manual_seed(2);
  Gpt gpt({.vocab = 9, .layers = 2, .heads = 2, .width = 8, .context = 8});
  Llama llama({.vocab = 9, .layers = 2, .heads = 2, .width = 8, .inner = 8, .context = 8});
  Tensor text = tensor({4, 5, 6}), tokens = tensor({{1, 2}}), together = tensor({{4, 5, 6, 1, 2}});
  auto check = [&](const auto& model) {
    Tensor table = model.named_parameters().front().tensor;
    nn::SoftPrompt prompt(index_select(table, 0, text));
    CHECK(prompt.length() == 3);
    CHECK(test::difference(model(tokens, prompt), slice(model(together), 1, 3)) < 1e-5);
    sum(square(model(tokens, prompt))).backward();
    CHECK(prompt.weight.grad().defined());
  };
  check(gpt);
  check(llama);
  nn::SoftPrompt prompt(7, 8);
  CHECK_THROWS_WITH_AS(gpt(tokens, prompt), "gpt: 9 tokens are more than the context of 8", ShapeError);
  CHECK_THROWS_WITH_AS(prompt(zeros({2, 8})), "soft_prompt: takes [B, T, 8], got [2, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(nn::SoftPrompt(0, 8), "soft_prompt: sizes must be positive, got [0, 8]", ValueError);
}
