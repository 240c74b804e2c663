// Heat maps and the pose net: values by hand, decoding, the share of correct keypoints, names, derivatives, learning.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/shapes.h"
#include "models/optim/adam.h"
#include "models/pose/heat_maps.h"
#include "models/pose/pose_net.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::pose;
using namespace plumb_test;

TEST_CASE("heat maps: a bell about each keypoint that is there") {
  Tensor keypoints = tensor({{{10.0, 6.0, 2.0}, {3.0, 3.0, 0.0}, {-1.0, 5.0, 1.0}}});
  HeatMaps h = heat_maps(keypoints, 4, 6, 4, 1.5);
  REQUIRE(h.maps.shape() == Shape{1, 3, 4, 6});
  CHECK(to_vector(h.weight) == std::vector<double>{1, 0, 0});
  for (int r = 0; r < 4; ++r)
    for (int c = 0; c < 6; ++c) {
      double dx = (c + 0.5) - 10.0 / 4, dy = (r + 0.5) - 6.0 / 4;
      CHECK(to_vector(h.maps)[static_cast<size_t>(r * 6 + c)] ==
            doctest::Approx(std::exp(-(dx * dx + dy * dy) / (2 * 2.25))).epsilon(1e-6));
    }
  CHECK_THROWS_WITH_AS(heat_maps(zeros({2, 3}), 4, 4, 1, 1), "heat_maps: keypoints are to be [B, K, 3], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(heat_maps(keypoints, 4, 4, 1, 0), "heat_maps: maps of 4×4, stride 1 and sigma 0 must be positive",
                       ValueError);
}

TEST_CASE("heat maps: the loss counts maps of keypoints that are there alone") {
  Tensor keypoints = tensor({{{2.0, 2.0, 1.0}, {1.0, 1.0, 0.0}}});
  HeatMaps h = heat_maps(keypoints, 3, 3, 1, 1);
  Tensor off = h.maps + tensor({{{{0.5}}, {{7.0}}}});
  CHECK(heat_map_loss(off, h).item() == doctest::Approx(0.25));
  HeatMaps none = heat_maps(tensor({{{2.0, 2.0, 0.0}}}), 3, 3, 1, 1);
  CHECK(heat_map_loss(none.maps + 1, none).item() == 0);
  CHECK_THROWS_WITH_AS(heat_map_loss(zeros({1, 2, 3, 4}), h),
                       "heat_map_loss: prediction [1, 2, 3, 4] and target [1, 2, 3, 3] differ, or are not [B, K, H, W]", ShapeError);
}

TEST_CASE("heat maps: decoding finds keypoints to a quarter of a place, and halves at the border") {
  std::vector<float> v;
  Generator g(1);
  for (int i = 0; i < 40; ++i)
    v.push_back(static_cast<float>(8 + 48 * g.next_double())), v.push_back(static_cast<float>(8 + 48 * g.next_double())), v.push_back(1);
  Tensor keypoints = from_vector(v, {4, 10, 3});
  Keypoints found = decode_heat_maps(heat_maps(keypoints, 16, 16, 4, 2).maps, 4);
  auto p = to_vector(found.places);
  for (size_t i = 0; i < 40; ++i)
    for (size_t e = 0; e < 2; ++e) CHECK(std::abs(p[2 * i + e] - v[3 * i + e]) <= 1.001);  // a quarter of 4 pixels
  Tensor map = tensor({{{{0.0, 0.0, 0.1}, {0.5, 0.9, 0.3}, {0.0, 0.2, 0.0}}}});
  CHECK(to_vector(decode_heat_maps(map, 2).places) == std::vector<double>{2.5, 3.5});  // left of the middle, and below it
  CHECK(decode_heat_maps(map, 2).scores.item() == doctest::Approx(0.9));
  CHECK(to_vector(decode_heat_maps(tensor({{{{0.9, 0.5}, {0.0, 0.0}}}}), 2).places) == std::vector<double>{1, 1});
}

TEST_CASE("heat maps: correct keypoints are those near enough for the object's size") {
  Tensor truth = tensor({{{10.0, 10.0, 2.0}, {20.0, 20.0, 1.0}, {0.0, 0.0, 0.0}}, {{5.0, 5.0, 2.0}, {9.0, 9.0, 0.0}, {0.0, 0.0, 0.0}}});
  Tensor places = tensor({{{13.0, 14.0}, {20.0, 21.0}, {50.0, 50.0}}, {{5.0, 8.0}, {9.0, 9.0}, {1.0, 1.0}}});
  CorrectKeypoints c = correct_keypoints(places, truth, tensor({10.0, 20.0}), 0.2);  // within 2 and within 4: distances 5, 1 and 3
  CHECK(c.share == doctest::Approx(2.0 / 3));
  CHECK(c.keypoints[0] == 0.5);
  CHECK(c.keypoints[1] == 1);
  CHECK(std::isnan(c.keypoints[2]));
  CHECK_THROWS_AS(correct_keypoints(places, truth, tensor({1.0}), 0.2), ShapeError);
}

TEST_CASE("pose net: names, sizes, derivatives, settings") {
  manual_seed(1);
  PoseConfig config{.channels = 1, .keypoints = 2, .width = 2, .blocks = {1, 1}, .enlargements = 1, .enlarged_width = 3};
  CHECK(config.stride() == 4);
  CHECK(PoseConfig{.blocks = {3, 4, 6, 3}, .enlargements = 3}.stride() == 4);
  PoseNet model(config);
  StateDict s = model.state();
  for (const char* name : {"conv1.weight", "bn1.running_mean", "layer2.0.downsample.0.weight", "deconv_layers.0.weight",
                           "deconv_layers.1.bias", "final_layer.bias"})
    CHECK_MESSAGE(s.contains(name), name);
  CHECK_FALSE(s.contains("fc.weight"));
  CHECK(PoseConfig::from_json(config.to_json()).to_json() == config.to_json());
  model.to(f64);
  for (auto& [name, p] : model.named_parameters()) {
    Tensor parameter = p.detach();
    copy_data(test::sample(p.shape(), 3, f64, -0.7, 0.7), parameter);
  }
  Tensor x = test::sample({2, 1, 16, 16}, 2);
  CHECK(model(x).shape() == Shape{2, 2, 4, 4});
  check_module_gradients(
      model, {x}, [&] { return model(x); }, 2);
  PoseNet copy = model, other(config);
  other.to(f64);
  check_state_round_trip<PoseNet>(model, other, [&](const PoseNet& m) { return m(x); });
  copy.eval();
  CHECK(copy(x).shape() == Shape{2, 2, 4, 4});
  config.enlargements = 4;
  CHECK_THROWS_WITH_AS(PoseNet{config}, "pose: enlargements must lie between 0 and the halvings, 3, it is 4", ConfigError);
  CHECK_THROWS_WITH_AS(model(zeros({1, 3, 16, 16}, f64)), "resnet: takes images [B, 1, H, W], got [1, 3, 16, 16]", ShapeError);
}

TEST_CASE("pose net: learns where the corners of shapes are") {
  constexpr int64_t kImages = 32;
  data::Batch batch = data::shapes(kImages, {.size = 32,
                                             .channels = 1,
                                             .min_shapes = 1,
                                             .max_shapes = 1,
                                             .min_radius = 0.25,
                                             .max_radius = 0.35,
                                             .rotate = false,
                                             .plain_background = true,
                                             .seed = 3})
                          .batch(kImages)
                          .next();
  Tensor keypoints = select(batch["keypoints"], 1, 0), size = full({kImages}, 32.0);
  manual_seed(4);
  PoseNet model({.channels = 1, .width = 16, .blocks = {1, 1}, .enlargements = 1, .enlarged_width = 16});
  HeatMaps target = heat_maps(keypoints, 8, 8, model.config().stride(), 1);
  auto share = [&] { return correct_keypoints(decode_heat_maps(model(batch.image), 4).places, keypoints, size, 0.1).share; };
  double before = share();
  optim::AdamW adamw(model.parameters(), {.lr = 5e-3});
  for (int step = 0; step < 80; ++step) {
    adamw.zero_grad();
    heat_map_loss(model(batch.image), target).backward();
    adamw.step();
  }
  CHECK(share() > 0.9);
  CHECK(before < 0.5);
}
