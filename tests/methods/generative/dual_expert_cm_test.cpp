// DCM: levels, jumps, losses and the adversary worked out, what the experts share and what they do not, and the experiment.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/generative/dual_expert_cm/dual_expert_cm.h"
#include "methods/runner.h"
#include "models/gan/feature_discriminator.h"
#include "models/nn/init.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::dual_expert_cm {
Experiment experiment();
}

using namespace plumb::methods::dual_expert_cm;

namespace {

Tensor number(double value) { return full({1, 1}, value, f64); }
Tensor level(double value) { return full({1}, value, f64); }
Velocity constant(double v) {
  return [v](const Tensor& x, const Tensor&) { return full(x.shape(), v, x.dtype()); };
}
Velocity never() {
  return [](const Tensor& x, const Tensor&) -> Tensor {
    FAIL("this network is not to be asked");
    return x;
  };
}

VideoTransformer small_network() {
  manual_seed(11);
  VideoTransformer net({.frames = 3, .side = 4, .patch = 2, .width = 8, .heads = 2, .blocks = 3, .inner = 8, .classes = 2});
  for (Tensor p : net.parameters()) nn::init::normal(p, 0, 0.3);
  return net;
}

}  // namespace

TEST_CASE("dcm: shifted levels, worked for four shifts") {
  for (auto [shift, first, before_boundary, boundary] : {std::tuple{17.0, 0.257576, 0.975410, 0.977636},
                                                         {7.0, 0.125, 0.942308, 0.947368},
                                                         {5.0, 0.0925926, 0.921053, 0.927835},
                                                         {1.0, 0.02, 0.7, 0.72}}) {
    FlowSchedule schedule(shift);
    CHECK(schedule.sigma(0) == doctest::Approx(first).epsilon(1e-5));
    CHECK(schedule.sigma(34) == doctest::Approx(before_boundary).epsilon(1e-5));
    CHECK(schedule.sigma(35) == doctest::Approx(boundary).epsilon(1e-5));
    CHECK(schedule.previous(35) == schedule.sigma(34));
    CHECK(schedule.sigma(49) == 1);
    CHECK(boundary_level(schedule, 35) == schedule.sigma(34));
  }
  CHECK(FlowSchedule(17).previous(0) == doctest::Approx(0.0167323).epsilon(1e-5));
  std::vector<Segment> two = split_at(FlowSchedule(17), 35);
  CHECK(two[0].first == 0);
  CHECK(two[0].last == 34);
  CHECK(two[0].end == doctest::Approx(0.0167323).epsilon(1e-5));
  CHECK(two[1].first == 35);
  CHECK(two[1].last == 49);
  CHECK(two[1].end == doctest::Approx(0.975410).epsilon(1e-5));
  std::vector<Segment> halves = equal_segments(FlowSchedule(1), 2);
  CHECK(halves[0].last == 24);
  CHECK(halves[1].first == 25);
  CHECK(halves[1].end == doctest::Approx(0.5));
}

TEST_CASE("dcm: a semantic example, worked") {
  FlowSchedule schedule(17);
  double end = boundary_level(schedule, 35);
  CHECK(schedule.sigma(40) == doctest::Approx(0.987252).epsilon(1e-5));
  CHECK(schedule.previous(40) == doctest::Approx(0.985507).epsilon(1e-5));
  Tensor x = flow_point(number(0.8), number(-0.5), level(schedule.sigma(40)));
  CHECK(x.item() == doctest::Approx(-0.483428).epsilon(1e-5));
  CHECK(flow_step(x, number(-1.25), level(schedule.sigma(40)), level(schedule.previous(40))).item() ==
        doctest::Approx(-0.481247).epsilon(1e-5));
  Answers a = segment_answers(constant(-1.1), constant(-1.15), constant(-1.25), schedule, {40}, level(end), number(0.8), number(-0.5));
  CHECK(a.prediction.item() == doctest::Approx(-0.470401).epsilon(1e-5));
  CHECK(a.target.item() == doctest::Approx(-0.469635).epsilon(1e-5));
  CHECK(pseudo_huber(a.prediction, a.target).item() == doctest::Approx(0.000260031).epsilon(1e-3));  // worked with the printed digits
}

TEST_CASE("dcm: a detail example and what the adversary sees of it, worked") {
  FlowSchedule schedule(17);
  double end = schedule.previous(0);
  Answers a = segment_answers(constant(-1.1), constant(-1.15), constant(-1.25), schedule, {10}, level(end), number(0.8), number(-0.5));
  CHECK(schedule.sigma(10) == doctest::Approx(0.827434).epsilon(1e-5));
  CHECK(schedule.previous(10) == doctest::Approx(0.809524).epsilon(1e-5));
  CHECK(a.prediction.item() == doctest::Approx(0.616108).epsilon(1e-5));
  CHECK(a.target.item() == doctest::Approx(0.658434).epsilon(1e-5));
  double s = schedule.previous(20);
  CHECK(s == doctest::Approx(0.918919).epsilon(1e-5));
  CHECK(renoised(a.target, number(0.3), level(s), end).item() == doctest::Approx(0.329557).epsilon(1e-5));
  CHECK(renoised(a.prediction, number(0.3), level(s), end).item() == doctest::Approx(0.326067).epsilon(1e-5));
  CHECK(renoised(a.target, number(0.3), level(end), end).item() == doctest::Approx(a.target.item()).epsilon(1e-12));
}

TEST_CASE("dcm: the Huber distance and the temporal term, worked") {
  CHECK(pseudo_huber(tensor({0.0, 0.001, -0.01, 0.5}, f64), zeros({4}, f64)).item() == doctest::Approx(0.127116).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(pseudo_huber(zeros({1}), zeros({1}), 0), "dcm: the Huber constant must be positive, it is 0", ValueError);
  Tensor u = reshape(tensor({0.0, 1.0, 3.0, 6.0, 5.0}, f64), {1, 1, 5, 1, 1}),
         v = reshape(tensor({0.0, 0.5, 3.5, 5.0, 5.5}, f64), {1, 1, 5, 1, 1});
  CHECK(temporal_coherence_loss(u, v, 1).item() == doctest::Approx(1.4375).epsilon(1e-12));
  CHECK(temporal_coherence_loss(u, v, 3).item() == doctest::Approx(1.0).epsilon(1e-12));
  CHECK(temporal_coherence_loss(u + 7.0, v, 1).item() == doctest::Approx(1.4375).epsilon(1e-12));
  CHECK(temporal_coherence_loss(u, v, 5).item() == 0);
  CHECK_THROWS_WITH_AS(temporal_coherence_loss(u, v, 0), "temporal_coherence_loss: the gap must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(temporal_coherence_loss(zeros({2, 3}), zeros({2, 3}), 1),
                       "temporal_coherence_loss: takes videos [B, C, F, H, W] of one shape, got [2, 3] and [2, 3]", ShapeError);
}

TEST_CASE("dcm: hinge losses, worked") {
  std::vector<Tensor> fake{tensor({0.5, -2.0}, f64)}, real{tensor({1.5, 0.2}, f64)};
  CHECK(gan::hinge_discriminator_loss(real, fake).item() == doctest::Approx(1.15).epsilon(1e-12));
  CHECK(gan::hinge_generator_loss(fake).item() == doctest::Approx(1.75).epsilon(1e-12));
}

TEST_CASE("dcm: on exact straight lines both answers are the point on the line, and all losses are 0") {
  FlowSchedule schedule(17);
  manual_seed(1);
  Tensor point = test::sample({1, 2, 4, 1, 3}, 2), clean = expand(point, {6, 2, 4, 1, 3}), noise = test::sample({6, 2, 4, 1, 3}, 3);
  Velocity exact = [&](const Tensor& x, const Tensor& sigma) { return (x - point) / reshape(sigma, {x.size(0), 1, 1, 1, 1}); };
  double end = boundary_level(schedule, 35);
  std::vector<int64_t> places{35, 36, 40, 44, 48, 49};
  Answers a = segment_answers(exact, exact, exact, schedule, places, full({6}, end, f64), clean, noise);
  Tensor on_line = (1 - end) * clean + end * noise;
  CHECK(test::difference(a.prediction, on_line) < 1e-12);
  CHECK(test::difference(a.target, on_line) < 1e-12);
  CHECK(pseudo_huber(a.prediction, a.target).item() < 1e-15);
  CHECK(temporal_coherence_loss(a.prediction, a.target, 3).item() < 1e-24);
}

TEST_CASE("dcm: at a segment's first place the target is the teacher's own step, decided for each example") {
  FlowSchedule schedule(17);
  double end = boundary_level(schedule, 35);
  Tensor clean = test::sample({2, 3}, 4), noise = test::sample({2, 3}, 5), ends = full({2}, end, f64);
  Answers first = segment_answers(constant(1), never(), constant(0.5), schedule, {35, 35}, ends, clean, noise);
  Tensor sigma = full({2}, schedule.sigma(35), f64), x = flow_point(clean, noise, sigma);
  CHECK(test::same_bits(first.target, flow_step(x, full(x.shape(), 0.5, f64), sigma, ends)));
  Answers mixed = segment_answers(constant(1), constant(-3), constant(0.5), schedule, {35, 40}, ends, clean, noise);
  CHECK(test::same_bits(select(mixed.target, 0, 0), select(first.target, 0, 0)));
  Answers alone = segment_answers(constant(1), constant(-3), constant(0.5), schedule, {40}, full({1}, end, f64), narrow(clean, 0, 1, 1),
                                  narrow(noise, 0, 1, 1));
  CHECK(test::same_bits(select(mixed.target, 0, 1), select(alone.target, 0, 0)));
  CHECK_THROWS_WITH_AS(segment_answers(constant(1), constant(1), constant(1), schedule, {35}, ends, clean, noise),
                       "dcm: 1 places and ends [2] for a batch [2, 3]", ShapeError);
}

TEST_CASE("dcm: neither the teacher nor the target gets a gradient") {
  FlowSchedule schedule(5);
  Tensor a = tensor({0.3}, f64).requires_grad_(), b = tensor({0.4}, f64).requires_grad_(), c = tensor({0.5}, f64).requires_grad_();
  auto times = [](const Tensor& w) -> Velocity { return [&w](const Tensor& x, const Tensor&) { return x * w; }; };
  Answers answers = segment_answers(times(a), times(b), times(c), schedule, {20}, level(schedule.previous(0)), number(0.8), number(-0.5));
  pseudo_huber(answers.prediction, answers.target).backward();
  CHECK(a.grad().defined());
  CHECK_FALSE(b.grad().defined());
  CHECK_FALSE(c.grad().defined());
}

TEST_CASE("dcm: new adapters say what the semantic expert says; later they change the detail expert alone") {
  VideoTransformer semantic = small_network();
  DualExpert expert(semantic, 0.9, {.rank = 2, .alpha = 4});
  Tensor x = randn({3, 1, 3, 4, 4}), low = tensor({0.1, 0.5, 0.9}), high = tensor({0.95, 0.99, 1.0}), labels = tensor({0, 1, -1});
  CHECK(test::same_bits(expert(x, low, labels), semantic(x, low, labels)));
  CHECK(test::same_bits(expert(x, high, labels), semantic(x, high, labels)));
  for (Tensor p : expert.detail_parameters()) nn::init::normal(p, 0, 0.3);
  CHECK(test::difference(expert(x, low, labels), semantic(x, low, labels)) > 1e-3);
  CHECK(test::same_bits(expert(x, high, labels), semantic(x, high, labels)));
  CHECK(test::same_bits(expert.semantic(x, low, labels), semantic(x, low, labels)));
  // a batch of both: each example as if it were alone
  Tensor mixed = expert(x, tensor({0.95, 0.5, 0.9}), labels);
  for (int64_t b = 0; b < 3; ++b) {
    Tensor sigma = narrow(tensor({0.95, 0.5, 0.9}), 0, b, 1);
    CHECK(test::difference(narrow(mixed, 0, b, 1), expert(narrow(x, 0, b, 1), sigma, narrow(labels, 0, b, 1))) < 1e-6);
  }
  DualExpert copy = expert;
  CHECK(test::same_bits(copy(x, low, labels), expert(x, low, labels)));
}

TEST_CASE("dcm: stage 2 changes adapters, embedder and head, and no weight of the semantic expert") {
  VideoTransformer semantic = small_network();
  DualExpert expert(semantic, 0.9, {.rank = 2, .alpha = 4});
  StateDict before;
  for (const auto& [name, value] : expert.state()) before[name] = clone(value.detach());
  optim::AdamW adamw(expert.detail_parameters(), {.lr = 1e-2});
  for (int k = 0; k < 3; ++k) {
    adamw.zero_grad();
    mean(flow_losses([&](const Tensor& x, const Tensor& s) { return expert(x, s); }, randn({4, 1, 3, 4, 4}), randn({4, 1, 3, 4, 4}),
                     full({4}, 0.5)))
        .backward();
    adamw.step();
  }
  int64_t changed = 0;
  for (const auto& [name, value] : expert.state()) {
    bool detail = name.starts_with("detail_") || name.find(".adapters.detail.") != std::string::npos;
    bool same = test::same_bits(value, before.at(name));
    if (!detail) CHECK_MESSAGE(same, name);
    changed += !same;
  }
  CHECK(changed > 10);
  for (auto& [name, p] : expert.named_parameters())
    CHECK(p.requires_grad() == (name.starts_with("detail_") || name.find(".adapters.") != std::string::npos));
}

TEST_CASE(
    "dcm: features of the frozen teacher carry a gradient to what it sees; the discriminator's own loss goes no further than itself") {
  VideoTransformer teacher = small_network();
  teacher.requires_grad_(false);
  CHECK(teacher.taps() == 2);
  Tensor x = randn({2, 1, 3, 4, 4}).requires_grad_(), sigma = tensor({0.4, 0.7}), labels = tensor({0, 1});
  VideoTransformer::Features f = teacher.features(x, sigma, labels);
  REQUIRE(f.hidden.size() == 2);
  CHECK(f.hidden[0].shape() == Shape{2, 12, 8});
  CHECK(f.exits[0].shape() == Shape{2, 12, 4});
  gan::FeatureDiscriminator discriminator(2, 8, 8, 4);
  gan::hinge_generator_loss(discriminator(f.hidden)).backward();
  CHECK(max(abs(x.grad())).item() > 0);
  for (const Tensor& p : teacher.parameters()) CHECK_FALSE(p.grad().defined());
  VideoTransformer::Features same = teacher.features(x.detach(), sigma, labels);
  CHECK(feature_matching_loss(f.exits, same.exits).item() == 0);
  CHECK(discriminator(f.hidden)[0].shape() == Shape{2, 12});
  CHECK_THROWS_WITH_AS(discriminator({f.hidden[0]}), "feature_discriminator: 1 layers for 2 heads", ValueError);
}

TEST_CASE("dcm: places are drawn from the whole range; ranges and levels that cannot be are errors of one line") {
  FlowSchedule schedule(5);
  Generator g(6);
  std::vector<int> count(15);
  for (int64_t i : draw_places(split_at(schedule, 35)[1], 1500, g)) {
    REQUIRE((i >= 35 && i <= 49));
    ++count[static_cast<size_t>(i - 35)];
  }
  for (int c : count) CHECK(std::abs(c - 100) < 50);
  CHECK_THROWS_WITH_AS(split_at(schedule, 0), "dcm: the boundary 0 is outside [1, 49]", ValueError);
  CHECK_THROWS_WITH_AS(split_at(schedule, 50), "dcm: the boundary 50 is outside [1, 49]", ValueError);
  CHECK_THROWS_WITH_AS(equal_segments(schedule, 51), "dcm: 51 segments of a grid of 50 levels", ValueError);
  CHECK_THROWS_WITH_AS(flow_sample(constant(0), zeros({1, 1}), {1, 0.5, 0.7}),
                       "flow_sample: levels must descend within [0, 1], 0.5 is followed by 0.7", ValueError);
  CHECK_THROWS_WITH_AS(schedule.sigma(50), "flow_schedule: place 50 is outside [0, 50)", IndexError);
  CHECK_THROWS_WITH_AS(DualExpert(small_network(), 1.5), "dcm: the boundary level 1.5 is outside (0, 1)", ValueError);
}

TEST_CASE("dcm: the experiment runs; many steps of the teacher are its own reference") {
  using namespace methods;
  Results results = run_experiment({"generative", "dual_expert_cm", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == experiment().variants.size());
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
  CHECK(measured(results, "teacher, 50 steps", "MSE to the teacher") == 0);
  CHECK(measured(results, "DCM", "MSE to the teacher") > 0);
}
