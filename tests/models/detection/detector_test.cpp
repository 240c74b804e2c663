// The pyramid, the box decoder and the detector: plain loops, names, derivatives, independence of the batch, learning.
#include "models/detection/detector.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/data/shapes.h"
#include "models/detection/average_precision.h"
#include "models/detection/boxes.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "ops/conv.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/vision.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::detection;
using namespace plumb_test;

namespace {

BoxDecoderOptions small(bool timed) {
  return {.classes = 3,
          .width = 4,
          .stages = 2,
          .heads = 2,
          .inner = 6,
          .dynamic = 3,
          .timed = timed,
          .roi = {.size = 2, .sampling = 1, .cells = 2}};
}

// Random numbers everywhere: norms and biases too.
template <typename M>
void stir(M& model, uint64_t seed) {
  model.to(f64);
  for (auto& [name, p] : model.named_parameters()) {
    Tensor parameter = p.detach();
    copy_data(test::sample(p.shape(), seed++, f64, -0.5, 0.5), parameter);
  }
}

using Row = std::vector<double>;

struct Loops {
  StateDict state;
  std::string at;  // "head_series.0."

  Row linear(const std::string& name, const Row& x) const {
    const Tensor& w = state.at(name + ".weight");
    Row y(static_cast<size_t>(w.size(0)));
    for (size_t o = 0; o < y.size(); ++o) {
      if (state.contains(name + ".bias")) y[o] = state.at(name + ".bias").data<double>()[o];
      for (size_t i = 0; i < x.size(); ++i) y[o] += w.data<double>()[o * x.size() + i] * x[i];
    }
    return y;
  }
  Row norm(const std::string& name, Row x) const {
    double mean = 0, variance = 0, n = static_cast<double>(x.size());
    for (double v : x) mean += v / n;
    for (double v : x) variance += (v - mean) * (v - mean) / n;
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * state.at(name + ".weight").data<double>()[i] +
             state.at(name + ".bias").data<double>()[i];
    return x;
  }
  static Row positive(Row x) {
    for (double& v : x) v = std::max(v, 0.0);
    return x;
  }
  static Row sum(Row a, const Row& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }
  std::vector<Row> attended(const std::vector<Row>& x) const {
    std::vector<Row> q, k, v, y(x.size(), Row(4));
    for (const Row& row : x)
      q.push_back(linear(at + "self_attn.query", row)), k.push_back(linear(at + "self_attn.key", row)),
          v.push_back(linear(at + "self_attn.value", row));
    for (size_t h = 0; h < 2; ++h)
      for (size_t i = 0; i < x.size(); ++i) {
        Row weight;
        double total = 0;
        for (size_t j = 0; j < x.size(); ++j) {
          weight.push_back(std::exp((q[i][2 * h] * k[j][2 * h] + q[i][2 * h + 1] * k[j][2 * h + 1]) / std::sqrt(2.0)));
          total += weight.back();
        }
        for (size_t j = 0; j < x.size(); ++j)
          for (size_t d = 0; d < 2; ++d) y[i][2 * h + d] += weight[j] / total * v[j][2 * h + d];
      }
    for (Row& row : y) row = linear(at + "self_attn.out", row);
    return y;
  }
  Row dynamic(const Row& known, const std::vector<Row>& bins) const {
    Row made = linear(at + "inst_interact.dynamic_layer", known), all;
    for (const Row& bin : bins) {
      Row inner(3), outer(4);
      for (size_t o = 0; o < 3; ++o)
        for (size_t i = 0; i < 4; ++i) inner[o] += bin[i] * made[i * 3 + o];
      inner = positive(norm(at + "inst_interact.norm1", inner));
      for (size_t o = 0; o < 4; ++o)
        for (size_t i = 0; i < 3; ++i) outer[o] += inner[i] * made[12 + i * 4 + o];
      outer = positive(norm(at + "inst_interact.norm2", outer));
      all.insert(all.end(), outer.begin(), outer.end());
    }
    return positive(norm(at + "inst_interact.norm3", linear(at + "inst_interact.out_layer", all)));
  }
  // What the stage knows in the end, its logits and its boxes, for one image.
  void stage(std::vector<Row>& known, const std::vector<std::vector<Row>>& bins, const Row& time, std::vector<Row>& logits,
             std::vector<Row>& boxes) const {
    std::vector<Row> mixed = attended(known);
    for (size_t i = 0; i < known.size(); ++i) {
      Row x = norm(at + "norm1", sum(known[i], mixed[i]));
      x = norm(at + "norm2", sum(x, dynamic(x, bins[i])));
      x = norm(at + "norm3", sum(x, linear(at + "linear2", positive(linear(at + "linear1", x)))));
      known[i] = x;
      if (!time.empty())
        for (size_t d = 0; d < 4; ++d) x[d] = x[d] * (1 + time[d]) + time[4 + d];
      logits.push_back(linear(at + "class_logits", positive(norm(at + "cls_module.1", linear(at + "cls_module.0", x)))));
      for (const char* layer : {"0", "3"})
        x = positive(norm(at + "reg_module." + std::to_string(std::stoi(layer) + 1), linear(at + "reg_module." + layer, x)));
      Row d = linear(at + "bboxes_delta", x), &b = boxes[i];
      double cx = (b[0] + b[2]) / 2 + d[0] / 2 * (b[2] - b[0]), cy = (b[1] + b[3]) / 2 + d[1] / 2 * (b[3] - b[1]),
             w = (b[2] - b[0]) * std::exp(d[2]), h = (b[3] - b[1]) * std::exp(d[3]);
      b = {cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2};
    }
  }
};

std::vector<Row> rows(const Tensor& x) {
  std::vector<Row> out;
  for (int64_t i = 0; i < x.size(0); ++i) out.push_back(to_vector(select(x, 0, i)));
  return out;
}

}  // namespace

TEST_CASE("feature pyramid: every level adds what the coarser ones know") {
  manual_seed(1);
  FeaturePyramid fpn({2, 3}, 4);
  fpn.to(f64);
  Tensor fine = test::sample({1, 2, 5, 6}, 1), coarse = test::sample({1, 3, 3, 3}, 2);
  std::vector<Tensor> out = fpn({fine, coarse});
  StateDict s = fpn.state();
  auto conv = [&](const std::string& name, const Tensor& x) {
    const Tensor& w = s.at(name + ".weight");
    return conv2d(x, w, s.at(name + ".bias"), {.padding = w.size(2) / 2});
  };
  Tensor above = conv("inner_blocks.1", coarse), here = clone(conv("inner_blocks.0", fine));
  for (int64_t c = 0; c < 4; ++c)
    for (int64_t y = 0; y < 5; ++y)
      for (int64_t x = 0; x < 6; ++x) here.data<double>()[(c * 5 + y) * 6 + x] += above.data<double>()[(c * 3 + y * 3 / 5) * 3 + x * 3 / 6];
  CHECK(largest_difference(out[0], conv("layer_blocks.0", here)) < 1e-12);
  CHECK(largest_difference(out[1], conv("layer_blocks.1", above)) < 1e-12);
  check_module_gradients(fpn, {fine, coarse}, [&] {
    std::vector<Tensor> maps = fpn({fine, coarse});
    return cat({flatten(maps[0]), flatten(maps[1])});
  });
  CHECK_THROWS_WITH_AS(fpn({fine}), "feature_pyramid: takes 2 maps, got 1", ShapeError);
}

TEST_CASE("box decoder: agrees with plain loops, with and without a time, from the bins' mean or from a given state") {
  std::vector<Tensor> levels{test::sample({1, 4, 6, 6}, 1), test::sample({1, 4, 3, 3}, 2)};
  Tensor boxes = from_vector(Row{2, 3, 14, 9, 1, 1, 22, 20, 8, 8, 11, 13}, {1, 3, 4});
  for (bool timed : {true, false}) {
    BoxDecoder decoder(small(timed));
    stir(decoder, 3);
    Tensor known = timed ? Tensor{} : test::sample({1, 3, 4}, 70);
    std::vector<Prediction> predictions = decoder(levels, {4, 8}, boxes, timed ? tensor({7}) : Tensor{}, known);
    REQUIRE(predictions.size() == 2);
    Loops loops{decoder.state(), ""};
    Row hidden;
    if (timed) {
      Row wave{std::sin(7.0), std::sin(7.0 / 100), std::cos(7.0), std::cos(7.0 / 100)};  // 10000^(−1/2)
      hidden = loops.linear("time_mlp.1", wave);
      for (double& v : hidden) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
      hidden = loops.linear("time_mlp.3", hidden);
      for (double& v : hidden) v /= 1 + std::exp(-v);
    }
    std::vector<Row> at = rows(select(boxes, 0, 0)), state;
    if (known.defined()) state = rows(select(known, 0, 0));
    for (size_t s = 0; s < 2; ++s) {
      Row flat;
      for (const Row& b : at) flat.insert(flat.end(), b.begin(), b.end());
      std::vector<std::vector<Row>> bins;
      for (const Tensor& box : unbind(roi_align(levels, {4, 8}, from_vector(flat, {1, 3, 4}), small(timed).roi))) bins.push_back(rows(box));
      if (state.empty())
        for (const auto& box : bins) {
          state.push_back(Row(4));
          for (const Row& bin : box)
            for (size_t d = 0; d < 4; ++d) state.back()[d] += bin[d] / 4;
        }
      loops.at = "head_series." + std::to_string(s) + ".";
      std::vector<Row> logits;
      loops.stage(state, bins, timed ? loops.linear(loops.at + "block_time_mlp.1", hidden) : Row{}, logits, at);
      for (size_t i = 0; i < 3; ++i) {
        for (size_t k = 0; k < 3; ++k) CHECK(to_vector(predictions[s].logits)[i * 3 + k] == doctest::Approx(logits[i][k]).epsilon(1e-9));
        for (size_t e = 0; e < 4; ++e) CHECK(to_vector(predictions[s].boxes)[i * 4 + e] == doctest::Approx(at[i][e]).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("box decoder: derivatives agree with differences, and do not pass from stage to stage through boxes") {
  std::vector<Tensor> levels{test::sample({1, 4, 4, 4}, 1)};
  Tensor boxes = from_vector(Row{2, 3, 14, 9, 1, 1, 12, 13}, {1, 2, 4});
  BoxDecoder one(
      {.classes = 2, .width = 4, .stages = 1, .heads = 2, .inner = 5, .dynamic = 3, .timed = true, .roi = {.size = 2, .sampling = 1}});
  stir(one, 5);
  check_module_gradients(
      one, levels,
      [&] {
        Prediction p = one(levels, {4}, boxes, tensor({3})).back();
        return cat({flatten(p.logits), flatten(p.boxes)});
      },
      2);
  BoxDecoder two(small(false));
  stir(two, 6);
  sum(two({test::sample({1, 4, 4, 4}, 1)}, {4}, boxes)[1].boxes).backward();
  for (auto& [name, p] : two.named_parameters())
    if (name == "head_series.0.bboxes_delta.weight") CHECK((!p.grad().defined() || largest(p.grad()) == 0));
}

TEST_CASE("box decoder and detector: names, starts and errors") {
  BoxDecoder decoder(small(true));
  StateDict s = decoder.state();
  for (const char* name :
       {"time_mlp.1.weight", "time_mlp.3.bias", "head_series.1.block_time_mlp.1.weight", "head_series.0.inst_interact.dynamic_layer.weight",
        "head_series.0.reg_module.3.weight", "head_series.0.bboxes_delta.bias"})
    CHECK_MESSAGE(s.contains(name), name);
  CHECK(to_vector(s.at("head_series.0.class_logits.bias"))[0] == doctest::Approx(-4.59512));
  std::vector<Tensor> levels{zeros({1, 4, 4, 4})};
  CHECK_THROWS_WITH_AS(decoder(levels, {4}, zeros({1, 2, 4})), "box_decoder: is to be told a time", ValueError);
  CHECK_THROWS_WITH_AS(decoder(levels, {4}, zeros({2, 4}), tensor({1})), "box_decoder: boxes are to be [B, P, 4], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(BoxDecoder({.stages = 0}), "box_decoder: stages must be at least 1, it is 0", ValueError);

  manual_seed(1);
  DetectorConfig config{.small_images = false,
                        .backbone_width = 8,
                        .blocks = {1, 1},
                        .first_level = 0,
                        .width = 8,
                        .proposals = 5,
                        .stages = 1,
                        .heads = 2,
                        .start = "noise"};
  Detector noise(config);
  CHECK(noise.state().contains("backbone.layer2.0.downsample.0.weight"));
  CHECK_FALSE(noise.state().contains("backbone.fc.weight"));
  CHECK(noise.state().contains("fpn.inner_blocks.1.weight"));
  config.start = "learned";
  auto grid = to_vector(Detector(config).state().at("proposal_boxes"));  // five boxes: two rows of three
  CHECK(grid[0] == doctest::Approx(1.0 / 6));
  CHECK(grid[1] == 0.25);
  CHECK(grid[2] == 0.5);
  CHECK(grid[4 * 3 + 1] == 0.75);
  CHECK(DetectorConfig::from_json(config.to_json()).to_json() == config.to_json());
  CHECK_THROWS_WITH_AS(noise(zeros({1, 3, 16, 16})), "detector: boxes and a time are to be given", ValueError);
  CHECK_THROWS_WITH_AS(noise.detect(zeros({1, 1, 16, 16})), "detector: takes images [B, 3, H, W], got [1, 1, 16, 16]", ShapeError);
  CHECK_THROWS_WITH_AS(noise.detect(zeros({1, 3, 16, 16}), {.steps = 0}), "detect: needs at least one step, not 0", ValueError);
  config.start = "random";
  CHECK_THROWS_WITH_AS(Detector{config}, "detector: --start \"random\" is unknown; choose noise or learned", ConfigError);
  config = {.backbone_width = 10};
  CHECK_THROWS_WITH_AS(Detector{config}, "detector: --backbone-width 10 is not a multiple of the groups of its norm, 4", ConfigError);
  config = {.blocks = {1, 1}};
  CHECK_THROWS_WITH_AS(Detector{config}, "detector: --first-level must be one of the 2 stages, it is 2", ConfigError);
}

TEST_CASE("detector: what is found in an image does not depend on its batch; state and copies survive") {
  manual_seed(2);
  DetectorConfig config{
      .small_images = false, .backbone_width = 8, .blocks = {1, 1}, .first_level = 0, .width = 16, .proposals = 6, .stages = 2, .heads = 2};
  Tensor images = rand({3, 3, 32, 32});
  for (const char* start : {"noise", "learned"}) {
    config.start = start;
    Detector a(config), b(config);
    b.load_state(a.state());
    Detector copy = a;
    for (int64_t steps : {1, 3}) {
      DetectOptions options{.steps = steps, .overlap = 1, .most = 10, .seed = 4};
      std::vector<Found> all = a.detect(images, options), last = b.detect(narrow(images, 0, 2, 1), options),
                         again = copy.detect(images, options);
      REQUIRE(all.size() == 3);
      CHECK(largest_difference(all[2].boxes, last[0].boxes) < 1e-3);  // pixels
      CHECK(test::same_bits(all[1].scores, again[1].scores));
      auto scores = to_vector(all[0].scores);
      CHECK(scores.size() == 10);
      CHECK(std::is_sorted(scores.rbegin(), scores.rend()));
      for (double e : to_vector(all[0].boxes)) CHECK((e >= 0 && e <= 32));
    }
  }
}

TEST_CASE("detector: blocks that run again for their gradient give the same gradient") {
  manual_seed(3);
  Detector model({.backbone_width = 8, .blocks = {1, 2}, .first_level = 1, .width = 16, .proposals = 4, .stages = 1, .heads = 2});
  Tensor images = rand({2, 3, 32, 32});
  Objects truth{tensor({{{4.0, 4.0, 12.0, 14.0}}, {{8.0, 2.0, 20.0, 18.0}}}), tensor({{1}, {3}})};
  std::vector<Tensor> gradients[2];
  for (int again : {0, 1}) {
    model.recompute(again == 1);
    model.zero_grad();
    model.loss(images, truth).total.backward();
    for (const Tensor& p : model.parameters()) gradients[again].push_back(p.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) CHECK(test::same_bits(gradients[0][i], gradients[1][i]));
}

TEST_CASE("detector: from learned boxes it soon finds shapes, and from noise it learns to find them again") {
  constexpr int64_t kImages = 16;
  data::Dataset shapes = data::shapes(
      kImages, {.size = 32, .min_shapes = 1, .max_shapes = 2, .min_radius = 0.15, .max_radius = 0.25, .plain_background = true, .seed = 5});
  data::DataLoader loader = shapes.batch(kImages, {.pad = {{"boxes", 0}, {"classes", -1}, {"masks", 0}, {"keypoints", 0}}});
  data::Batch batch = loader.next();
  Objects truth{batch["boxes"], where(batch["classes"] >= 0, 0, batch["classes"])};  // where they are, not what
  for (const char* start : {"learned", "noise"}) {
    manual_seed(6);
    Detector model({.classes = 1, .width = 32, .start = start});
    optim::AdamW adamw(model.parameters(), {.lr = 2e-3});
    double early = 0, late = 0;
    int steps = std::string(start) == "learned" ? 150 : 60;
    for (int step = 0; step < steps; ++step) {
      adamw.zero_grad();
      DetectionLoss loss = model.loss(batch.image, truth);
      if (step < 10) early += (loss.giou + loss.l1).item();
      if (step >= steps - 10) late += (loss.giou + loss.l1).item();
      loss.total.backward();
      optim::clip_grad_norm(model.parameters(), 1);
      adamw.set_lr_scale(1 - step / static_cast<double>(steps));
      adamw.step();
    }
    CHECK_MESSAGE(late < 0.8 * early, start << ": " << early << " to " << late);
    AveragePrecision score(1);
    std::vector<Found> found = model.detect(batch.image);
    for (int64_t i = 0; i < kImages; ++i) score.add(found[static_cast<size_t>(i)], truth, i);
    if (std::string(start) == "learned") CHECK(score.result().ap50 > 0.5);
  }
}
