// Latent consistency models: the boundary, both scales of one function, grids of times, guidance, and distillation of normal data.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/guidance.h"
#include "models/diffusion/latent_consistency.h"
#include "models/diffusion/sampler.h"
#include "models/nn/module.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("lcm: worked boundary shares and one step of sampling") {
  LcmBoundary boundary;
  CHECK(boundary.at(19).skip == doctest::Approx(6.92516e-06).epsilon(1e-5));
  CHECK(boundary.at(0).skip == 1);
  CHECK(boundary.at(0).out == 0);
  VpSchedule schedule = VpSchedule::scaled_linear();
  CHECK(schedule.alpha_bar(999) == doctest::Approx(0.00466010).epsilon(1e-5));
  Tensor z = tensor({{0.5, -1.0}}, f64), eps = tensor({{0.4, -0.9}}, f64);
  Tensor f = latent_consistency(schedule, Prediction::eps, z, eps, tensor({999}));
  CHECK(to_vector(f)[0] == doctest::Approx(1.47855).epsilon(1e-5));  // c_skip is 2.5e-9 here
  CHECK(to_vector(f)[1] == doctest::Approx(-1.49564).epsilon(1e-5));
  double next = schedule.alpha_bar(879);
  CHECK(std::sqrt(next) * to_vector(f)[0] == doctest::Approx(0.195785).epsilon(1e-5));
  CHECK(1 - next == doctest::Approx(0.982466).epsilon(1e-5));
  CHECK(test::same_bits(latent_consistency(schedule, Prediction::eps, z, eps, tensor({0})), z));
  CHECK_THROWS_WITH_AS(latent_consistency(schedule, Prediction::eps, z, eps, tensor({3, 4})),
                       "latent_consistency: t must hold one time an example of [1, 2], it is [2]", ShapeError);
  CHECK_THROWS_AS(latent_consistency(schedule, Prediction::eps, z, eps, tensor({1000})), IndexError);
}

TEST_CASE("lcm: the denoiser of the exploding scale and the function of the preserving scale are one") {
  VpSchedule schedule = VpSchedule::scaled_linear();
  Tensor z = test::sample({4, 3}, 1), t = tensor({0, 19, 519, 999});
  auto network = [](const Tensor& y, const Tensor& time) { return y * 0.3 + per_example(to(time, f64), y) * 1e-3; };
  std::vector<double> sigmas, scale;
  for (int64_t time : to_vector<int64_t>(t))
    sigmas.push_back(schedule.sigma(time)), scale.push_back(1 / std::sqrt(schedule.alpha_bar(time)));
  Tensor x = z * per_example(from_vector(scale), z);
  for (Prediction kind : {Prediction::eps, Prediction::x0, Prediction::v}) {
    Tensor from_denoiser = LcmPrecondition(schedule, kind).denoise(network, x, from_vector(sigmas));
    Tensor direct = latent_consistency(schedule, kind, z, network(z, t), t);
    CHECK(test::difference(from_denoiser, direct) < 1e-9);
  }
  // a σ that went through f32 still stands for a whole time
  for (int64_t time : {0, 1, 19, 499, 998, 999})
    CHECK(LcmPrecondition(schedule, Prediction::eps).at(static_cast<float>(schedule.sigma(time))).noise == static_cast<double>(time));
}

TEST_CASE("lcm: times of solver and sampler, worked") {
  CHECK(lcm_sampling_times(1) == std::vector<int64_t>{999});
  CHECK(lcm_sampling_times(2) == std::vector<int64_t>{999, 499});
  CHECK(lcm_sampling_times(4) == std::vector<int64_t>{999, 759, 519, 279});
  CHECK(lcm_sampling_times(8) == std::vector<int64_t>{999, 879, 759, 639, 519, 399, 279, 159});
  CHECK(lcm_sampling_times(16).back() == 99);
  CHECK(lcm_times(1000, 50).front() == 19);
  VpSchedule schedule = VpSchedule::scaled_linear();
  PairSampler pairs(lcm_pairs(schedule, 50));
  CHECK(pairs.levels(0) == 51);  // time 0 and 50 others
  Generator g(1);
  NoisePair pair = pairs.draw(0, zeros({64, 1}, f64), g);
  auto high = to_vector(pair.high), low = to_vector(pair.low);
  for (size_t b = 0; b < high.size(); ++b) {
    double t = std::round(schedule.time_of(high[b])), m = std::round(schedule.time_of(low[b]));
    CHECK(std::fmod(t + 1, 20) == 0);
    CHECK(m == (t == 19 ? 0 : t - 20));
  }
  CHECK_THROWS_WITH_AS(lcm_sampling_times(51), "lcm_sampling_times: between 1 and 50 steps can be taken, not 51", ValueError);
  CHECK_THROWS_AS(lcm_sampling_times(0), ValueError);
  CHECK_THROWS_WITH_AS(lcm_times(10, 11), "lcm_times: 11 of 10 times", ValueError);
}

TEST_CASE("lcm: both ways to count guidance, and the embedding of its weight") {
  Tensor c = tensor({{0.4, -0.1}}, f64), u = tensor({{0.1, 0.2}}, f64);
  auto beyond = to_vector(guided_beyond(c, u, full({1}, 7.5, f64))), from_none = to_vector(guided(c, u, 7.5));
  CHECK(beyond[0] == doctest::Approx(2.65));
  CHECK(beyond[1] == doctest::Approx(-2.35));
  CHECK(from_none[0] == doctest::Approx(2.35));
  CHECK(from_none[1] == doctest::Approx(-2.05));
  CHECK(test::same_bits(guided_beyond(c, u, zeros({1}, f64)), c));
  CHECK(test::difference(guided(c, u, 1), c) < 1e-15);
  Tensor two = guided_denoiser([](const Tensor& x, const Tensor&) { return x * 2.0; }, [](const Tensor& x, const Tensor&) { return x; },
                               tensor({0.0, 3.0}, f64))(ones({2, 1}, f64), ones({2}, f64));
  CHECK(to_vector(two) == std::vector<double>{2, 5});
  Tensor e = guidance_embedding(full({1}, 7.0, f64));
  CHECK(e.shape() == Shape{1, 256});
  CHECK(to_vector(e)[0] == doctest::Approx(std::sin(7000.0)));
  CHECK(to_vector(e)[127] == doctest::Approx(std::sin(7000.0 * 1e-4)));
  CHECK(to_vector(e)[128] == doctest::Approx(std::cos(7000.0)));
  CHECK_THROWS_WITH_AS(guidance_embedding(ones({1}), 7), "guidance_embedding: the width must be even and at least 4, it is 7", ValueError);
}

// A network with the exact form of the solution for normal data N(μ, 1): ε = √(1 − ᾱ)(z − √ᾱ m), with one number m to be learned.
namespace {
struct OneNumber : nn::Module {
  VpSchedule schedule = VpSchedule::scaled_linear();
  nn::Parameter m{this, "m", zeros({1}, f64)};
  Tensor operator()(const Tensor& z, const Tensor& t) const {
    std::vector<double> alpha_bar;
    for (double time : to_vector(t)) alpha_bar.push_back(schedule.alpha_bar(static_cast<int64_t>(time)));
    Tensor a = per_example(from_vector(alpha_bar), z);
    return sqrt(1 - a) * (z - sqrt(a) * m);
  }
};
}  // namespace

TEST_CASE("lcm: distillation of a teacher on skipping steps draws a student to the teacher's mean, and only the student moves") {
  manual_seed(1);
  VpSchedule schedule = VpSchedule::scaled_linear();
  OneNumber student, teacher_net;
  teacher_net.m = full({1}, 0.8, f64);
  OneNumber average = student;
  VpPrecondition vp(schedule, Prediction::eps);
  LcmPrecondition lcm(schedule, Prediction::eps);
  Denoiser teacher = [&](const Tensor& x, const Tensor& s) {
    return vp.denoise([&](const Tensor& z, const Tensor& t) { return teacher_net(z, to(from_vector(to_vector(t)), f64)); }, x, s);
  };
  auto of = [&](const OneNumber& net) -> Denoiser {
    return [&](const Tensor& x, const Tensor& s) { return lcm.denoise([&](const Tensor& z, const Tensor& t) { return net(z, t); }, x, s); };
  };
  PairSampler pairs(lcm_pairs(schedule, 20));
  optim::Adam adam(student.parameters(), {.lr = 0.02});
  for (int64_t k = 0; k < 150; ++k) {
    NoisePair pair = distilled(pairs.draw(k, randn({32, 1}, {.dtype = f64}) + 0.8), teacher, NoiseRule::eta(0));
    adam.zero_grad();
    Tensor loss = mean(consistency_losses(pair, of(student), of(student), ConsistencyMetric::elementwise_huber, 0.001));
    loss.backward();
    CHECK_FALSE(teacher_net.m.grad().defined());
    adam.step();
  }
  CHECK(student.m.item() == doctest::Approx(0.8).epsilon(0.15));
  Generator g(2);
  Tensor samples = lcm_sample(of(student), randn({4000, 1}, {.dtype = f64, .generator = &g}), schedule, 4, 20, g);
  CHECK_FALSE(samples.requires_grad());
  CHECK(mean(samples).item() == doctest::Approx(0.8).epsilon(0.2));
}
