// The ranking loss: its worked example, its limits, masks, both directions, gradient caching with dropout, and search in blocks.
#include "models/retrieval/contrastive.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/retrieval/bag_encoder.h"
#include "models/retrieval/hard_negatives.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::retrieval;

namespace {

Tensor queries() { return tensor({{1.0, .5, 0.0}, {0.0, 1.0, .5}}, f64); }
Tensor documents() { return tensor({{.9, .6, .1}, {.8, -.2, .5}, {.1, .9, .6}, {.5, .8, -.3}}, f64); }

double loss_of(const std::vector<std::vector<double>>& logits, const std::vector<size_t>& label) {
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    double sum = 0;
    for (double l : logits[i]) sum += std::exp(l);
    total += std::log(sum) - logits[i][label[i]];
  }
  return total / static_cast<double>(logits.size());
}

}  // namespace

TEST_CASE("ranking info_nce: cosines, losses and mean of the worked example") {
  std::vector<double> s = to_vector(cosine_matrix(queries(), documents()));
  std::vector<double> wanted{.988064, .649234, .452863, .813157, .535202, .0463739, .988064, .587280};
  for (size_t i = 0; i < 8; ++i) CHECK(s[i] == doctest::Approx(wanted[i]).epsilon(2e-6));
  Tensor label = tensor({0, 2});
  CHECK(ranking_info_nce(queries(), documents(), label, {.scale = 20}).item() == doctest::Approx(.0156897).epsilon(5e-6));
  CHECK(ranking_info_nce(narrow(queries(), 0, 0, 1), documents(), tensor({0}), {.scale = 20}).item() ==
        doctest::Approx(.0309327).epsilon(5e-6));
  CHECK(ranking_info_nce(narrow(queries(), 0, 1, 1), documents(), tensor({2}), {.scale = 20}).item() ==
        doctest::Approx(.000446690).epsilon(2e-5));
}

TEST_CASE("ranking info_nce: without mined negatives it is the in-batch loss, and at a great temperature log of the documents") {
  Generator g(1);
  Tensor q = randn({5, 4}, {.dtype = f64, .generator = &g}), d = randn({5, 4}, {.dtype = f64, .generator = &g}),
         label = tensor({0, 1, 2, 3, 4});
  CHECK(ranking_info_nce(q, d, label, {.scale = 10}).item() == doctest::Approx(info_nce(q, d, {.temperature = .1}).item()).epsilon(1e-12));
  CHECK(ranking_info_nce(q, d, label, {.scale = 10, .bidirectional = true}).item() ==
        doctest::Approx(info_nce(q, d, {.temperature = .1, .symmetric = true}).item()).epsilon(1e-12));
  CHECK(ranking_info_nce(queries(), documents(), tensor({0, 2}), {.scale = 1e-9}).item() == doctest::Approx(std::log(4.0)).epsilon(1e-8));
}

TEST_CASE("ranking info_nce: documents that are not allowed leave the denominator, by plain loops") {
  std::vector<double> s = to_vector(cosine_matrix(queries(), documents()));
  Tensor allowed = tensor({{true, false, true, true}, {false, true, true, true}});
  double wanted = loss_of({{4 * s[0], 4 * s[2], 4 * s[3]}, {4 * s[5], 4 * s[6], 4 * s[7]}}, {0, 1});
  CHECK(ranking_info_nce(queries(), documents(), tensor({0, 2}), {.scale = 4, .allowed = allowed}).item() ==
        doctest::Approx(wanted).epsilon(1e-10));
  double back = loss_of({{4 * s[0]}, {4 * s[2], 4 * s[6]}}, {0, 1});  // document 0 may not meet query 1
  CHECK(ranking_info_nce(queries(), documents(), tensor({0, 2}), {.scale = 4, .bidirectional = true, .allowed = allowed}).item() ==
        doctest::Approx((wanted + back) / 2).epsilon(1e-10));
}

TEST_CASE("ranking info_nce: its gradient is right, masked or not") {
  Tensor allowed = tensor({{true, false, true, true}, {true, true, true, false}});
  for (const Tensor& mask : {Tensor(), allowed})
    CHECK(gradcheck(
              [&](const std::vector<Tensor>& x) {
                return ranking_info_nce(x[0], x[1], tensor({0, 2}), {.scale = 3, .bidirectional = true, .allowed = mask});
              },
              {queries(), documents()})
              .passed);
}

TEST_CASE("ranking info_nce: a learned scale gives the fixed one's loss, has a gradient, and stops at 100") {
  Tensor label = tensor({0, 2});
  auto learned = [&](double scale) { return scalar_tensor(std::log(scale), f64).requires_grad_(); };
  auto loss = [&](const Tensor& log_scale) { return ranking_info_nce(queries(), documents(), label, {.log_scale = log_scale}); };
  CHECK(loss(learned(20)).item() == doctest::Approx(.0156897).epsilon(5e-6));
  CHECK(loss(learned(500)).item() ==
        doctest::Approx(ranking_info_nce(queries(), documents(), label, {.scale = 100}).item()).epsilon(1e-12));
  CHECK(gradcheck([&](const Tensor& x) { return loss(x); }, {learned(7).detach()}).passed);
  Tensor beyond = learned(500);
  loss(beyond).backward();
  CHECK(beyond.grad().item() == 0);
  CHECK_THROWS_WITH_AS(loss(zeros({4})), "ranking_info_nce: log_scale must be one number, it is [4]", ShapeError);
}

TEST_CASE("ranking info_nce: bad input is named") {
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), documents(), tensor({0, 4})), "ranking_info_nce: label 4 of query 1 is outside [0, 4)",
                       IndexError);
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), documents(), tensor({0})), "ranking_info_nce: labels must be [2], they are [1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), zeros({4, 2}), tensor({0, 1})),
                       "ranking_info_nce: takes queries [n, D] and documents [m, D], got [2, 3] and [4, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(ranking_info_nce(tensor({{1.0, 0.0, 0.0}, {0.0, 0.0, 0.0}}), documents(), tensor({0, 1})),
                       "ranking_info_nce: query 1 has no direction, its length is 0", ValueError);
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), zeros({4, 3}, f64), tensor({0, 1})),
                       "ranking_info_nce: document 0 has no direction, its length is 0", ValueError);
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), documents(), tensor({0, 1}), {.scale = 0}),
                       "ranking_info_nce: the scale must be positive, it is 0", ValueError);
  Tensor none = tensor({{false, true, true, true}, {true, true, true, true}});
  CHECK_THROWS_WITH_AS(ranking_info_nce(queries(), documents(), tensor({0, 1}), {.allowed = none}),
                       "ranking_info_nce: the document 0 of query 0 itself is not allowed", ValueError);
}

TEST_CASE("cached embeddings: the gradients of the whole batch with dropout, every chunk computed twice") {
  manual_seed(11);
  BagEncoder model({.buckets = 50, .embedding = 6, .width = 5, .dropout = .3});
  model.to(f64);
  std::vector<std::vector<int64_t>> texts;
  for (int64_t i = 0; i < 14; ++i) texts.push_back(hashed_trigrams("text number " + std::to_string(i * i), 50));
  int calls = 0;
  auto encode = [&](int64_t begin, int64_t end) {
    ++calls;
    std::vector<const std::vector<int64_t>*> part;
    for (int64_t i = begin; i < end; ++i) part.push_back(&texts[static_cast<size_t>(i)]);
    return model(part);
  };
  auto gradients = [&](bool cached) {
    manual_seed(4);
    model.zero_grad();
    Tensor all;
    if (cached)
      all = cached_embeddings(14, 4, encode);
    else  // in the same chunks, so that the same random numbers drop the same places
      all = cat({encode(0, 4), encode(4, 8), encode(8, 12), encode(12, 14)}, 0);
    ranking_info_nce(narrow(all, 0, 0, 7), narrow(all, 0, 7, 7), tensor({0, 1, 2, 3, 4, 5, 6}), {.scale = 20}).backward();
    std::vector<double> out;
    for (const Tensor& p : model.parameters())
      for (double v : to_vector(p.grad())) out.push_back(v);
    return out;
  };
  std::vector<double> whole = gradients(false);
  CHECK(calls == 4);
  std::vector<double> cached = gradients(true);
  CHECK(calls == 12);
  REQUIRE(whole.size() == cached.size());
  double largest = 0, difference = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    largest = std::max(largest, std::abs(whole[i]));
    difference = std::max(difference, std::abs(whole[i] - cached[i]));
  }
  CHECK(largest > 1e-3);
  CHECK(difference < 1e-12 * std::max(1.0, largest));
  CHECK_THROWS_WITH_AS(cached_embeddings(0, 4, encode), "cached_embeddings: 0 rows in chunks of 4; both must be at least 1", ValueError);
}

TEST_CASE("nearest documents: blocks give what one comparison gives, of equal ones the earlier") {
  Generator g(2);
  Tensor q = randn({6, 4}, {.generator = &g}), d = randn({37, 4}, {.generator = &g});
  auto whole = nearest_documents(q, d, 5, 100), parts = nearest_documents(q, d, 5, 3);
  CHECK(to_vector<int64_t>(whole.indices) == to_vector<int64_t>(parts.indices));
  CHECK(
      to_vector<int64_t>(nearest_documents(tensor({{1.0, 0.0}}), tensor({{0.0, 1.0}, {2.0, 0.0}, {1.0, 0.0}, {4.0, 0.0}}), 3, 2).indices) ==
      std::vector<int64_t>{1, 2, 3});
  CHECK_THROWS_WITH_AS(nearest_documents(q, d, 38),
                       "nearest_documents: the 38 nearest of 37 documents, 4096 at once; k must be in [1, 37], the block at least 1",
                       ValueError);
}

TEST_CASE("bag encoder: hashed trigrams are padded with spaces and stay in their range") {
  CHECK(hashed_trigrams("ab", 1 << 14).size() == 2);  // " ab" and "ab "
  CHECK(hashed_trigrams("", 8).empty());
  CHECK(hashed_trigrams("the same", 100) == hashed_trigrams("the same", 100));
  CHECK(hashed_trigrams("a", 1LL << 32) == std::vector<int64_t>{0xa096ccee});  // FNV-1a of " a "
  for (int64_t b : hashed_trigrams("a longer text", 7)) CHECK((b >= 0 && b < 7));
  CHECK_THROWS_WITH_AS(hashed_trigrams("a", 0), "hashed_trigrams: buckets must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(BagEncoder({.buckets = 0}), "bag_encoder: buckets must be at least 1, it is 0", ConfigError);
}
