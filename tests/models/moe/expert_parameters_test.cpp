// Experts' slices as parameters: which there are, what they share with the model, and whose gradients they are handed.
#include "models/moe/expert_parameters.h"

#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::moe;

namespace {

MoeGpt made(const char* router) {
  manual_seed(1);
  return MoeGpt({.gpt = {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 6, .bias = true, .inner = 12},
                 .moe = {.experts = 3, .top_k = 1, .router = router}});
}

}  // namespace

TEST_CASE("expert parameters: each expert has a slice of each weight of its layer; what is not an expert's is as it was") {
  MoeGpt model = made("switch");
  ExpertParameters parameters(model);
  const Experts& experts = model.blocks()[0].moe->experts;
  size_t stacked = experts.parameters().size();
  CHECK(stacked == 4);  // up and down, weight and bias
  CHECK(parameters.all().size() == model.parameters().size() - stacked + 3 * stacked);
  int64_t elements = 0;
  for (const Tensor& p : parameters.all()) {
    CHECK(p.requires_grad());
    elements += p.numel();
  }
  CHECK(elements == model.num_parameters());
  NoGrad off;
  for (Tensor p : parameters.all())
    if (p.shape() == Shape{12, 8}) fill_(p, 3);
  CHECK(to_vector(experts.up.weight) == std::vector<double>(3 * 12 * 8, 3.0));  // the slices are the model's own elements
}

TEST_CASE("expert parameters: a chosen expert is handed its part of the gradient, another none, and the whole keeps none") {
  MoeGpt model = made("hash");
  ExpertParameters parameters(model);
  Tensor tokens = tensor({{2, 2, 2, 2}}), target = tensor({{1, 3, 5, 0}});  // one token: one expert
  MoeGpt::Output out = model.forward(tokens);
  cross_entropy(flatten(out.logits, 0, 1), flatten(target)).backward();
  Tensor whole = clone(model.blocks()[0].moe->experts.up.weight.grad());
  std::vector<double> chosen = to_vector(out.routings[0].chosen);
  parameters.hand_out(out.routings);
  int met = 0;
  size_t expert = 0;
  for (const Tensor& p : parameters.all()) {
    if (p.shape() != Shape{12, 8}) continue;
    CHECK(p.grad().defined() == (chosen[expert] > 0));
    if (p.grad().defined()) {
      CHECK(to_vector(p.grad()) == to_vector(select(whole, 0, static_cast<int64_t>(expert))));
      ++met;
    }
    ++expert;
  }
  CHECK(expert == 3);
  CHECK(met == 1);
  CHECK_FALSE(model.blocks()[0].moe->experts.up.weight.grad().defined());
}

TEST_CASE("expert parameters: routings must be those of whole passes") {
  MoeGptConfig config{.gpt = {.vocab = 7, .layers = 4, .heads = 2, .width = 8, .context = 6}, .moe = {.experts = 3}, .every = 2};
  MoeGpt model(config);
  ExpertParameters parameters(model);
  std::vector<Routing> routings = model.forward(tensor({{1, 2}})).routings;
  routings.push_back(routings[0]);
  CHECK_THROWS_WITH_AS(parameters.hand_out(routings), "expert_parameters: 3 routings are not those of passes through 2 layers with experts",
                       ValueError);
}
