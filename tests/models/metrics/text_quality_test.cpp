// BLEU worked by hand, and perplexity over batches of different sizes.
#include "models/metrics/text_quality.h"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "ops/join.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::metrics;

namespace {
using Words = std::vector<std::string>;
Words words(const std::string& text) {
  std::istringstream stream(text);
  Words found;
  for (std::string word; stream >> word;) found.push_back(word);
  return found;
}
}  // namespace

TEST_CASE("bleu: clipped counts of the paper's example") {
  std::vector<Words> h{words("the the the the the the the")};
  std::vector<std::vector<Words>> r{{words("the cat is on the mat"), words("there is a cat on the mat")}};
  Bleu b = bleu(h, r);
  CHECK(b.precisions[0] == doctest::Approx(2.0 / 7));
  CHECK(b.precisions[1] == 0);
  CHECK(b.score == 0);
  CHECK(b.reference_length == 7);
}

TEST_CASE("bleu: one sentence, one word wrong") {
  std::vector<Words> h{words("the quick brown fox jumps over a lazy dog")};
  std::vector<std::vector<Words>> r{{words("the quick brown fox jumps over the lazy dog")}};
  Bleu b = bleu(h, r);
  CHECK(b.precisions == std::vector<double>{8.0 / 9, 6.0 / 8, 4.0 / 7, 3.0 / 6});
  CHECK(b.brevity_penalty == 1);
  CHECK(b.score == doctest::Approx(std::pow(8.0 / 9 * 6 / 8 * 4 / 7 * 3 / 6, 0.25)));
  CHECK(bleu(r[0], r).score == doctest::Approx(1));
}

TEST_CASE("bleu: a corpus pools its counts; short output is penalised; the nearest reference counts, of equals the shorter") {
  std::vector<Sentence> h{{1, 2, 3, 4}, {5, 6}};
  std::vector<std::vector<Sentence>> r{{{1, 2, 3, 4, 9}}, {{5, 6, 7}, {5}}};
  Bleu b = bleu(h, r, {.longest = 2});
  CHECK(b.precisions == std::vector<double>{1, 1});
  CHECK(b.length == 6);
  CHECK(b.reference_length == 6);  // 5 and, of 3 and 1, the 1
  CHECK(b.score == doctest::Approx(1));
  std::vector<Sentence> part{{1, 2, 3}};
  std::vector<std::vector<Sentence>> whole{{{1, 2, 3, 4, 5, 6}}};
  CHECK(bleu(part, whole, {.longest = 3}).score == doctest::Approx(std::exp(1 - 6.0 / 3)));
  // three tokens have no 4-gram: 0, or with smoothing (2+1)/(2+1), (1+1)/(1+1), (0+1)/(0+1)
  CHECK(bleu(part, whole).score == 0);
  CHECK(bleu(part, whole, {.smoothing = true}).score == doctest::Approx(std::exp(-1.0)));
  CHECK(bleu(std::vector<Sentence>{{}}, whole).score == 0);
}

TEST_CASE("bleu: bad input is named") {
  std::vector<Sentence> h{{1}, {2}};
  std::vector<std::vector<Sentence>> one{{{1}}}, empty{{{1}}, {}};
  CHECK_THROWS_WITH_AS(bleu(h, one), "bleu: 2 hypotheses beside references of 1", ValueError);
  CHECK_THROWS_WITH_AS(bleu(h, empty), "bleu: hypothesis 1 has no reference", ValueError);
  CHECK_THROWS_WITH_AS(bleu(h, empty, {.longest = 0}), "bleu: the longest n-gram must have at least 1 token, not 0", ValueError);
}

TEST_CASE("perplexity: every token counts the same, ignored ones nothing") {
  Tensor logits = test::sample({6, 5}, 1, f64, -3, 3), targets = tensor({0, 4, 2, 2, 1, 3});
  Perplexity parts, ignoring(-1);
  parts.add(narrow(logits, 0, 0, 1), narrow(targets, 0, 0, 1));
  parts.add(narrow(logits, 0, 1, 5), narrow(targets, 0, 1, 5));
  CHECK(parts.tokens() == 6);
  CHECK(parts.value() == doctest::Approx(std::exp(cross_entropy(logits, targets).item())).epsilon(1e-12));
  ignoring.add(reshape(logits, {2, 3, 5}), tensor({{0, -1, -1}, {2, -1, 3}}));
  CHECK(ignoring.tokens() == 3);
  double three = cross_entropy(logits, tensor({0, -1, -1, 2, -1, 3}), {.ignore_index = -1}).item();
  CHECK(ignoring.nats() == doctest::Approx(three).epsilon(1e-12));
  Perplexity uniform;
  uniform.add(zeros({4, 7}), zeros({4}, i64));
  CHECK(uniform.value() == doctest::Approx(7));
  CHECK(std::isnan(Perplexity().value()));
}
