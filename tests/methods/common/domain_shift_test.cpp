// Domains: labels and places stay, images change as they should, priors are met.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "methods/common/domain_shift.h"
#include "ops/pointwise.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("domain shift: images change, labels and index stay") {
  auto some = data::digits().test().take(30);
  auto before = some.batch(30).next();
  for (const Domain& domain : style_domains()) {
    CAPTURE(domain.name);
    auto shown = in_domain(some, domain, 1);
    auto after = shown.batch(30).next();
    CHECK(to_vector(after.label) == to_vector(before.label));
    CHECK(to_vector(after.index) == to_vector(before.index));
    CHECK_FALSE(after.has("shown"));
    CHECK((to_vector(after.image) == to_vector(before.image)) == (domain.name == "as it is"));
    CHECK(to_vector(shown.batch(30).next().image) == to_vector(after.image));  // made once
  }
  auto turned = rotated_domains({90, -90});
  CHECK(turned[0].name == "turned by 90°");
  auto there = in_domain(some, turned[0]), back = in_domain(there, turned[1]);
  CHECK(to_vector(back.batch(30).next().image) == to_vector(before.image));
  CHECK(corrupted_domains(3).size() == augment::all_corruptions().size());
}

TEST_CASE("domain shift: a stream of domains shares the training examples and shows every test set whole") {
  auto stream = domain_incremental(data::digits(), rotated_domains({0, 30, 60}), true, 2);
  REQUIRE(stream.size() == 3);
  int64_t train = 0;
  for (const auto& e : stream) {
    train += e.train.size();
    CHECK(e.test.size() == data::digits().test().size());
    CHECK(e.classes.size() == 10);
  }
  CHECK(train == data::digits().train().size());
  CHECK(domain_incremental(data::digits(), rotated_domains({0, 30}), false)[1].train.size() == data::digits().train().size());
}

TEST_CASE("domain shift: priors of classes") {
  std::vector<double> prior(10, 0.0);
  prior[3] = 3;
  prior[7] = 1;
  auto labels = with_class_prior(data::digits().train(), prior, 3, 4000).labels();
  double threes = 0;
  for (int64_t label : labels) {
    CHECK((label == 3 || label == 7));
    threes += label == 3;
  }
  CHECK(std::abs(threes - 3000) < 124);  // 4.5 deviations of 27.4
  Generator g(4);
  auto even = random_prior(5, 1000, g), uneven = random_prior(5, 0.05, g);
  CHECK(std::accumulate(even.begin(), even.end(), 0.0) == doctest::Approx(1));
  for (double p : even) CHECK(p == doctest::Approx(0.2).epsilon(0.15));
  double largest = 0;
  for (double p : uneven) largest = std::max(largest, p);
  CHECK(largest > 0.4);
  CHECK_THROWS_WITH_AS(random_prior(5, 0, g), "random_prior: alpha must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(with_class_prior(data::digits().train(), {0, 0}, 1), "with_class_prior: the priors sum to 0", ValueError);
}
