// AnimateLCM: grids, guidance, solver steps and the target worked out, the network's parts, and the experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "methods/generative/animatelcm/animatelcm.h"
#include "methods/runner.h"
#include "models/diffusion/solver.h"
#include "models/diffusion/stochastic_solver.h"
#include "models/diffusion/video_mlp.h"
#include "models/nn/init.h"
#include "models/nn/low_rank.h"
#include "models/nn/video.h"
#include "models/optim/adam.h"
#include "models/unet/motion.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::animatelcm {
Experiment experiment();
}

namespace animatelcm = methods::animatelcm;

namespace {

bool near(const std::vector<double>& got, const std::vector<double>& wanted, double relative = 1e-5) {
  if (got.size() != wanted.size()) return false;
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - wanted[i]) <= relative * std::abs(wanted[i]))) return false;
  return true;
}
bool near(const Tensor& got, const std::vector<double>& wanted, double relative = 1e-5) { return near(to_vector(got), wanted, relative); }

Tensor one(double value) { return full({1}, value, f64); }

}  // namespace

TEST_CASE("animatelcm: the grid of the image-to-video form and its weights, worked") {
  std::vector<double> levels = karras_sigmas_to_zero(6, 0.002, 700);
  CHECK(near(levels, {700, 193.646, 40.0771, 5.23278, 0.292965, 0.002, 0}));
  CHECK(near(animatelcm::interval_weights(levels), {0.536481, 0.604463, 0.701111, 0.852372, 1.13140, 1.86165}));
  CHECK_THROWS_WITH_AS(animatelcm::interval_weights({1, 2}),
                       "animatelcm: levels must descend to 0 at least, 1 is followed by 2", ValueError);
}

TEST_CASE("animatelcm: scalings without a least level, worked; at 0 the identity, and nothing infinite") {
  ContinuousVPrecondition p;
  Scalings most = p.at(700), unit = p.at(1), none = p.at(0);
  CHECK(near(std::vector<double>{most.skip, most.out, most.in, most.noise}, {2.04081e-06, -0.999999, 0.00142857, 1.63777}));
  CHECK(near(std::vector<double>{unit.skip, unit.out, unit.in}, {0.5, -0.707107, 0.707107}));
  CHECK(none.skip == 1);
  CHECK(none.out == 0);
  CHECK(none.in == 1);
  CHECK(std::isfinite(none.noise));
}

TEST_CASE("animatelcm: one Euler step of the teacher, worked; to the last level it is the estimate itself") {
  ContinuousVPrecondition p;
  Denoiser teacher = [&](const Tensor& x, const Tensor& sigma) {
    return p.denoise([](const Tensor& y, const Tensor&) { return full(y.shape(), -0.2, f64); }, x, sigma);
  };
  Tensor x = full({1, 1}, 3.0, f64);
  CHECK(teacher(x, one(5)).item() == doctest::Approx(0.311501).epsilon(1e-5));
  NoisePair pair{x, one(5), x, one(2), one(1)};
  CHECK(animatelcm::solved(pair, teacher).x_low.item() == doctest::Approx(1.38690).epsilon(1e-5));
  CHECK(ode_step(Solver::euler, teacher, x, one(5), one(2)).item() == doctest::Approx(1.38690).epsilon(1e-5));
  pair.low = one(0);
  CHECK(animatelcm::solved(pair, teacher).x_low.item() == teacher(x, one(5)).item());
}

TEST_CASE("animatelcm: the Huber distance is a mean over elements, worked with its gradient") {
  Tensor u = tensor({{0.3, -0.2, 0.1}}, f64).requires_grad_(), v = tensor({{0.1, 0.2, 0.0}}, f64);
  Tensor d = consistency_distances(ConsistencyMetric::elementwise_huber, u, v, 0.001);
  CHECK(d.item() == doctest::Approx(0.232336).epsilon(1e-5));
  sum(d).backward();
  CHECK(near(u.grad(), {0.333329, -0.333332, 0.333317}));
}

TEST_CASE("animatelcm: guidance grows over the frames, worked") {
  CHECK(near(animatelcm::frame_linear_guidance(1.25, 2.5, 6), {1.25, 1.5, 1.75, 2, 2.25, 2.5}, 1e-12));
  CHECK(animatelcm::frame_linear_guidance(1.25, 2.5, 1) == std::vector<double>{1.25});
  CHECK_THROWS_WITH_AS(animatelcm::frame_linear_guidance(1, 2, 0),
                       "frame_linear_guidance: the number of frames must be at least 1, it is 0", ValueError);
  Tensor c = test::sample({2, 1, 3, 2, 2}, 1), u = test::sample({2, 1, 3, 2, 2}, 2);
  Tensor g = animatelcm::guided_frames(c, u, {1, 1.5, 2});
  CHECK(test::difference(select(g, 2, 0), select(c, 2, 0)) < 1e-12);
  CHECK(test::difference(select(g, 2, 2), select(c * 2.0 - u, 2, 2)) < 1e-12);
  CHECK_THROWS_WITH_AS(animatelcm::guided_frames(c, u, {1, 2}), "guided_frames: 2 scales for videos [2, 1, 3, 2, 2] and [2, 1, 3, 2, 2]",
                       ShapeError);
}

TEST_CASE("animatelcm: guidance is drawn from three ends each; a condition is noised by a lognormal share") {
  Generator g(12);
  std::set<double> lows, highs;
  for (int i = 0; i < 60; ++i) {
    std::vector<double> w = animatelcm::draw_frame_guidance(4, g);
    REQUIRE(w.size() == 4);
    lows.insert(w.front());
    highs.insert(w.back());
  }
  CHECK(lows == std::set<double>{1, 1.25, 1.5});
  CHECK(highs == std::set<double>{2, 2.25, 2.5});
  constexpr int64_t n = 4000, d = 100;
  Tensor noise = animatelcm::augmented_condition(zeros({n, d}, f64), -3, 0.5, g);
  // ln of each example's root mean square is about ln σ: its spread is the draw's 0.5 and 1/√(2d) of the estimate
  std::vector<double> levels = to_vector(log(mean(square(noise), {1})) * 0.5);
  double centre = 0, spread = 0;
  for (double l : levels) centre += l / n;
  for (double l : levels) spread += (l - centre) * (l - centre) / n;
  CHECK(std::abs(centre + 3) < 5 * 0.5 / std::sqrt(static_cast<double>(n)) + 1.0 / d);
  CHECK(std::sqrt(spread) == doctest::Approx(std::sqrt(0.25 + 0.5 / d)).epsilon(0.06));
  CHECK_THROWS_WITH_AS(animatelcm::augmented_condition(zeros({0, 3})), "augmented_condition: the batch is empty: [0, 3]", ValueError);
}

TEST_CASE("animatelcm: with the sample's own noise a DDIM step is the sample with less noise: adaptation needs no teacher") {
  VpSchedule schedule = VpSchedule::linear(1000, 0.00085, 0.012);
  CHECK(
      near(std::vector<double>{schedule.alpha_bar(9), schedule.alpha_bar(499), schedule.alpha_bar(999)}, {0.991034, 0.161812, 0.00157896}));
  Tensor clean = tensor({0.5, -1.0}, f64), eps = tensor({1.0, -0.5}, f64);
  auto noisy = [&](int64_t t) { return clean * std::sqrt(schedule.alpha_bar(t)) + eps * std::sqrt(1 - schedule.alpha_bar(t)); };
  Tensor z = noisy(499);
  CHECK(near(z, {1.11666, -0.860022}));
  auto solved = [&](const Tensor& predicted) {
    double a = schedule.alpha_bar(499);
    return reshape(vp_step(NoiseRule::eta(0), schedule, unsqueeze((z - predicted * std::sqrt(1 - a)) / std::sqrt(a), 0),
                           unsqueeze(predicted, 0), {499}, {489}),
                   {2});
  };
  CHECK(near(solved(eps), {1.11734, -0.870156}));
  CHECK(test::difference(solved(eps), noisy(489)) < 1e-12);
  CHECK(near(solved(tensor({0.9, -0.4}, f64)), {1.12089, -0.873713}));
  // and in the variance-exploding form: a teacher that knows the sample leaves the pair as it was drawn
  Generator g(3);
  Tensor data = test::sample({4, 3}, 4);
  NoisePair pair = animatelcm::draw_pair(karras_sigmas_to_zero(10), data, 0.1, g);
  NoisePair same = animatelcm::solved(pair, [&](const Tensor&, const Tensor&) { return data; });
  CHECK(test::difference(same.x_low, pair.x_low) < 1e-10);
}

TEST_CASE("animatelcm: pairs are neighbours of the grid with one noise, drawn alike, weighted by their length") {
  std::vector<double> levels = karras_sigmas_to_zero(6, 0.002, 700);
  Tensor clean = zeros({6, 2}, f64);
  Generator g(5);
  NoisePair pair = animatelcm::pair_at(levels, clean, {0, 1, 2, 3, 4, 5}, 0.1, g);
  CHECK(near(pair.high, {levels.begin(), levels.end() - 1}, 1e-12));
  for (size_t i = 0; i < 6; ++i) CHECK(to_vector(pair.low)[i] == levels[i + 1]);
  CHECK(near(pair.weight, animatelcm::interval_weights(levels), 1e-12));
  CHECK(test::difference(pair.x_high * per_example(pair.low / pair.high, clean), pair.x_low) < 1e-12);
  std::vector<int> count(6);
  NoisePair many = animatelcm::draw_pair(levels, zeros({6000, 1}, f64), 0.1, g);
  for (double high : to_vector(many.high))
    for (size_t i = 0; i < 6; ++i) count[i] += high == levels[i];
  for (int c : count) CHECK(std::abs(c - 1000) < 5 * 29);
  CHECK_THROWS_WITH_AS(animatelcm::pair_at(levels, clean, {0, 1, 2, 3, 4, 6}), "animatelcm: place 6 is outside [0, 6)", IndexError);
  CHECK_THROWS_AS(animatelcm::draw_pair(levels, zeros({0, 2})), ValueError);
}

TEST_CASE("animatelcm: an adapter merged, worked; one that does not fit is refused") {
  nn::Linear layer(2, 2, {.bias = false, .dtype = f64});
  nn::init::eye(layer.weight);
  nn::add_adapter(layer, "image", {.rank = 1});
  nn::LowRankAdapter& adapter = *layer.adapters->find("image");
  Tensor down = adapter.down.detach(), up = adapter.up.detach();
  copy_data(tensor({{1.0, 2.0}}, f64), down);
  copy_data(tensor({{0.5}, {-1.0}}, f64), up);
  CHECK(to_vector(optim::merged_state(layer).at("weight")) == std::vector<double>{1.5, 1, -1, -1});
  CHECK_THROWS_AS(nn::add_adapter(layer, "large", {.rank = 3}), ValueError);
  StateDict wrong = nn::adapter_state(layer, "image");
  for (auto& [name, value] : wrong)
    if (name.ends_with("up")) value = zeros({3, 1}, f64);
  CHECK_THROWS_AS(nn::load_adapter_state(layer, "image", wrong), ShapeError);
}

TEST_CASE("animatelcm: the target starts without the adapters, and their share in it is 1 - decay^k") {
  manual_seed(6);
  TimeMlp student({.features = 4, .hidden = {8}});
  student.to(f64);
  nn::add_adapter(student, "image", {.rank = 2});
  for (auto& [name, p] : student.named_parameters())
    if (name.ends_with(".up")) nn::init::normal(p, 0, 0.5);
  ContinuousVPrecondition precondition;
  animatelcm::Distillation<TimeMlp> with(student, precondition, {}),
      without(student, precondition, {.start = animatelcm::TargetStart::without_adapters});
  Tensor x = test::sample({3, 4}, 7), noise = test::sample({3}, 8), merged = student(x, noise);
  CHECK(test::difference(with.target()(x, noise), merged) < 1e-12);
  CHECK(test::difference(without.target()(x, noise), merged) > 1e-3);
  auto weight = [](const TimeMlp& m) { return m.state().at("hidden.0.weight"); };
  TimeMlp deep({.features = 4, .hidden = {8, 8}});
  deep.to(f64);
  Tensor plain = clone(weight(deep).detach());
  nn::add_adapter(deep, "image", {.rank = 2});
  for (auto& [name, p] : deep.named_parameters())
    if (name.ends_with(".up")) nn::init::normal(p, 0, 0.5);
  Tensor change = optim::merged_state(deep).at("hidden.0.weight") - plain;
  animatelcm::Distillation<TimeMlp> follows(deep, precondition, {.start = animatelcm::TargetStart::without_adapters});
  int64_t done = 0;
  for (auto [k, share] : {std::pair<int64_t, double>{0, 0}, {1, 0.05}, {10, 0.401263}, {14, 0.512325}, {50, 0.923055}, {100, 0.994079}}) {
    for (; done < k; ++done) follows.update();
    CHECK(test::difference(weight(follows.target()).detach() - plain, change * share) < 1e-5);
  }
}

TEST_CASE("animatelcm: stage 2 trains the temporal layers alone; the target gets no gradient") {
  manual_seed(9);
  VideoMlp teacher(TimeMlp({.features = 4, .hidden = {8, 8}}), {.motion_width = 4, .classes = 4});
  VideoMlp student = teacher;
  nn::add_adapter(student.image, "image", {.rank = 2});
  for (auto& [name, p] : student.named_parameters())
    if (name.ends_with(".up")) nn::init::normal(p, 0, 0.2);
  student.requires_grad_(false);
  for (const Tensor& p : student.motion_parameters()) p.requires_grad_();
  VideoMlp before = student;
  ContinuousVPrecondition precondition;
  animatelcm::Distillation<VideoMlp> training(student, precondition, {.start = animatelcm::TargetStart::without_adapters});
  optim::Adam adam(student.motion_parameters(), {.lr = 1e-2});
  VideoInputs inputs{.labels = tensor({0, 3})};
  Denoiser guide = [&](const Tensor& x, const Tensor& sigma) {
    return precondition.denoise([&](const Tensor& y, const Tensor& noise) { return teacher(y, noise, inputs); }, x, sigma);
  };
  for (int k = 0; k < 3; ++k) {
    NoisePair pair = animatelcm::solved(animatelcm::draw_pair(karras_sigmas_to_zero(10), randn({2, 1, 3, 2, 2})), guide);
    adam.zero_grad();
    mean(training.losses(pair, [&](const VideoMlp& m, const Tensor& x, const Tensor& noise) { return m(x, noise, inputs); })).backward();
    adam.step();
    training.update();
  }
  bool moved = false;
  auto now = student.named_parameters(), then = before.named_parameters();
  for (size_t i = 0; i < now.size(); ++i) {
    bool same = test::same_bits(now[i].tensor, then[i].tensor);
    if (now[i].name.starts_with("image."))
      CHECK_MESSAGE(same, now[i].name);
    else
      moved = moved || !same;
  }
  CHECK(moved);
  for (const Tensor& p : training.target().parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE(
    "animatelcm: temporal attention, worked; new temporal layers change nothing, and the order of frames does not matter without "
    "positions") {
  unet::TemporalAttention attention(2, {.heads = 1, .groups = 1, .positions = false});
  attention.to(f64);
  for (nn::Linear* l : {&attention.to_q, &attention.to_k, &attention.to_v, &attention.out()}) nn::init::eye(l->weight);
  nn::init::zeros(attention.out().bias);
  CHECK(near(attention(tensor({{{1.0, 0.0}, {0.0, 2.0}}}, f64)), {0.669762, 0.660477, 0.0558072, 1.88839}));
  manual_seed(10);
  TimeMlp image({.features = 4, .hidden = {8}});
  VideoMlp video(image, {.motion_width = 4, .max_frames = 4, .positions = false});
  Tensor x = randn({2, 1, 4, 2, 2}), noise = randn({2});
  CHECK(test::same_bits(nn::as_frames(video(x, noise)), image(nn::as_frames(x), repeat_interleave(noise, 4, 0))));
  for (Tensor p : video.parameters()) nn::init::normal(p, 0, 0.3);
  Tensor order = tensor({3, 1, 0, 2});
  CHECK(test::difference(video(index_select(x, 2, order), noise), index_select(video(x, noise), 2, order)) < 1e-5);
  CHECK(video(randn({1, 1, 1, 2, 2}), randn({1})).shape() == Shape{1, 1, 1, 2, 2});
  CHECK_THROWS_WITH_AS(video(randn({1, 1, 5, 2, 2}), randn({1})), "video_mlp: 5 frames are more than max_frames 4", ShapeError);
}

TEST_CASE("animatelcm: options that make no distillation are errors of one line") {
  TimeMlp student({.features = 4, .hidden = {8}});
  ContinuousVPrecondition precondition;
  CHECK_THROWS_WITH_AS(animatelcm::Distillation<TimeMlp>(student, precondition, {.decay = 1.5}),
                       "animatelcm: the target's decay 1.5 is outside [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(animatelcm::Distillation<TimeMlp>(student, precondition, {.huber = 0}),
                       "animatelcm: the Huber constant must be positive, it is 0", ValueError);
}

TEST_CASE("animatelcm: the experiment runs, and even a short training is nearer to videos than noise is") {
  using namespace methods;
  Results results = run_experiment({"generative", "animatelcm", &animatelcm::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == animatelcm::experiment().variants.size());
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
  for (const char* variant : {"direct", "AnimateLCM"}) {
    double distance = measured(results, variant, "frames FD, 4 steps");
    CHECK(distance > 1);    // not the videos themselves
    CHECK(distance < 300);  // clipped noise: each of 64 pixels from one end to the other
  }
}
