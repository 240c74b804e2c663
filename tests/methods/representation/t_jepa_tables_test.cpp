// The tables that T-JEPA is measured on.
#include "methods/representation/t_jepa/tables.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods::t_jepa;

namespace {

void check_split(const Table& t, int64_t rows) {
  CHECK(t.labels.shape() == Shape{rows});
  std::set<int64_t> places;
  for (const Tensor* part : {&t.train, &t.validation, &t.test})
    for (int64_t p : to_vector<int64_t>(*part)) CHECK(places.insert(p).second);
  CHECK(static_cast<int64_t>(places.size()) == rows);
  CHECK(t.train.size(0) == rows * 6 / 10);
}

}  // namespace

TEST_CASE("t_jepa tables: digits are 16 numbers in [0, 1] under one order of columns; every row is in one part") {
  Generator a(1), b(2);
  Table first = digit_table(1797, a), second = digit_table(1797, b);
  CHECK(first.numbers.shape() == Shape{1797, 16});
  check_split(first, 1797);
  CHECK(to_vector<int64_t>(first.train) != to_vector<int64_t>(second.train));
  std::vector<double> m = to_vector(mean(first.numbers, {0})), n = to_vector(mean(second.numbers, {0}));
  for (size_t c = 0; c < 16; ++c) CHECK(m[c] == doctest::Approx(n[c]).epsilon(1e-5));  // the same columns in the same places
  Tensor scaled = index_select(scaled_numbers(first, false), 0, first.train);
  CHECK(min(scaled).item() == 0);
  CHECK(max(scaled).item() == 1);
  Tensor z = index_select(scaled_numbers(first, true), 0, first.train);
  CHECK(std::abs(mean(z).item()) < 1e-5);
  check_split(digit_table(100, a), 100);
}

TEST_CASE("t_jepa tables: a generated table has numbers, categories within bounds, and both classes") {
  Generator g(1), again(1);
  Table t = generated_table(500, g);
  check_split(t, 500);
  CHECK(t.numbers.shape() == Shape{500, 6});
  CHECK(t.categories.shape() == Shape{500, 8});
  for (int64_t c = 0; c < 8; ++c) {
    std::vector<int64_t> v = to_vector<int64_t>(select(t.categories, 1, c));
    CHECK(*std::ranges::min_element(v) >= 0);
    CHECK(*std::ranges::max_element(v) < t.cardinalities[static_cast<size_t>(c)]);
  }
  double positive = mean(to(t.labels, f64)).item();
  CHECK((positive > 0.3 && positive < 0.7));
  CHECK(raw_features(t).shape() == Shape{500, 6 + 35});
  CHECK(to_vector(generated_table(500, again).numbers) == to_vector(t.numbers));
}
