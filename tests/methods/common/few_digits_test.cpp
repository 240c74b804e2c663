// A few digits with wrong labels, and training on them.
#include "methods/common/few_digits.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("few digits: sizes, noise, shifts and mistakes") {
  Generator g(1), again(1);
  FewDigits d = few_digits({.train = 300, .noise = 0.2}, g), same = few_digits({.train = 300, .noise = 0.2}, again);
  CHECK(d.images.shape() == Shape{300, 1, 8, 8});
  CHECK(d.test.shape() == Shape{1497, 64});
  CHECK(to_vector(d.images) == to_vector(same.images));
  CHECK(d.labels.rate() > 0.12);
  CHECK(d.labels.rate() <= 0.2);
  CHECK(min(d.test).item() == doctest::Approx(-0.3));
  CHECK(max(d.test).item() == doctest::Approx(0.7));
  manual_seed(2);
  mlp::Mlp net = few_digits_mlp();
  optim::SGD sgd(net.parameters(), {.lr = 0.05});
  int64_t batches = 0, epochs = 0;
  double moved = 0;
  train_on_few_digits(
      d, {.epochs = 2, .batch = 128, .shift = 1}, sgd, g,
      [&](const FewDigitsBatch& b) {
        ++batches;
        moved += sum(square(b.rows - digit_rows(index_select(d.images, 0, b.index)))).item();
        return cross_entropy(net(b.rows), b.labels);
      },
      [&](int64_t epoch) { epochs = epoch; });
  CHECK(batches == 6);
  CHECK(epochs == 2);
  CHECK(sgd.lr_scale() < 0.1);  // by half a cosine to nothing
  CHECK(moved > 0);
  CHECK_THROWS_WITH_AS(few_digits({.train = 5}, g), "few_digits: between 10 and 1796 digits can be trained on, not 5", ValueError);
  CHECK_THROWS_AS(few_digits({.noise = 1.5}, g), ValueError);
}
