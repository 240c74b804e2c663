// Selections, counts and draws have no derivative: asking for one is an error, never a silent zero.
#include <doctest/doctest.h>

#include "ops/distributions.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

using namespace plumb;

TEST_CASE("no derivative: floating results say which operation they came from") {
  Tensor x = tensor({{0.5, 0.25}, {0.25, 0.75}}, f64).requires_grad_();
  struct Row {
    const char* message;
    Tensor y;
  };
  for (const Row& row : {Row{"unique has no derivative", unique(x).values}, Row{"histc has no derivative", histc(x, 3, 0, 1)},
                         Row{"bernoulli has no derivative", bernoulli(x)}, Row{"gamma has no derivative", gamma(x, x)},
                         Row{"beta has no derivative", beta(x, x)}, Row{"dirichlet has no derivative", dirichlet(x)},
                         Row{"poisson has no derivative", poisson(x)}}) {
    CHECK(row.y.requires_grad());
    CHECK_THROWS_WITH_AS(sum(row.y * 2).backward(), row.message, AutogradError);
  }
  CHECK(to_vector(unique(x).values * 1.0) == std::vector<double>{0.25, 0.5, 0.75});  // the values may be used
}

TEST_CASE("no derivative: places, counts and truth are not tied to a graph") {
  Tensor x = tensor({{0.5, 0.25}, {0.25, 0.75}}, f64).requires_grad_();
  for (const Tensor& y : {argmax(x, 1), argmin(x), argsort(x), sort(x).indices, topk(x, 1).indices, max(x, 0).indices,
                          kthvalue(x, 1).indices, nonzero(x), unique(x).inverse, unique(x).counts, searchsorted(x, x), count_nonzero(x),
                          any(x), all(x), x > 0.3, isnan(x), logical_not(x), categorical(x), multinomial(x, 1)}) {
    CHECK_FALSE(y.requires_grad());
    CHECK_THROWS_AS(sum(to(y, f64)).backward(), AutogradError);
    CHECK_THROWS_AS(y.requires_grad_(), Error);
  }
}
