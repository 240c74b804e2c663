// How values are spread: buckets, moments, what is not finite, other types.
#include "models/train/histogram.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "models/nn/linear.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::train;

using Counts = std::vector<int64_t>;

TEST_CASE("histogram: buckets of equal width, each without its upper end but the last") {
  Histogram h = histogram_of(tensor({{0.0, 1.0, 1.5}, {2.0, 3.5, 4.0}}), 4);
  CHECK(h.low == 0);
  CHECK(h.high == 4);
  CHECK(h.counts == Counts{1, 2, 1, 2});
  CHECK(h.count == 6);
  CHECK(h.sum == 12);
  CHECK(h.sum_squares == 0 + 1 + 2.25 + 4 + 12.25 + 16);
}

TEST_CASE("histogram: one value alone, none at all, and the whole range of doubles") {
  CHECK(histogram_of(full({3}, -2.5), 3).counts == Counts{3, 0, 0});
  Histogram none = histogram_of(zeros({0}), 2);
  CHECK(none.counts == Counts{0, 0});
  CHECK(none.count == 0);
  CHECK(none.low == 0);
  double most = std::numeric_limits<double>::max();
  CHECK(histogram_of(tensor({-most, 0.0, most}, f64), 2).counts == Counts{1, 2});
}

TEST_CASE("histogram: what is not finite is in no bucket") {
  float infinite = std::numeric_limits<float>::infinity();
  Histogram h = histogram_of(tensor({1.0, NAN, 3.0, double(infinite), -double(infinite)}), 2);
  CHECK(h.counts == Counts{1, 1});
  CHECK(h.count == 2);
  CHECK(h.low == 1);
  CHECK(h.high == 3);
  CHECK(histogram_of(full({2}, NAN), 2).count == 0);
}

TEST_CASE("histogram: smaller types and views; whole numbers have none") {
  Tensor x = tensor({0.0, 0.5, 1.0, 2.0});
  CHECK(histogram_of(to(x, bf16), 2).counts == Counts{2, 2});
  CHECK(histogram_of(to(x, f64), 2).counts == Counts{2, 2});
  CHECK(histogram_of(transpose(tensor({{0.0, 1.0}, {2.0, 4.0}}), 0, 1), 2).counts == Counts{2, 2});
  CHECK_THROWS_WITH_AS(histogram_of(tensor({1, 2})), "histogram: takes floating values, got i64", DTypeError);
}

TEST_CASE("histogram: of a model's parameters, each once, and of gradients where there are any") {
  struct Tied : nn::Module {
    nn::Linear a{this, "a", 2, 2}, b{this, "b", 2, 2};
    Tied() { b.weight = a.weight; }
  } model;
  auto names = [&] {
    std::vector<std::string> all;
    for (const auto& h : histograms_of(model)) all.push_back(h.name);
    return all;
  };
  CHECK(names() == std::vector<std::string>{"weights/a.weight", "weights/a.bias", "weights/b.bias"});
  sum(model.a.bias * 2).backward();
  CHECK(names() == std::vector<std::string>{"weights/a.weight", "weights/a.bias", "gradients/a.bias", "weights/b.bias"});
  CHECK(histograms_of(model)[2].histogram.low == 2);
}
