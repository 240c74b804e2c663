// The drift test: what it fires on, what it keeps, and when it starts anew.
#include "methods/common/drift_monitor.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("drift monitor: a constant stream never fires, a step does at once") {
  DriftMonitor m;
  for (int i = 0; i < 100; ++i) CHECK_FALSE(m.update(0.4));
  CHECK(m.count() == 100);
  CHECK_FALSE(m.exceeds(0.4 + 0.0199));
  CHECK(m.exceeds(0.4 + 0.0201));
  CHECK(m.update(0.9));
  CHECK(m.count() == 0);
}

TEST_CASE("drift monitor: it says nothing before its sixth value, also after a change") {
  DriftMonitor m;
  for (int i = 0; i < 5; ++i) m.keep(0.1);
  CHECK_FALSE(m.exceeds(100));
  m.keep(0.1);
  CHECK(m.exceeds(100));
  CHECK(m.update(100));
  for (int i = 0; i < 6; ++i) CHECK_FALSE(m.update(i % 2 ? 50.0 : 1.0));
  CHECK_FALSE(m.exceeds(80));  // mean 25.5 + 2.5 · 24.5 + 0.02 = 86.77
  CHECK(m.exceeds(86.8));
}

TEST_CASE("drift monitor: the last eight values count, by their population deviation, without the new one") {
  DriftMonitor m;
  for (double v : {100.0, 100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}) m.keep(v);
  double limit = 4.5 + 2.5 * std::sqrt(5.25) + 0.02;  // of 1 … 8
  CHECK_FALSE(m.exceeds(limit - 1e-9));
  CHECK(m.exceeds(limit + 1e-9));
  CHECK(m.exceeds(NAN));
  CHECK(m.exceeds(INFINITY));
  CHECK_FALSE(m.exceeds(-INFINITY));
  DriftMonitor narrow({.recent = 2, .least = 1, .deviations = 1, .slack = 0});
  narrow.keep(1);
  CHECK(narrow.exceeds(1.1));
  narrow.keep(3);
  narrow.keep(5);  // 3 and 5 are left: 4 + 1
  CHECK_FALSE(narrow.exceeds(5));
  CHECK(narrow.exceeds(5.001));
}

TEST_CASE("drift monitor: options out of range are named") {
  CHECK_THROWS_WITH_AS(DriftMonitor({.recent = 0}), "drift monitor: recent must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(DriftMonitor({.least = 0}), "drift monitor: least must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(DriftMonitor({.deviations = -1}), "drift monitor: deviations must be finite and not negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(DriftMonitor({.slack = INFINITY}), "drift monitor: slack must be finite and not negative, it is inf", ValueError);
}
