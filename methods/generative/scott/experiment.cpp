// SCott on small digits: how much noise the solver inside distillation should add, how finely it should step, and what a discriminator
// does.
#include "methods/experiment.h"

#include <algorithm>
#include <optional>

#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "methods/common/image_generation.h"
#include "methods/generative/scott/scott.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/teacher_discriminator.h"
#include "models/metrics/neighbours.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::scott {
namespace {

using namespace diffusion;

constexpr int64_t kLevels = 125, kInterval = 3;
constexpr double kSigmaMax = 80, kEta = 0.2, kAdversarial = 0.01;
constexpr int64_t kStepCounts[] = {1, 2, 4, 8};

struct Setting {
  int64_t teacher_steps, student_steps, batch, samples, judged;
  double teacher_rate = 1e-3, rate = 5e-4;
};
Setting digit_setting(const Cell& cell) {
  return {cell.pick<int64_t>(40, 800, 800), cell.pick<int64_t>(12, 2500, 2500), 128, cell.pick<int64_t>(400, 2000, 2000),
          cell.pick<int64_t>(200, 1000, 1000)};
}
constexpr Setting kImageSetting{100'000, 40'000, 128, 10'000, 2000, 2e-4, 1e-4};

// How a variant's student is distilled.
enum class Judge : uint8_t { none, adapters, unconditional, everything };
struct Arm {
  NoiseRule rule = NoiseRule::eta(0);
  int64_t sub_steps = 3;
  Judge judge = Judge::none;
};

Arm arm_of(const Cell& cell) {
  if (cell.is("LCM")) return {.sub_steps = 1};
  if (cell.is("η = 0")) return {};
  if (cell.is("η = 0.1")) return {.rule = NoiseRule::eta(0.1)};
  if (cell.is("η = 0.2")) return {.rule = NoiseRule::eta(0.2)};
  if (cell.is("η = 0.3")) return {.rule = NoiseRule::eta(0.3)};
  if (cell.is("η = 1")) return {.rule = NoiseRule::eta(1)};
  if (cell.is("ER-SDE 5")) return {.rule = NoiseRule::er_sde5()};
  if (cell.is("η = 0 + GAN")) return {.judge = Judge::adapters};
  if (cell.is("SCott, unconditional GAN")) return {.rule = NoiseRule::eta(kEta), .judge = Judge::unconditional};
  if (cell.is("SCott, all of the GAN trained")) return {.rule = NoiseRule::eta(kEta), .judge = Judge::everything};
  return {.rule = NoiseRule::eta(kEta), .judge = Judge::adapters};
}

// The discriminator with its optimiser: what is read of the teacher, and which layers get adapters.
TeacherDiscriminator<TimeMlp> judge_of(const TimeMlp& teacher, int64_t rank, bool conditional) {
  return {teacher, teacher.config().hidden.back(), {.rank = rank, .adapted = {"hidden.0", "hidden.1"}, .conditional = conditional}};
}
TeacherDiscriminator<TimeUnet> judge_of(const TimeUnet& teacher, int64_t rank, bool conditional) {
  rank = std::min(rank, teacher.config().width);  // no more than the narrowest layer has
  return {teacher, teacher.feature_width(), {.rank = rank, .adapted = teacher.decoder_layers(), .conditional = conditional}};
}

template <typename Network>
class Adversary {
 public:
  Adversary(const Network& teacher, Judge judge, double rate)
      : network_(judge_of(teacher, judge == Judge::everything ? 0 : 8, judge != Judge::unconditional)),
        adam_(placed(network_, teacher.last_weight().device()), {.lr = rate, .beta1 = 0.5}) {}
  Discriminator judge() const {
    return [this](const Tensor& x, const Tensor& sigma) { return network_(x, sigma); };
  }
  void step(const Tensor& clean, const Tensor& estimate, const Tensor& sigma) {
    adam_.zero_grad();
    discriminator_objective(judge(), clean, estimate, sigma).backward();
    adam_.step();
  }

 private:
  static std::vector<Tensor> placed(TeacherDiscriminator<Network>& network, Device device) {
    network.to(device);
    return network.trained();
  }
  TeacherDiscriminator<Network> network_;
  optim::Adam adam_;
};

template <typename Problem, typename Network = typename Problem::Network>
Network distil(Cell& cell, const Problem& problem, const Network& teacher, const Setting& s, const Arm& arm) {
  Network student = teacher;
  student.requires_grad_();
  Options options{.levels = karras_sigmas(kLevels, 0.002, kSigmaMax, 7, GridOrder::ascending),
                  .interval = kInterval,
                  .sub_steps = arm.sub_steps,
                  .rule = arm.rule,
                  .adversarial = kAdversarial};
  Distillation<Network> distillation(student, as_consistency_model<Network>, options);
  std::optional<Adversary<Network>> adversary;
  if (arm.judge != Judge::none) adversary.emplace(teacher, arm.judge, s.rate);
  optim::Adam adam(student.parameters(), {.lr = s.rate});
  optim::Ema<Network> average(student, {.decay = 0.999, .warmup = true});
  for (int64_t k = 0; k < s.student_steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(s.student_steps));
    Tensor clean = problem.batch(s.batch);
    NoisePair pair = distillation.draw(clean, as_denoiser(teacher));
    Objective at = distillation.objective(pair, adversary ? adversary->judge() : Discriminator());
    adam.zero_grad();
    at.loss.backward();
    adam.step();
    distillation.update();
    average.update(student);
    if (adversary) adversary->step(clean, at.estimate, pair.high);
  }
  return average.model;
}

// Draws samples with M steps from σ_max z, z the same for all variants of a seed.
using SampleWith = std::function<Tensor(const Tensor& x, int64_t steps, Generator& generator)>;

template <typename Problem, typename Oracle>
void measure(Cell& cell, const Problem& problem, const Oracle& oracle, const Setting& s, const SampleWith& sample) {
  auto samples = [&](int64_t n, int64_t steps) {
    Generator noise(cell.seed() ^ 0x5c077);
    Tensor x = randn(problem.shape(n), {.device = cell.device(), .generator = &noise}) * kSigmaMax;
    return problem.clipped(sample(x, steps, noise));
  };
  for (int64_t steps : kStepCounts) {
    double distance = problem.frechet_distance(samples(s.samples, steps));
    cell.metric("FD, " + std::to_string(steps) + (steps == 1 ? " step" : " steps"), distance);
    cell.point("Fréchet distance", "sampling steps", static_cast<double>(steps), distance);
  }
  Tensor two = samples(s.samples, 2), real = narrow(problem.rows, 0, 0, s.judged), judged = narrow(two, 0, 0, s.judged);
  cell.metric("coverage, 2 steps (%)", 100 * metrics::precision_recall(flatten(real, 1), flatten(judged, 1), 5).coverage);
  cell.metric("FID of digit features, 2 steps", metrics::frechet_distance(oracle.features(two), oracle.features(problem.rows)));
  for (int64_t steps : {1, 2})
    cell.picture(steps == 1 ? "samples, 1 step" : "samples, 2 steps",
                 train::image_grid(problem.images(samples(48, steps)), {.columns = 12}));
}

// The teacher's own samplers with the same number of calls.
template <typename Network>
SampleWith teacher_sampling(const Network& teacher, double eta) {
  return [&teacher, eta](const Tensor& x, int64_t steps, Generator& generator) {
    std::vector<double> levels = few_step_levels(steps);
    levels.push_back(0);
    return diffusion::sample(as_denoiser(teacher), x, levels, {.sampler = Sampler::ddim, .eta = eta, .generator = &generator});
  };
}

template <typename Problem, typename Oracle>
void run_on(Cell& cell, const Problem& problem, const Oracle& oracle, const Setting& s) {
  auto teacher = cell.shared("teacher", [&] {
    return train_denoiser_of(problem, {.steps = s.teacher_steps, .batch = s.batch, .lr = s.teacher_rate},
                             [&](double) { cell.progress(0); });
  });
  if (cell.is("teacher, ODE")) return measure(cell, problem, oracle, s, teacher_sampling(*teacher, 0));
  if (cell.is("teacher, SDE")) return measure(cell, problem, oracle, s, teacher_sampling(*teacher, 1));
  auto student = distil(cell, problem, *teacher, s, arm_of(cell));
  measure(cell, problem, oracle, s, [&](const Tensor& x, int64_t steps, Generator& generator) {
    return diffusion::sample(as_consistency_model(student), x, few_step_levels(steps),
                             {.sampler = Sampler::consistency, .generator = &generator});
  });
}

void run(Cell& cell) {
  if (cell.budget() == Budget::full) {
    auto images = cell.shared("images", [&] { return ImageProblem({.device = cell.device()}); });
    return run_on(cell, *images, *images, kImageSetting);
  }
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(40, 1500, 1500)); });
  run_on(cell, *digits, *oracle, digit_setting(cell));
}

}  // namespace

void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples) {
  run_on(cell, problem, problem, {steps, steps, batch, samples, samples});
}

Experiment experiment() {
  return {
      .title = "SCott",
      .paper = "Liu, Xie, Ye, Deng et al., SCott: Accelerating Diffusion Models with Stochastic Consistency Distillation, AAAI 2025",
      .claim = "Some noise in the solver inside consistency distillation, small steps and a discriminator make samples of few steps better",
      .metrics = {{"FD, 2 steps", Better::lower},
                  {"FD, 1 step", Better::lower},
                  {"FD, 4 steps", Better::lower},
                  {"FD, 8 steps", Better::lower},
                  {"coverage, 2 steps (%)", Better::higher},
                  {"FID of digit features, 2 steps", Better::lower}},
      .variants = {{"teacher, ODE", "the teacher itself, DDIM with as many calls"},
                   {"teacher, SDE", "the teacher's ancestral sampler"},
                   {"LCM", "η = 0 in one solver step: 1 teacher call a step of training, all below 3"},
                   {"η = 0", "consistency distillation in 3 solver steps without noise"},
                   {"η = 0.1", "with noise"},
                   {"η = 0.2", "with noise"},
                   {"η = 0.3", "with noise"},
                   {"η = 1", "with all the noise of the ancestral sampler"},
                   {"ER-SDE 5", "with the noise of the extended SDE solver"},
                   {"η = 0 + GAN", "no noise, with SCott's discriminator"},
                   {"SCott, unconditional GAN", "η = 0.2, the discriminator not told the noise level"},
                   {"SCott, all of the GAN trained", "η = 0.2, the discriminator's body trained instead of adapters"},
                   {"SCott", "η = 0.2, a discriminator of the teacher's network with adapters and told the noise level"}},
      .baseline = "LCM",
      .method = "SCott",
      .run = run,
      .follows_device = true};
}

}  // namespace plumb::methods::scott
