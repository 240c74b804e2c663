// ConsistencyDet: worked numbers of levels, scalings, the pair, boxes, costs and matching; the loss of a pair, sampling, and the experiment
// at the smoke budget.
#include "methods/vision/consistencydet/consistencydet.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "methods/runner.h"
#include "models/detection/boxes.h"
#include "models/diffusion/noise_schedule.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::consistencydet {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::consistencydet;
using detection::Detector;
using detection::Objects;
using detection::Pairs;

namespace {

doctest::Approx about(double v, double relative = 5e-6) { return doctest::Approx(v).epsilon(relative); }

void check_close(const Tensor& x, const std::vector<double>& wanted, double relative = 5e-6) {
  auto v = to_vector(x);
  REQUIRE(v.size() == wanted.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == about(wanted[i], relative));
}

detection::DetectorConfig small(const std::string& start = "noise") {
  return {.channels = 1,
          .classes = 3,
          .backbone_width = 4,
          .blocks = {1, 1},
          .first_level = 1,
          .width = 8,
          .proposals = 6,
          .stages = 2,
          .heads = 2,
          .inner = 8,
          .dynamic = 2,
          .roi_size = 2,
          .start = start};
}

// Two objects in the first image, none in the second.
Objects two_objects() {
  return {tensor({{{4.0, 4.0, 12.0, 10.0}, {14.0, 16.0, 22.0, 30.0}}, {{0.0, 0.0, 0.0, 0.0}, {0.0, 0.0, 0.0, 0.0}}}),
          tensor({{0, 2}, {-1, -1}})};
}

}  // namespace

TEST_CASE("consistencydet: Karras' levels") {
  auto s = NoiseLevels::karras(40, 0.002, 80).sigmas;
  REQUIRE(s.size() == 40);
  CHECK(s[0] == 80);
  CHECK(s[1] == about(69.4509));
  CHECK(s[20] == about(2.24044));
  CHECK(s[38] == about(0.00367659));
  CHECK(s[39] == 0.002);
  auto four = NoiseLevels::karras(4, 0.002, 80).sigmas;
  CHECK(four[1] == about(9.72320));
  CHECK(four[2] == about(0.469979));
  CHECK(sampling_sigmas(NoiseLevels::karras(), 1) == std::vector<double>{40, 0});
  auto two = sampling_sigmas(NoiseLevels::karras(), 2);
  CHECK(two == std::vector<double>{40, 0.002, 0});
  CHECK(sampling_sigmas(NoiseLevels::karras(40, 0.002, 80), 4)[1] == about(9.72320));
  CHECK(NoiseLevels::karras().nearest(40) == 0);
  CHECK(NoiseLevels::karras().nearest(1e-9) == 39);
  CHECK(NoiseLevels::karras(40, 0.002, 80).nearest(2.2) == 20);
}

TEST_CASE("consistencydet: scalings") {
  NoiseLevels levels = NoiseLevels::karras();
  const double wanted[][4] = {{1, .447214, .200641, .892638}, {.5, .707107, .502004, .704278}, {.002, .999992, 1, 0}};
  for (auto& [sigma, in, skip, out] : wanted) {
    auto s = levels.scalings(sigma);
    CHECK(s.in == about(in));
    CHECK(s.skip == about(skip));
    CHECK(s.out == doctest::Approx(out).epsilon(5e-6));
  }
}

TEST_CASE("consistencydet: the worked pair of levels and the network's input") {
  NoiseLevels levels = NoiseLevels::karras(40, 0.002, 80);
  double sigma = levels.sigmas[20], next = levels.sigmas[21];
  CHECK(next == about(1.76720));
  Tensor x = tensor({{{-.2, .1, -.6, -.4}}}, f64), e = tensor({{{.5, -1.0, .3, .2}}}, f64);
  Tensor a = x + e * sigma, b = euler_step(a, x, sigma, next);
  check_close(a, {.920220, -2.14044, .0721319, .0480880}, 2e-5);
  check_close(b, {.683601, -1.66720, -.0698392, -.0465594}, 2e-5);
  CHECK(test::difference(b, x + e * next) < 1e-12);
  Tensor input = input_boxes(a, {levels.scalings(sigma).in}, 100, 200);
  check_close(detection::to_centres(input) / detection::image_sides(input, 100, 200), {.600218, .266893, .507856, .505237});
  // Sides that noise made negative are a thousandth of the image.
  Tensor inside_out = input_boxes(tensor({{{0.0, 0.0, -5.0, -1.0}}}, f64), {1}, 100, 200);
  check_close(inside_out, {99.9, 49.95, 100.1, 50.05});
}

TEST_CASE("consistencydet: overlaps, focal terms, class costs and deltas") {
  auto iou = [](std::initializer_list<detail::Nested> a, std::initializer_list<detail::Nested> b) {
    return detection::box_iou(tensor(a, f64), tensor(b, f64)).item();
  };
  auto giou = [](std::initializer_list<detail::Nested> a, std::initializer_list<detail::Nested> b) {
    return detection::generalized_box_iou(tensor(a, f64), tensor(b, f64)).item();
  };
  CHECK(iou({0.0, 0.0, 4.0, 4.0}, {2.0, 1.0, 6.0, 3.0}) == about(.2));
  CHECK(giou({0.0, 0.0, 4.0, 4.0}, {2.0, 1.0, 6.0, 3.0}) == about(.0333333, 1e-5));
  CHECK(iou({0.0, 0.0, 1.0, 1.0}, {2.0, 2.0, 3.0, 3.0}) == 0);
  CHECK(giou({0.0, 0.0, 1.0, 1.0}, {2.0, 2.0, 3.0, 3.0}) == about(-.777778));
  CHECK(giou({1.0, 2.0, 3.0, 5.0}, {1.0, 2.0, 3.0, 5.0}) == doctest::Approx(1));
  auto focal = [](double logit, double t) {
    return sigmoid_focal_loss(tensor({logit}, f64), tensor({t}, f64), {.reduction = Reduction::sum}).item();
  };
  CHECK(focal(.5, 1) == about(.0168934));
  CHECK(focal(.5, 0) == about(.283059));
  CHECK(focal(-2, 1) == about(.412520));
  CHECK(focal(-2, 0) == about(.00135267));
  // The class's part of the matching cost is what saying it costs less what denying it does.
  const double costs[][2] = {{.1, .465483}, {.5, -.0866434}, {.9, -1.39856}};
  for (auto& [p, wanted] : costs) CHECK(focal(std::log(p / (1 - p)), 1) - focal(std::log(p / (1 - p)), 0) == about(wanted));
  check_close(detection::apply_deltas(tensor({10.0, 20.0, 30.0, 60.0}, f64), tensor({.4, -.2, .3, -.5}, f64)),
              {10.5014, 23.8694, 37.4986, 48.1306});
  check_close(detection::apply_deltas(tensor({10.0, 20.0, 30.0, 60.0}, f64), zeros({4}, f64)), {10, 20, 30, 60});
}

TEST_CASE("consistencydet: dynamic k, the worked matching, and what always holds") {
  Tensor iou = tensor({{.8, 0.0}, {.7, .1}, {.6, .3}, {.05, .7}, {0.0, .2}}, f64);
  Tensor cost = tensor({{1.0, 9.0}, {1.5, 1.2}, {3.0, 2.9}, {8.0, 1.4}, {9.0, 2.0}}, f64);
  CHECK(detection::dynamic_k_assignment(cost, iou, 3) == Pairs{{0, 0}, {1, 1}});
  CHECK(detection::dynamic_k_assignment(cost, iou, 300) == detection::dynamic_k_assignment(cost, iou, 5));  // no more than there are
  Generator g(1);
  Tensor c = rand({12, 4}, {.dtype = f64, .generator = &g}), o = rand({12, 4}, {.dtype = f64, .generator = &g});
  Pairs pairs = detection::dynamic_k_assignment(c, o);
  std::vector<int> of_prediction(12), of_object(4);
  for (auto [p, k] : pairs) ++of_prediction[static_cast<size_t>(p)], ++of_object[static_cast<size_t>(k)];
  CHECK(*std::ranges::max_element(of_prediction) == 1);
  CHECK(*std::ranges::min_element(of_object) >= 1);
  Tensor order = randperm(12, {.dtype = i64, .generator = &g});
  auto at = to_vector<int64_t>(order);
  Pairs turned = detection::dynamic_k_assignment(index_select(c, 0, order), index_select(o, 0, order));
  for (auto& [p, k] : turned) p = at[static_cast<size_t>(p)];
  std::ranges::sort(turned), std::ranges::sort(pairs);
  CHECK(turned == pairs);
}

TEST_CASE("consistencydet: RoIAlign of a ramp gives the middles of its bins, and its gradient is right") {
  std::vector<double> v;
  for (int r = 0; r < 8; ++r)
    for (int c = 0; c < 8; ++c) v.push_back(3 * r + c);
  Tensor map = from_vector(v, {1, 1, 8, 8}), boxes = tensor({{{8.0, 8.0, 24.0, 16.0}}}, f64);
  auto y = to_vector(detection::roi_align({map}, {4}, boxes, {.size = 2, .sampling = 2}));
  for (size_t bin = 0; bin < 4; ++bin) {
    double row = (8 + 4 * (static_cast<double>(bin / 2) + .5)) / 4 - .5, column = (8 + 8 * (static_cast<double>(bin % 2) + .5)) / 4 - .5;
    CHECK(y[bin] == about(3 * row + column, 1e-12));
  }
  auto r = gradcheck([&](const std::vector<Tensor>& x) { return detection::roi_align({x[0]}, {4}, boxes, {.size = 3, .sampling = 2}); },
                     std::vector<Tensor>{test::sample({1, 2, 8, 8}, 3)});
  CHECK_MESSAGE(r.passed, r.message);
}

TEST_CASE("consistencydet: noised boxes keep the objects first, share their noise, and differ in the level alone") {
  NoiseLevels levels = NoiseLevels::karras();
  Generator g(2);
  NoisedBoxes n = noise_boxes(two_objects(), 5, 32, 32, levels, g, {7, 38});
  CHECK(n.clean.shape() == Shape{2, 5, 4});
  check_close(narrow(narrow(n.clean, 0, 0, 1), 1, 0, 2), {-.5, -.5625, -.5, -.625, .125, .4375, -.5, -.125}, 1e-6);
  check_close(narrow(narrow(n.clean, 0, 1, 1), 1, 0, 1), {0, 0, 1, 1}, 1e-6);  // no objects: the whole image first
  auto x = to_vector(n.clean), a = to_vector(n.first), b = to_vector(n.second);
  for (size_t i = 0; i < x.size(); ++i) {
    size_t level = i < 20 ? 7 : 38;
    double e = (a[i] - x[i]) / levels.sigmas[level];
    CHECK(std::abs(e) < 6);
    CHECK(b[i] - x[i] == doctest::Approx(levels.sigmas[level + 1] * e).epsilon(1e-3));  // in f32, differences of numbers near 1
    if (i % 4 >= 2) CHECK(x[i] >= 2e-4 - 1 - 1e-6);
  }
  CHECK(levels.sigmas[static_cast<size_t>(n.place[1]) + 1] == 0.002);  // the second level of place N − 2 is the last
  NoisedBoxes few = noise_boxes(two_objects(), 1, 32, 32, levels, g, {0, 0});
  auto only = to_vector(narrow(few.clean, 0, 0, 1));
  CHECK((std::abs(only[0] + .5) < 1e-6 || std::abs(only[0] - .125) < 1e-6));
  std::vector<int64_t> seen;
  for (int k = 0; k < 300; ++k)
    for (int64_t i : noise_boxes(two_objects(), 2, 32, 32, levels, g).place) seen.push_back(i);
  CHECK(*std::ranges::min_element(seen) == 0);
  CHECK(*std::ranges::max_element(seen) == 38);
}

TEST_CASE("consistencydet: the loss is that of both levels, with times i and i + 1 and boxes within the image") {
  manual_seed(3);
  Detector model(small());
  Generator g(3);
  Tensor images = rand({2, 1, 32, 32}, {.generator = &g});
  for (BoxForm form : {BoxForm::direct, BoxForm::skipped}) {
    LossOptions o{.form = form};
    Generator draws(4), again(4);
    ConsistencyLoss loss = consistency_loss(model, images, two_objects(), o, draws);
    NoisedBoxes n = noise_boxes(two_objects(), 6, 32, 32, o.levels, again);
    double total = 0;
    for (int64_t further : {0, 1}) {
      std::vector<double> in;
      std::vector<int64_t> time;
      for (int64_t i : n.place)
        time.push_back(i + further), in.push_back(o.levels.scalings(o.levels.sigmas[static_cast<size_t>(i + further)]).in);
      const Tensor& x = further ? n.second : n.first;
      auto stages = model(images, input_boxes(x, in, 32, 32), from_vector(time));
      for (auto& stage : stages) {
        if (form == BoxForm::skipped) {
          std::vector<Tensor> boxes;
          for (size_t b = 0; b < 2; ++b) {
            auto s = o.levels.scalings(o.levels.sigmas[static_cast<size_t>(time[b])]);
            auto image = static_cast<int64_t>(b);
            Tensor f = select(x, 0, image) * s.skip + (detection::to_centres(select(stage.boxes, 0, image)) * (2.0 / 32) - 1.0) * s.out;
            boxes.push_back(detection::to_corners((f + 1.0) * 16.0));
          }
          stage.boxes = stack(boxes);
        }
        stage.boxes = detection::clip_boxes(stage.boxes, 32, 32);
      }
      double one = detection::detection_loss(stages, two_objects(), 32, 32, {.one_to_one = false}).total.item();
      CHECK((further ? loss.second : loss.first).total.item() == about(one, 1e-5));
      total += one;
    }
    CHECK(loss.total.item() == about(total, 1e-5));
    loss.total.backward();
    double norm = 0;
    for (const Tensor& p : model.parameters())
      if (p.grad().defined()) norm += sum(square(p.grad())).item();
    CHECK(std::isfinite(norm));
    CHECK(norm > 0);
    model.zero_grad();
  }
  Generator draws(4);
  ConsistencyLoss single = consistency_loss(model, images, two_objects(), {.pair = false}, draws);
  CHECK_FALSE(single.second.total.defined());
  CHECK(single.total.item() == single.first.total.item());
}

TEST_CASE("consistencydet: a batch without objects has the focal term over negatives alone") {
  manual_seed(5);
  Detector model(small());
  Generator g(5);
  Tensor images = rand({1, 1, 32, 32}, {.generator = &g});
  ConsistencyLoss loss = consistency_loss(model, images, {zeros({1, 2, 4}), full({1, 2}, -1, i64)}, {}, g);
  CHECK(loss.first.l1.item() == 0);
  CHECK(loss.first.giou.item() == 0);
  CHECK(loss.second.l1.item() + loss.second.giou.item() == 0);
  CHECK(loss.total.item() == about(2 * (loss.first.classes.item() + loss.second.classes.item()), 1e-5));
  CHECK(loss.first.classes.item() > 0);
  loss.total.backward();
  for (auto& [name, p] : model.named_parameters())
    if (name.find("bboxes_delta") != std::string::npos && p.grad().defined()) CHECK(sum(square(p.grad())).item() == 0);
}

TEST_CASE(
    "consistencydet: sampling gives boxes within the image, the same for the same seed whatever the batch, for any number of steps and "
    "boxes") {
  manual_seed(6);
  Detector model(small());
  model.eval();
  Generator g(6);
  Tensor images = rand({3, 1, 32, 32}, {.generator = &g});
  for (int64_t steps : {1, 2, 4})
    for (int64_t proposals : {0, 10}) {
      DetectOptions o{.steps = steps, .keep = 0.02, .proposals = proposals, .seed = 7};
      auto found = consistency_detect(model, images, o);
      REQUIRE(found.size() == 3);
      auto alone = consistency_detect(model, narrow(images, 0, 1, 1), o);
      CHECK(test::difference(found[1].scores, alone[0].scores) < 1e-5);
      for (const auto& f : found) {
        CHECK(f.scores.numel() > 0);
        CHECK(f.scores.numel() <= steps * (proposals ? proposals : 6));
        CHECK(min(f.boxes).item() >= 0);
        CHECK(max(f.boxes).item() <= 32);
        auto s = to_vector(f.scores);
        CHECK(std::ranges::is_sorted(s, std::greater<>()));
      }
      o.seed = 8;
      CHECK(test::difference(consistency_detect(model, images, o)[1].boxes, found[1].boxes) > 0);
      o.step_as_time = true, o.form = BoxForm::skipped, o.most = 2;
      CHECK(consistency_detect(model, images, o)[0].scores.numel() <= 2);
    }
}

TEST_CASE("consistencydet: mistakes are named") {
  NoiseLevels levels = NoiseLevels::karras();
  Generator g(8);
  auto noised = [&](const Objects& truth, int64_t proposals) { return noise_boxes(truth, proposals, 32, 32, levels, g); };
  CHECK_THROWS_WITH_AS(noised({tensor({{{4.0, 4.0, 4.0, 9.0}}}), tensor({{1}})}, 5),
                       "noise_boxes: box [4, 4, 4, 9] of image 0 has no width or height", ValueError);
  CHECK_THROWS_WITH_AS(noised({tensor({{{4.0, 4.0, 40.0, 9.0}}}), tensor({{1}})}, 5),
                       "noise_boxes: box [4, 4, 40, 9] of image 0 reaches outside the image of 32 × 32", ValueError);
  CHECK_THROWS_WITH_AS(noised(two_objects(), 0), "noise_boxes: needs at least one proposal, not 0", ValueError);
  CHECK_THROWS_WITH_AS(noise_boxes(two_objects(), 4, 32, 32, levels, g, {0, 39}), "noise_boxes: level 39 is outside [0, 38]", IndexError);
  CHECK_THROWS_WITH_AS(noise_boxes(two_objects(), 4, 32, 32, NoiseLevels{{1, 2, 3}}, g),
                       "consistencydet: noise levels must be positive and fall, number 1 is 2 after 1", ValueError);
  CHECK_THROWS_WITH_AS(noise_boxes(two_objects(), 4, 32, 32, NoiseLevels{{1}}, g), "consistencydet: needs at least two noise levels, got 1",
                       ValueError);
  Detector learned(small("learned"));
  CHECK_THROWS_WITH_AS(consistency_loss(learned, zeros({2, 1, 32, 32}), two_objects(), {}, g),
                       "consistencydet: needs a detector that starts from noise, this one starts from learned", ConfigError);
  Detector model(small());
  CHECK_THROWS_WITH_AS(consistency_detect(model, zeros({1, 1, 32, 32}), {.steps = 0}), "consistency_detect: needs at least one step, not 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(consistency_detect(model, zeros({1, 1, 32, 32}), {.proposals = -1}),
                       "consistency_detect: needs at least one proposal, not -1", ValueError);
}

TEST_CASE("consistencydet: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"vision", "consistencydet", &consistencydet::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 5);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double ap50 = measured(results, cell.variant, "AP50, 1 step (%)"), ap = measured(results, cell.variant, "mAP, 1 step (%)");
    CHECK(ap >= 0);
    CHECK(ap <= ap50 + 1e-9);
    CHECK(ap50 <= 100);
  }
  CHECK(measured(results, "learned boxes", "mAP, 4 steps (%)") == measured(results, "learned boxes", "mAP, 1 step (%)"));
  CHECK(measured(results, "learned boxes", "standard error over first boxes (%)") == 0);
}
