// The video perceptron: its image network at the start, frames that hear of each other, and conditions.
#include <doctest/doctest.h>

#include "models/diffusion/video_mlp.h"
#include "models/nn/init.h"
#include "models/nn/video.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

TimeMlp image_net() { return TimeMlp({.features = 4, .hidden = {8, 6}}); }

void stir(nn::Module& module) {
  for (Tensor p : module.parameters()) nn::init::normal(p, 0, 0.4);
}

}  // namespace

TEST_CASE("video: frames and back, and what holds no whole videos") {
  Tensor x = test::sample({2, 3, 4, 5, 6}, 1);
  CHECK(nn::as_frames(x).shape() == Shape{8, 3, 5, 6});
  CHECK(test::same_bits(select(nn::as_frames(x), 0, 5), select(select(x, 0, 1), 1, 1)));  // frame 1 of video 1
  CHECK(test::same_bits(nn::as_videos(nn::as_frames(x), 4), x));
  CHECK_THROWS_WITH_AS(nn::as_videos(zeros({6, 1, 2, 2}), 4), "as_videos: [6, 1, 2, 2] does not hold whole videos of 4 frames", ShapeError);
  CHECK_THROWS_AS(nn::as_frames(zeros({2, 3, 4, 5})), ShapeError);
}

TEST_CASE("video_mlp: at the start every frame is the image network's, bit for bit, also with classes and a first frame") {
  manual_seed(1);
  TimeMlp net = image_net();
  VideoMlp video(net, {.motion_width = 4, .classes = 3, .first_frame = true});
  Tensor x = randn({3, 1, 5, 2, 2}), noise = randn({3});
  Tensor y = video(x, noise, {.labels = tensor({0, 2, -1}), .first_frame = randn({3, 1, 2, 2})});
  CHECK(test::same_bits(nn::as_frames(y), net(nn::as_frames(x), repeat_interleave(noise, 5, 0))));
  CHECK(video(randn({1, 1, 1, 2, 2}), randn({1})).shape() == Shape{1, 1, 1, 2, 2});
}

TEST_CASE("video_mlp: trained layers mix the frames of a video alone; without positions their order does not matter") {
  manual_seed(2);
  VideoMlp video(image_net(), {.motion_width = 4, .positions = false}), ordered(image_net(), {.motion_width = 4});
  for (VideoMlp* v : {&video, &ordered}) {
    v->to(f64);
    stir(*v);
  }
  Tensor x = randn({2, 1, 3, 2, 2}, {.dtype = f64}), noise = randn({2}, {.dtype = f64}), order = tensor({2, 0, 1});
  Tensor y = video(x, noise);
  CHECK(test::difference(video(index_select(x, 2, order), noise), index_select(y, 2, order)) < 1e-12);
  CHECK(test::difference(ordered(index_select(x, 2, order), noise), index_select(ordered(x, noise), 2, order)) > 1e-6);
  Tensor changed = clone(x), place = select(select(changed, 0, 0), 1, 1);
  add_(place, 1);
  Tensor z = video(changed, noise);
  CHECK(test::difference(narrow(narrow(z, 0, 0, 1), 2, 0, 1), narrow(narrow(y, 0, 0, 1), 2, 0, 1)) > 1e-6);
  CHECK(test::same_bits(narrow(z, 0, 1, 1), narrow(y, 0, 1, 1)));
}

TEST_CASE("video_mlp: conditions count once trained, none is a class of its own, and derivatives agree with differences") {
  manual_seed(3);
  VideoMlp video(image_net(), {.motion_width = 4, .heads = 2, .classes = 3, .first_frame = true});
  video.to(f64);
  stir(video);
  Tensor x = randn({2, 1, 3, 2, 2}, {.dtype = f64}), noise = randn({2}, {.dtype = f64}), first = randn({2, 1, 2, 2}, {.dtype = f64});
  Tensor plain = video(x, noise);
  CHECK(test::same_bits(plain, video(x, noise, {.labels = tensor({-1, -1})})));
  CHECK(test::difference(plain, video(x, noise, {.labels = tensor({1, 1})})) > 1e-6);
  CHECK(test::difference(plain, video(x, noise, {.first_frame = first})) > 1e-6);
  plumb_test::check_module_gradients(
      video, {x, first},
      [&] {
        return video(x, noise, {.labels = tensor({1, 0}), .first_frame = first});
      },
      3);
  VideoMlp copy = video;
  CHECK(test::same_bits(copy(x, noise), plain));
  size_t all = video.motion_parameters().size() + video.first_frame_parameters().size() + video.image.parameters().size();
  CHECK(all == video.parameters().size());
}

TEST_CASE("video_mlp: inputs that it does not know are named") {
  VideoMlp video(image_net(), {.motion_width = 4, .max_frames = 2});
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 3, 2, 2}), zeros({1})), "video_mlp: 3 frames are more than max_frames 2", ShapeError);
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 2, 2}), zeros({1})), "video_mlp: takes videos [B, C, F, H, W], got [1, 1, 2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 2, 2, 2}), zeros({1}), {.labels = tensor({0})}),
                       "video_mlp: labels are given, but the network has no classes", ValueError);
  CHECK_THROWS_WITH_AS(video(zeros({1, 1, 2, 2, 2}), zeros({1}), {.first_frame = zeros({1, 1, 2, 2})}),
                       "video_mlp: a first frame is given, but the network takes none", ValueError);
  CHECK_THROWS_WITH_AS(VideoMlp(image_net(), {.motion_width = 5, .heads = 2}), "video_mlp: heads 2 do not divide the motion width 5",
                       ValueError);
}
