// Windowed heat maps: values, weights, the loss by hand, three ways of reading, and similarity of keypoints.
#include "models/pose/joint_maps.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/shape.h"

using namespace plumb;
using namespace plumb::pose;

namespace {

double at(const Tensor& maps, int64_t joint, int64_t y, int64_t x) {
  return select(select(select(select(maps, 0, 0), 0, joint), 0, y), 0, x).item();
}

// A map with a Gaussian of deviation 2 about (x, y).
Tensor bump(double x, double y, int64_t size = 24) {
  std::vector<float> v;
  for (int64_t r = 0; r < size; ++r)
    for (int64_t c = 0; c < size; ++c)
      v.push_back(static_cast<float>(std::exp(-(std::pow(static_cast<double>(c) - x, 2) + std::pow(static_cast<double>(r) - y, 2)) / 8)));
  return from_vector(v, {1, 1, size, size});
}

}  // namespace

TEST_CASE("joint maps: a Gaussian window about the nearest whole place") {
  HeatMaps m = joint_maps(tensor({{{33.0, 25.0, 1.0}, {-20.0, 8.0, 1.0}, {10.0, 10.0, 0.0}, {-100.0, 8.0, 1.0}}}), 20, 30, 4, 2);
  CHECK(m.maps.shape() == Shape{1, 4, 20, 30});
  CHECK(at(m.maps, 0, 6, 8) == 1);  // ⌊33/4 + ½⌋ = 8, ⌊25/4 + ½⌋ = 6
  CHECK(at(m.maps, 0, 6, 9) == doctest::Approx(.882497).epsilon(5e-6));
  CHECK(at(m.maps, 0, 9, 10) == doctest::Approx(.196912).epsilon(5e-6));
  CHECK(at(m.maps, 0, 12, 8) == doctest::Approx(std::exp(-4.5)).epsilon(5e-6));  // at 3σ
  CHECK(at(m.maps, 0, 13, 8) == 0);
  CHECK(at(m.maps, 0, 6, 15) == 0);
  CHECK(at(m.maps, 1, 2, 1) == doctest::Approx(std::exp(-4.5)).epsilon(5e-6));  // about (−5, 2), outside, but its window meets the map
  CHECK(to_vector(m.weight) == std::vector<double>{1, 1, 0, 0});
  for (int64_t y = 0; y < 20; ++y)
    for (int64_t x = 0; x < 30; ++x) CHECK(at(m.maps, 2, y, x) + at(m.maps, 3, y, x) == 0);
  CHECK_THROWS_WITH_AS(joint_maps(zeros({1, 2, 2}), 4, 4, 4, 2), "joint_maps: joints are to be [B, J, 3], got [1, 2, 2]", ShapeError);
}

TEST_CASE("joint maps: worked example A of the loss") {
  Tensor pred = tensor({{{{.1, .8}, {.2, 0.0}}, {{.5, .1}, {0.0, .3}}}}, f64),
         target = tensor({{{{0.0, 1.0}, {.1, 0.0}}, {{.6, .2}, {0.0, .1}}}}, f64);
  CHECK(joint_map_mse(pred, target).item() == doctest::Approx(.0075).epsilon(1e-12));
  CHECK(joint_map_mse(pred, target, tensor({{1.0, 0.0}}, f64)).item() == doctest::Approx(.00375).epsilon(1e-12));
  CHECK(joint_map_mse(narrow(pred, 1, 0, 1), narrow(target, 1, 0, 1)).item() == doctest::Approx(.0075).epsilon(1e-12));
  CHECK(joint_map_mse(narrow(pred, 1, 1, 1), narrow(target, 1, 1, 1)).item() == doctest::Approx(.0075).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(
      joint_map_mse(pred, target, ones({1, 3})),
      "joint_map_mse: prediction [1, 2, 2, 2], target [1, 2, 2, 2] and weight [1, 3] do not fit [B, J, H, W], the same and [B, J]",
      ShapeError);
  CHECK_THROWS_WITH_AS(joint_map_mse(zeros({0, 2, 2, 2}), zeros({0, 2, 2, 2})),
                       "joint_map_mse: there are no maps, the prediction is [0, 2, 2, 2]", ValueError);
}

TEST_CASE("joint maps: read plainly, shifted by a quarter, and by a Newton step") {
  Tensor map = bump(10.3, 7.8);
  auto read = [&](JointReading how) { return to_vector(read_joints(map, 4, how).places); };
  CHECK(read(JointReading::plain) == std::vector<double>{40, 32});
  CHECK(read(JointReading::shift) == std::vector<double>{41, 31});
  auto dark = read(JointReading::dark);  // the logarithm of a blurred Gaussian is a parabola
  CHECK(dark[0] == doctest::Approx(41.2).epsilon(0.002));
  CHECK(dark[1] == doctest::Approx(31.2).epsilon(0.002));
  CHECK(to_vector(read_joints(map, 4).scores)[0] == doctest::Approx(std::exp(-(.09 + .04) / 8)).epsilon(1e-5));
  for (JointReading how : {JointReading::shift, JointReading::dark})
    CHECK(to_vector(read_joints(bump(0.3, 1.2), 1, how).places) == std::vector<double>{0, 1});
  CHECK(to_vector(read_joints(bump(8, 9), 1, JointReading::shift).places) == std::vector<double>{8, 9});  // equal neighbours: no shift
  CHECK_THROWS_WITH_AS(read_joints(zeros({1, 4, 4}), 4), "read_joints: takes maps [B, J, H, W], got [1, 4, 4]", ShapeError);
}

TEST_CASE("joint maps: worked example C of the similarity, its mean over joints that are there, and AP") {
  Tensor truth = tensor({{{10.0, 10.0, 1.0}, {5.0, 5.0, 1.0}, {1.0, 1.0, 0.0}}}, f64);
  Tensor near = tensor({{{10.0, 13.0}, {5.0, 5.0}, {90.0, 90.0}}}, f64);
  auto oks = object_keypoint_similarity(near, truth, {900}, {.158, .158, .158});
  CHECK(oks[0] == doctest::Approx((.818495 + 1) / 2).epsilon(5e-6));
  CHECK(std::isnan(object_keypoint_similarity(near, zeros({1, 3, 3}, f64), {900}, {1, 1, 1})[0]));
  CHECK_THROWS_WITH_AS(object_keypoint_similarity(near, truth, {0}, {1, 1, 1}),
                       "object_keypoint_similarity: areas and constants must be positive, one is 0", ValueError);
  // All right: 1. One of two right at every threshold: the right one first gives recalls up to a half at precision 1; last, precision a
  // half.
  CHECK(oks_average_precision({1, 1, 1}, {.3, .2, .1}) == doctest::Approx(1));
  CHECK(oks_average_precision({1, 0}, {.9, .1}) == doctest::Approx(51.0 / 101));
  CHECK(oks_average_precision({1, 0}, {.1, .9}) == doctest::Approx(51.0 / 202));
  CHECK(oks_average_precision({.72, NAN}, {.1, .9}) == doctest::Approx(.5));  // right at 0.50 … 0.70
  CHECK(std::isnan(oks_average_precision({}, {})));
}
