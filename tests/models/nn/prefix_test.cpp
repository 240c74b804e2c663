// Prefixes against attention written as loops, and what they must leave alone.
#include "models/nn/prefix.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/init.h"
#include "models/transformer/vision.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

transformer::VisionTransformer small_tower() {
  manual_seed(5);
  return transformer::VisionTransformer(
      {.image_height = 4, .image_width = 4, .channels = 1, .patch = 2, .classes = 2, .layers = 3, .heads = 2, .width = 8, .inner = 12});
}

// out(softmax(q kᵀ / √D) v) of one sequence, head by head, keys and values with the prefix's rows in front.
std::vector<double> by_loops(const nn::MultiheadAttention& a, const Tensor& x, const Tensor& pk, const Tensor& pv, int64_t heads) {
  int64_t rows = x.size(1), width = x.size(2), d = width / heads, prefix = pk.size(0), all = prefix + rows;
  auto q = to_vector(a.query(x)), k = to_vector(pk), v = to_vector(pv);
  for (double e : to_vector(a.key(x))) k.push_back(e);
  for (double e : to_vector(a.value(x))) v.push_back(e);
  std::vector<double> joined(static_cast<size_t>(rows * width));
  auto at = [width](const std::vector<double>& m, int64_t i, int64_t j) { return m[static_cast<size_t>(i * width + j)]; };
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < rows; ++i) {
      std::vector<double> w(static_cast<size_t>(all));
      double total = 0;
      for (int64_t j = 0; j < all; ++j) {
        double score = 0;
        for (int64_t c = h * d; c < (h + 1) * d; ++c) score += at(q, i, c) * at(k, j, c);
        total += w[static_cast<size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (int64_t c = h * d; c < (h + 1) * d; ++c)
        for (int64_t j = 0; j < all; ++j) joined[static_cast<size_t>(i * width + c)] += w[static_cast<size_t>(j)] / total * at(v, j, c);
    }
  return to_vector(a.out(from_vector(joined, {1, rows, width})));
}

}  // namespace

TEST_CASE("prefix: keys and values get rows in front, queries none, as loops have it") {
  manual_seed(1);
  nn::MultiheadAttention attention(6, 2, {.dtype = f64});
  Tensor x = randn({1, 3, 6}, {.dtype = f64}), prompt = randn({4, 6}, {.dtype = f64});
  nn::AttentionPrefix prefix = nn::split_prompt(prompt);
  CHECK(to_vector(prefix.key) == to_vector(narrow(prompt, 0, 0, 2)));
  CHECK(to_vector(prefix.value) == to_vector(narrow(prompt, 0, 2, 2)));
  Tensor y = nn::prefix_attention(attention, x, prefix);
  CHECK(y.shape() == x.shape());
  auto got = to_vector(y), wanted = by_loops(attention, x, prefix.key, prefix.value, 2);
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
}

TEST_CASE("prefix: one of each sample's own is that of the sample alone") {
  manual_seed(2);
  nn::MultiheadAttention attention(6, 3, {.dtype = f64});
  Tensor x = randn({2, 3, 6}, {.dtype = f64}), prompts = randn({2, 2, 6}, {.dtype = f64});
  auto both = to_vector(nn::prefix_attention(attention, x, nn::split_prompt(prompts)));
  for (int64_t b = 0; b < 2; ++b) {
    auto own = to_vector(nn::prefix_attention(attention, narrow(x, 0, b, 1), nn::split_prompt(select(prompts, 0, b))));
    for (size_t i = 0; i < own.size(); ++i) CHECK(both[static_cast<size_t>(b) * own.size() + i] == doctest::Approx(own[i]).epsilon(1e-13));
  }
}

TEST_CASE("prefix: a key that no query looks at, and a prompt without rows, change nothing") {
  manual_seed(3);
  nn::MultiheadAttention attention(4, 2);
  nn::init::zeros(attention.query.weight);
  nn::init::ones(attention.query.bias);  // every query is (1, 1)
  Tensor x = randn({2, 3, 4});
  nn::AttentionPrefix unseen{full({1, 4}, -1e20), full({1, 4}, 7.0)};
  CHECK(max(abs(nn::prefix_attention(attention, x, unseen) - attention(x))).item() < 1e-6);  // rows are summed in another order

  transformer::VisionTransformer tower = small_tower();
  Tensor images = rand({2, 1, 4, 4});
  nn::Prefixes none, some;
  nn::PrefixPrompt({0, 2}, 0, 8).place(none);
  nn::PrefixPrompt({0, 2}, 4, 8).place(some);
  REQUIRE(none.size() == 3);
  CHECK_FALSE(none[1].defined());
  CHECK(to_vector(tower.hidden(images, none)) == to_vector(tower.hidden(images)));
  CHECK(tower.hidden(images, some).shape() == tower.hidden(images).shape());
  CHECK(to_vector(tower.hidden(images, some)) != to_vector(tower.hidden(images)));
}

TEST_CASE("prefix: gradients reach the prompts through frozen blocks, and every row of them") {
  transformer::VisionTransformer tower = small_tower();
  tower.requires_grad_(false);
  nn::PrefixPrompt prompt({0, 1}, 2, 8);
  nn::Prefixes prefixes;
  prompt.place(prefixes);
  sum(square(tower.hidden(rand({2, 1, 4, 4}), prefixes) - 0.5)).backward();
  for (double g : to_vector(amax(abs(prompt.weight.grad()), {2}))) CHECK(g > 0);
  for (const Tensor& p : tower.parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE("prefix: mistakes are named") {
  nn::MultiheadAttention attention(4, 2);
  CHECK_THROWS_WITH_AS(nn::PrefixPrompt({0}, 3, 4), "prefix: the length of a prompt must be even, half keys and half values; it is 3",
                       ValueError);
  CHECK_THROWS_WITH_AS(nn::PrefixPrompt({1, 0, 1}, 2, 4), "prefix: block 1 is negative or named twice", ValueError);
  CHECK_THROWS_WITH_AS(nn::split_prompt(zeros({3, 4})), "prefix: a prompt of 3 rows has no two halves", ValueError);
  CHECK_THROWS_WITH_AS(nn::prefix_attention(attention, zeros({2, 3, 4}), {zeros({1, 6}), zeros({1, 6})}),
                       "prefix: rows [1, 6] do not fit in front of 2 heads of 2 for 2 sequences", ShapeError);
  CHECK_THROWS_WITH_AS(nn::prefix_attention(attention, zeros({2, 3, 4}), {zeros({3, 1, 4}), zeros({3, 1, 4})}),
                       "prefix: rows [3, 1, 4] do not fit in front of 2 heads of 2 for 2 sequences", ShapeError);
  nn::Prefixes four(4);
  CHECK_THROWS_WITH_AS(small_tower().hidden(zeros({1, 1, 4, 4}), four), "vision: prefixes for 4 blocks, there are 3", ValueError);
}
