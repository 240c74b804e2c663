// Made-up heartbeats: how they are nested, what a recording shares, and that the classes differ where they should.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/data/heartbeats.h"

using namespace plumb;

TEST_CASE("heartbeats: windows within recordings within patients, recordings standardised") {
  data::Heartbeats h = data::heartbeats({.patients = 3, .trials = 2, .windows = 4, .length = 50, .seed = 1});
  CHECK(h.series.shape() == Shape{24, 50, 1});
  CHECK(to_vector<int64_t>(h.labels)[7] == 0);
  CHECK(to_vector<int64_t>(h.labels)[8] == 1);
  CHECK(to_vector<int64_t>(h.patients)[23] == 2);
  CHECK(to_vector<int64_t>(h.trials)[4] == 1);
  CHECK(to_vector<int64_t>(h.trials)[23] == 5);
  std::vector<double> y = to_vector(h.series);
  for (int trial = 0; trial < 6; ++trial) {
    double mean = 0, squares = 0;
    for (int t = 0; t < 200; ++t) mean += y[static_cast<size_t>(200 * trial + t)] / 200;
    for (int t = 0; t < 200; ++t) squares += std::pow(y[static_cast<size_t>(200 * trial + t)] - mean, 2) / 200;
    CHECK(std::abs(mean) < 1e-5);
    CHECK(squares == doctest::Approx(1).epsilon(1e-4));
  }
}

TEST_CASE("heartbeats: as many beats in a window as are asked for") {
  // A beat is the one place where a recording is far above its mean: count the rises through 1.8 deviations.
  for (double beats : {1.5, 3.0}) {
    data::Heartbeats h =
        data::heartbeats({.patients = 10, .trials = 1, .windows = 20, .length = 100, .beats = beats, .effect = 0, .seed = 4});
    std::vector<double> y = to_vector(h.series);
    double rises = 0;
    for (size_t t = 1; t < y.size(); ++t) rises += y[t - 1] < 1.8 && y[t] >= 1.8;
    CHECK(rises / 200 == doctest::Approx(beats).epsilon(0.25));
  }
}

TEST_CASE("heartbeats: the seed decides, patients do not depend on how many there are, and illness does not move the well") {
  data::HeartbeatOptions o{.patients = 4, .trials = 1, .windows = 2, .length = 40, .seed = 2}, more = o, worse = o, other = o;
  more.patients = 6, worse.effect = 1, other.seed = 3;
  std::vector<double> y = to_vector(data::heartbeats(o).series), longer = to_vector(data::heartbeats(more).series),
                      ill = to_vector(data::heartbeats(worse).series);
  CHECK(y == to_vector(data::heartbeats(o).series));
  CHECK(y != to_vector(data::heartbeats(other).series));
  longer.resize(y.size());
  CHECK(y == longer);
  CHECK(std::vector<double>(y.begin(), y.begin() + 80) == std::vector<double>(ill.begin(), ill.begin() + 80));
  CHECK(std::vector<double>(y.begin() + 80, y.begin() + 160) != std::vector<double>(ill.begin() + 80, ill.begin() + 160));
  CHECK_THROWS_AS(data::heartbeats({.patients = 0}), ValueError);
  CHECK_THROWS_AS(data::heartbeats({.length = 4}), ValueError);
  CHECK_THROWS_WITH_AS(data::heartbeats({.beats = 0}),
                       "heartbeats: needs patients, trials, windows and beats, and a length of 8 or more; they are 20, 4, 8, 0 and 128",
                       ValueError);
}
