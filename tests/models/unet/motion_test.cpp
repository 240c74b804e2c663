// Motion: a video network that starts as its image network, and temporal attention against worked numbers.
#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/init.h"
#include "models/unet/motion.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::unet;

namespace {

UnetConfig small() {
  return {.in_channels = 1,
          .out_channels = 1,
          .width = 4,
          .multipliers = {1, 2},
          .blocks = 1,
          .attention_levels = {1},
          .groups = 2,
          .classes = 3};
}
MotionConfig motion() { return {.heads = 2, .groups = 2, .max_frames = 6}; }

template <typename Model>
void randomize(Model& model) {
  for (Tensor p : model.parameters()) nn::init::normal(p, 0, 0.3);
}
double worst(const Tensor& a, const Tensor& b) { return max(abs(a - b)).item(); }

}  // namespace

TEST_CASE("motion: attention among frames, worked") {
  TemporalAttention attention(2, {.heads = 1, .groups = 1, .positions = false});
  attention.to(f64);
  for (nn::Linear* l : {&attention.to_q, &attention.to_k, &attention.to_v, &attention.out()}) nn::init::eye(l->weight);
  nn::init::zeros(attention.out().bias);
  auto y = to_vector(attention(tensor({{{1.0, 0.0}, {0.0, 2.0}}}, f64)));
  double wanted[] = {0.669762, 0.660477, 0.055807, 1.88839};
  for (size_t i = 0; i < 4; ++i) CHECK(y[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
}

TEST_CASE("motion: positions are sines and cosines in turn") {
  auto p = to_vector(frame_positions(3, 4));
  CHECK(p[0] == 0);
  CHECK(p[1] == 1);
  CHECK(p[8] == doctest::Approx(std::sin(2.0)));
  CHECK(p[9] == doctest::Approx(std::cos(2.0)));
  CHECK(p[10] == doctest::Approx(std::sin(2 * 0.01)));
  CHECK(p[11] == doctest::Approx(std::cos(2 * 0.01)));
}

TEST_CASE("motion: at the start the video network is the image network frame by frame, bit for bit") {
  manual_seed(1);
  Unet net(small());
  randomize(net);
  VideoUnet video(net, motion());
  Tensor x = randn({2, 1, 3, 4, 4}), t = rand({2}), labels = tensor({0, 2});
  Tensor y = video(x, t, {.labels = labels});
  CHECK(y.shape() == x.shape());
  Tensor frames = flatten(transpose(x, 1, 2), 0, 1);
  Tensor each = net(frames, repeat_interleave(t, 3, 0), {.labels = repeat_interleave(labels, 3, 0)});
  CHECK(to_vector(y) == to_vector(transpose(unflatten(each, 0, {2, 3}), 1, 2)));
  CHECK(video(randn({1, 1, 1, 4, 4}), rand({1})).shape() == Shape{1, 1, 1, 4, 4});
}

TEST_CASE("motion: trained modules mix the frames of a video and no others; without positions their order does not matter") {
  manual_seed(2);
  Unet net(small());
  randomize(net);
  MotionConfig c = motion();
  c.positions = false;
  VideoUnet video(net, c);
  video.to(f64);
  randomize(video.motion);
  Tensor x = randn({2, 1, 3, 4, 4}, {.dtype = f64}), t = rand({2}, {.dtype = f64});
  Tensor y = video(x, t), order = tensor({2, 0, 1});
  CHECK(worst(index_select(y, 2, order), video(index_select(x, 2, order), t)) < 1e-10);
  Tensor changed = clone(x);
  Tensor place = select(select(changed, 0, 0), 1, 1);
  add_(place, 1);
  Tensor z = video(changed, t);
  CHECK(worst(narrow(z, 2, 0, 1), narrow(y, 2, 0, 1)) > 1e-6);              // another frame of the same video
  CHECK(worst(narrow(z, 0, 1, 1), narrow(y, 0, 1, 1)) < 1e-12);             // the other video
  MotionConfig with = motion();
  VideoUnet ordered(net, with);
  ordered.to(f64);
  randomize(ordered.motion);
  CHECK(worst(index_select(ordered(x, t), 2, order), ordered(index_select(x, 2, order), t)) > 1e-6);
}

TEST_CASE("motion: frozen image weights stay, motion is trained") {
  manual_seed(3);
  Unet net(small());
  randomize(net);
  VideoUnet video(net, motion());
  video.image.requires_grad_(false);
  sum(square(video(randn({1, 1, 2, 4, 4}), rand({1})))).backward();
  for (const Tensor& p : video.image.parameters()) CHECK(!p.grad().defined());
  bool moved = false;
  for (const Tensor& p : video.motion_parameters()) moved = moved || (p.grad().defined() && max(abs(p.grad())).item() > 0);
  CHECK(moved);
}

TEST_CASE("motion: derivatives agree with differences, state survives") {
  manual_seed(4);
  MotionModule module(4, {.heads = 2, .groups = 2, .max_frames = 4});
  module.to(f64);
  randomize(module);
  CHECK(gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{module(x[0], 3)}; }, {randn({6, 4, 2, 1}, {.dtype = f64})},
                  {.rtol = 1e-4}));
  Unet net(small());
  VideoUnet a(net, motion()), b(net, MotionConfig::from_json(motion().to_json()));
  randomize(a);
  b.load_state(a.state());
  VideoUnet copy = a;
  Tensor x = randn({1, 1, 2, 4, 4}), t = rand({1}), y = a(x, t);
  CHECK(to_vector(y) == to_vector(b(x, t)));
  CHECK(to_vector(y) == to_vector(copy(x, t)));
  CHECK(a.state().contains("motion_modules.0.transformer_blocks.0.attention_blocks.1.to_q.weight"));
  CHECK(a.state().contains("image.input_blocks.0.0.weight"));
}

TEST_CASE("motion: levels choose the places, and what does not fit is named") {
  manual_seed(5);
  Unet net(small());
  MotionConfig c = motion();
  size_t all = VideoUnet(net, c).motion.size();
  c.middle = true;
  CHECK(VideoUnet(net, c).motion.size() == all + 1);
  c = motion();
  c.levels = {1};
  CHECK(VideoUnet(net, c).motion.size() == 3);
  c = motion();
  c.heads = 8;
  CHECK_THROWS_WITH_AS(VideoUnet(net, c), "motion: heads 8 do not divide the 4 channels of level 0", ConfigError);
  VideoUnet video(net, motion());
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 7, 4, 4}), zeros({1})), "video_unet: 7 frames are more than max_frames 6", ShapeError);
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 4, 4}), zeros({1})), "video_unet: takes videos [B, C, F, H, W], got [1, 1, 4, 4]", ShapeError);
}
