// einsum against a plain loop over all labels, and its errors.
#include "ops/einsum.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// Σ over all labels; explicit output, no "...".
Reference by_loops(const std::string& equation, const std::vector<Tensor>& x) {
  size_t arrow = equation.find("->");
  std::vector<std::string> terms(1);
  for (char c : equation.substr(0, arrow))
    if (c == ',') terms.emplace_back();
    else terms.back() += c;
  std::string out = equation.substr(arrow + 2), all;
  std::map<char, int64_t> size;
  Shape space, result;
  for (size_t k = 0; k < terms.size(); ++k)
    for (size_t d = 0; d < terms[k].size(); ++d) {
      if (!size.count(terms[k][d])) {
        all += terms[k][d];
        space.push_back(x[k].shape()[static_cast<int>(d)]);
      }
      size[terms[k][d]] = x[k].shape()[static_cast<int>(d)];
    }
  for (char c : out) result.push_back(size[c]);
  std::vector<Reference> from;
  for (const Tensor& t : x) from.emplace_back(t);
  Reference y(result);
  for_each_index(space, [&](const Index& i) {
    auto pick = [&](const std::string& labels) {
      Index p;
      for (char c : labels) p.push_back(i[all.find(c)]);
      return p;
    };
    double product = 1;
    for (size_t k = 0; k < x.size(); ++k) product *= from[k].at(pick(terms[k]));
    y.at(pick(out)) += product;
  });
  return y;
}

}  // namespace

TEST_CASE("einsum: any combination of products, sums, diagonals and orders") {
  std::map<char, int64_t> size{{'a', 2}, {'b', 3}, {'c', 4}, {'d', 5}, {'e', 2}};
  for (const char* equation :
       {"ab,bc->ac", "ab,cb->ca",    "dab,dbc->dac", "ab,bc->",   "a,a->",       "a,b->ab",         "a,b->ba",      "abc->ca",
        "abc->b",    "aa->a",        "aa->",         "aba->b",    "aab,bcc->ac", "ab,bc,cd->ad",    "abc,bd,cd->a", "ab,ab->ab",
        "ab,ab->ba", "abcd,bd->dac", "ab,c->",       "abc,d->bd", "a,ab,b->",    "abc,abd,ae->cde", "->",           "ab,->ab"}) {
    std::string text = equation;
    std::vector<Tensor> x;
    std::string terms = text.substr(0, text.find("->")) + ",";
    for (size_t start = 0; start < terms.size();) {
      size_t comma = terms.find(',', start);
      Shape shape;
      for (char c : terms.substr(start, comma - start)) shape.push_back(size[c]);
      x.push_back(uniform(shape, 10 + start));
      start = comma + 1;
    }
    Reference expected = by_loops(text, x);
    CHECK_MESSAGE(error(einsum(text, x), expected) < 1e-13, text);
    for (Tensor& t : x) t = layouts(t).back();
    CHECK_MESSAGE(error(einsum(text, x), expected) < 1e-13, text << ", strided");
  }
}

TEST_CASE("einsum: \"...\", an output left out, spaces, types") {
  Tensor a = uniform({5, 2, 3, 4}, 1), b = uniform({2, 4, 6}, 2);
  CHECK(error(einsum("...ij,...jk->...ik", {a, b}), by_loops("zyij,yjk->zyik", {a, b})) < 1e-13);
  CHECK(error(einsum("...ij, ...jk", {a, b}), by_loops("zyij,yjk->zyik", {a, b})) < 1e-13);
  CHECK(error(einsum("i...j,...jk->k...i", {permute(a, {2, 0, 1, 3}), b}), by_loops("zyij,yjk->kzyi", {a, b})) < 1e-13);
  CHECK(error(einsum("...j->j", {a}), by_loops("zyij->j", {a})) < 1e-13);
  Tensor one = uniform({1, 4, 6}, 3);
  CHECK(error(einsum("...ij,...jk->...ik", {a, one}), by_loops("zyij,jk->zyik", {a, select(one, 0, 0)})) < 1e-13);
  CHECK(error(einsum("...ij,...jk->ik", {one, unsqueeze(uniform({6, 2}, 4), 0)}),
              by_loops("ij,jk->ik", {select(one, 0, 0), uniform({6, 2}, 4)})) < 1e-13);
  CHECK(error(einsum("...i,...i->i", {uniform({1, 3}, 5), uniform({4, 3}, 6)}),
              by_loops("zi,yi->i", {uniform({1, 3}, 5), uniform({4, 3}, 6)})) < 1e-13);
  CHECK(error(einsum("ba", {uniform({2, 3}, 7)}), by_loops("ba->ab", {uniform({2, 3}, 7)})) == 0);
  CHECK(error(einsum("ii", {uniform({3, 3}, 8)}), by_loops("ii->", {uniform({3, 3}, 8)})) < 1e-15);
  CHECK(error(einsum("ab,bc", {tensor({{1, 2}, {3, 4}}), tensor({{5, 6}, {7, 8}})}), Reference(tensor({{19, 22}, {43, 50}}))) == 0);
  CHECK(einsum("a,a->", {tensor({1, 2}), tensor({0.5, 0.5})}).dtype() == f32);
  CHECK(einsum("ab,bc->ac", {zeros({2, 0}), zeros({0, 3})}).shape() == Shape{2, 3});
  CHECK(einsum("ab,bc->ac", {zeros({0, 2}), zeros({2, 3})}).shape() == Shape{0, 3});
}

TEST_CASE("einsum: malformed equations and sizes that do not fit") {
  Tensor m = zeros({2, 3});
  CHECK_THROWS_WITH_AS(einsum("ab,bc->ac", {m}), "einsum: \"ab,bc->ac\" has 2 operands, 1 are given", ValueError);
  CHECK_THROWS_WITH_AS(einsum("a1->a", {m}), "einsum: '1' has no meaning in \"a1->a\"", ValueError);
  CHECK_THROWS_WITH_AS(einsum("a.b->a", {m}), "einsum: '.' has no meaning in \"a.b->a\"", ValueError);
  CHECK_THROWS_WITH_AS(einsum("...a...", {m}), "einsum: \"...\" occurs twice in one term of \"...a...\"", ValueError);
  CHECK_THROWS_WITH_AS(einsum("abc->a", {m}), "einsum: operand 0 of \"abc->a\" names 3 dimensions, its shape is [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(einsum("ab,bc->ac", {m, m}), "einsum: label 'b' has size 3 in operand 0 and 2 in operand 1", ShapeError);
  CHECK_THROWS_WITH_AS(einsum("aa->a", {m}), "einsum: label 'a' has sizes 2 and 3 in operand 0", ShapeError);
  CHECK_THROWS_WITH_AS(einsum("ab->z", {m}), "einsum: the output label 'z' of \"ab->z\" is in no operand", ValueError);
  CHECK_THROWS_WITH_AS(einsum("ab->aa", {m}), "einsum: the output label 'a' of \"ab->aa\" occurs twice", ValueError);
  CHECK_THROWS_WITH_AS(einsum("...a,...a->a", {zeros({2, 3}), zeros({4, 3})}),
                       "einsum: label ... has size 2 in operand 0 and 4 in operand 1", ShapeError);
}
