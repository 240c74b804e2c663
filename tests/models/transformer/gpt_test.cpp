// GPT's blocks.
#include "models/transformer/gpt.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::transformer;

namespace {

// The block's formula, each sum taken at once.
Tensor plain(const Block& block, const Tensor& x) {
  Tensor y = x + block.attention(block.norm1(x));
  return y + block.mlp(block.norm2(y));
}

}  // namespace

TEST_CASE(
    "gpt: blocks that hand on the stream before its sum is taken have the bits of those that take it, gradients included, under autocast "
    "too") {
  manual_seed(3);
  GptConfig config{.vocab = 11, .layers = 2, .heads = 2, .width = 16, .context = 12, .bias = true};
  Block first(config), second(config);
  Tensor x = test::sample({2, 12, 16}, 1, f32).requires_grad_();
  std::vector<Tensor> inputs{x};
  for (const Block* block : {&first, &second})
    for (const Tensor& p : block->parameters()) inputs.push_back(p);
  for (DType type : {f32, bf16}) {
    Autocast cast(type);
    Residual stream = second(first(Residual{x, {}}));
    Tensor handed = stream.x + stream.branch, taken = plain(second, plain(first, x)), whole = second(first(x));
    CHECK(handed.dtype() == f32);
    CHECK(test::same_bits(handed, taken));
    CHECK(test::same_bits(whole, taken));
    std::vector<Tensor> one = test::gradients(handed, inputs, false), other = test::gradients(taken, inputs, false);
    for (size_t i = 0; i < inputs.size(); ++i) CHECK_MESSAGE(test::same_bits(one[i], other[i]), "input " << i);
  }
}

TEST_CASE("gpt: the next token under autocast, with what came before in a cache") {
  manual_seed(2);
  Gpt model({.vocab = 20, .layers = 2, .heads = 2, .width = 16, .context = 8});
  model.eval();
  NoGrad off;
  Tensor tokens = randint(0, 20, {1, 5});
  KeyValueCache cache = model.make_cache(1), again = model.make_cache(1);
  Tensor plain = model.next(tokens, cache);
  Autocast on(bf16);
  Tensor narrow = to(model.next(tokens, again), f32);
  CHECK(amax(abs(narrow - plain)).item() < 0.05);
}
