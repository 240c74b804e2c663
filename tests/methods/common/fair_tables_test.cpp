// Tables of people: what is known of the real ones, how the generated one is made, splits, mistakes.
#include "methods/common/fair_tables.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

double base_rate(const FairTable& t, int64_t group) {
  Tensor in = to(t.a == group, f64);
  return (sum(in * to(t.y, f64)) / sum(in)).item();
}

bool finite(const Tensor& x) { return all(isfinite(x)).item() == 1; }

}  // namespace

TEST_CASE("fair_tables: COMPAS, Adult and German credit have the rows, groups and base rates that are known of them") {
  if (!has_fair_tables()) {
    MESSAGE("skipped: the tables are not in the data directory (PLUMB_DATA)");
    return;
  }
  FairTable compas = compas_table();
  CHECK(compas.rows() == 5278);
  CHECK(compas.x.size(1) == 8);
  CHECK(base_rate(compas, 1) == doctest::Approx(0.5231).epsilon(1e-4));
  CHECK(base_rate(compas, 0) == doctest::Approx(0.3909).epsilon(1e-4));
  CHECK(finite(compas.x));
  CHECK(max(nan_to_zero(compas.amount)).item() > 100);  // somebody was in jail for months
  CHECK(compas_table(true).feature_names[4] == "African-American");
  FairTable adult = adult_table();
  CHECK(adult.rows() == 32561);
  CHECK(base_rate(adult, 1) == doctest::Approx(0.3057).epsilon(1e-3));  // adult.names' table by sex
  CHECK(base_rate(adult, 0) == doctest::Approx(0.1095).epsilon(1e-3));
  CHECK(std::ranges::none_of(adult.feature_names, [](const std::string& n) { return n.find("Husband") != std::string::npos; }));
  FairTable german = german_table();
  CHECK(german.rows() == 1000);
  CHECK(sum(german.y).item() == 700);
  CHECK(sum(german.a).item() == 690);
  CHECK(finite(german.x));
}

TEST_CASE("fair_tables: the generated one has groups of different base rates and proxies") {
  Generator g(5), h(5);
  FairTable t = generated_fair_table(20000, g);
  double gap = base_rate(t, 1) - base_rate(t, 0);
  CHECK(gap > 0.08);
  CHECK(gap < 0.2);
  Tensor proxy = select(t.x, 1, 0), in = to(t.a, f32);
  CHECK((sum(proxy * in) / sum(in) - sum(proxy * (1 - in)) / sum(1 - in)).item() == doctest::Approx(0.4).epsilon(0.15));
  CHECK(min(t.amount).item() > 0);
  CHECK(to_vector(generated_fair_table(20000, h).x) == to_vector(t.x));
}

TEST_CASE("fair_tables: a split's parts are disjoint, scaled by the training rows, and of the sizes asked for") {
  Generator g(1);
  FairTable t = generated_fair_table(500, g);
  FairSplit s = split_fair_table(t, 200, 50, g);
  CHECK(s.train.rows() == 200);
  CHECK(s.validation.rows() == 50);
  CHECK(s.test.rows() == 250);
  for (double m : to_vector(mean(s.train.x, {0}))) CHECK(std::abs(m) < 1e-5);
  for (double d : to_vector(std_dev(s.train.x, {0}, 0))) CHECK(d == doctest::Approx(1).epsilon(1e-4));
  double all = sum(t.amount).item(), parts = sum(s.train.amount).item() + sum(s.validation.amount).item() + sum(s.test.amount).item();
  CHECK(parts == doctest::Approx(all));
  CHECK(split_fair_table(t, 200, 50, g, 100).test.rows() == 100);
  CHECK_THROWS_WITH_AS(split_fair_table(t, 400, 100, g),
                       "fair_table: generated has 500 rows; 400 to train on and 100 to validate leave none to test", ValueError);
  CHECK_THROWS_WITH_AS(fair_table("Iris", g), "fair_table: there is no table \"Iris\"; there are COMPAS, Adult and German credit",
                       ValueError);
}
