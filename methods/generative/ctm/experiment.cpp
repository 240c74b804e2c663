// CTM on small digits: quality against the number of steps, beside consistency distillation from the same teacher and the teacher itself.
// The full budget is the same on images of 32 × 32 with U-Nets.
#include "methods/experiment.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "methods/common/digit_generation.h"
#include "methods/common/image_generation.h"
#include "methods/generative/ctm/ctm.h"
#include "models/diffusion/consistency_training.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/teacher_discriminator.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ctm {
namespace {

using namespace diffusion;

constexpr int64_t kLevels = 18;
constexpr double kSigmaMax = 80;
constexpr int64_t kStepCounts[] = {1, 2, 4, 8, 18};

struct Setting {
  int64_t teacher_steps, student_steps, batch, samples;
  double teacher_rate = 1e-3, rate = 5e-4;
};
Setting digit_setting(const Cell& cell) {
  return {cell.pick<int64_t>(40, 6000, 6000), cell.pick<int64_t>(12, 3000, 3000), 128, cell.pick<int64_t>(400, 3000, 3000)};
}
constexpr Setting kImageSetting{200'000, 100'000, 256, 10'000, 2e-4, 4e-4};

template <typename Network>
TrajectoryModel model_of(const Network& network) {
  return TrajectoryModel([&network](const Tensor& x, const Tensor& time, const Tensor& end) { return network(x, time, end); });
}

struct StudentOptions {
  bool denoising = true, adversarial = false;
  int64_t max_steps = 8;
};

// The adversary of the last half of a run: it tells data from the student's jumps to the end. A small perceptron for digits; for images the
// teacher's own U-Net with adapters.
struct DigitJudge : mlp::Mlp {
  explicit DigitJudge(const TimeMlp& teacher)
      : Mlp(mlp::MlpConfig{.inputs = teacher.config().features, .hidden = {128, 128}, .outputs = 1, .activation = "silu"}) {
    to(teacher.last_weight().device());
  }
  std::vector<Tensor> trained() const { return parameters(); }
};
struct ImageJudge : TeacherDiscriminator<TimeUnet> {
  explicit ImageJudge(const TimeUnet& teacher)
      : TeacherDiscriminator(
            teacher, teacher.feature_width(),
            {.rank = std::min<int64_t>(8, teacher.config().width), .adapted = teacher.decoder_layers(), .conditional = false}) {
    to(teacher.last_weight().device());
  }
  Tensor operator()(const Tensor& x) const { return TeacherDiscriminator::operator()(x, full({x.size(0)}, 1.0, x.dtype(), x.device())); }
};
DigitJudge judge_of(const TimeMlp& teacher) { return DigitJudge(teacher); }
ImageJudge judge_of(const TimeUnet& teacher) { return ImageJudge(teacher); }

template <typename Network>
class Adversary {
 public:
  explicit Adversary(const Network& teacher) : network_(judge_of(teacher)), adam_(network_.trained(), {.lr = 2e-3, .beta1 = 0.5}) {}
  std::function<Tensor(const Tensor&)> judge() {
    return [this](const Tensor& x) { return network_(x); };
  }
  void step(const Tensor& clean, const Tensor& estimate) {
    adam_.zero_grad();  // the student's step left gradients here
    discriminator_objective(judge(), clean, estimate).backward();
    adam_.step();
  }

 private:
  decltype(judge_of(std::declval<const Network&>())) network_;
  optim::Adam adam_;
};

// The averaged weights are both the target and what is sampled: the decays of the two are the same.
template <typename Problem, typename Network = typename Problem::Network>
Network train_trajectory(Cell& cell, const Problem& problem, const Network& teacher, const Setting& s, const StudentOptions& o) {
  Network student = problem.network(true);
  student.load_state(teacher.state(), false);
  optim::Ema<Network> average(student, {.decay = 0.999});
  optim::Adam adam(student.parameters(), {.lr = s.rate});
  CtmOptions options{.levels = kLevels, .max_steps = o.max_steps, .denoising = o.denoising};
  std::optional<Adversary<Network>> adversary;
  int64_t steps = s.student_steps;
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    if (o.adversarial && k == steps / 2) adversary.emplace(teacher);
    Parts parts{model_of(student), model_of(average.model), as_denoiser(teacher), student.last_weight()};
    if (adversary) parts.discriminator = adversary->judge();
    Tensor clean = problem.batch(s.batch);
    Objective at = objective(parts, clean, options);
    adam.zero_grad();
    at.loss.backward();
    adam.step();
    average.update(student);
    if (adversary) adversary->step(clean, at.estimate);
  }
  return average.model;
}

// Consistency distillation (Song et al. 2023): neighbouring levels of the same grid, one Heun step of the same teacher, the mean of
// squares.
template <typename Problem, typename Network = typename Problem::Network>
Network train_consistency(Cell& cell, const Problem& problem, const Network& teacher, const Setting& s) {
  Network student = teacher;
  student.requires_grad_();
  int64_t steps = s.student_steps;
  ConsistencyRecipe recipe{.pairs = {.steps = steps,
                                     .curriculum = ConsistencyCurriculum::constant,
                                     .s0 = 1,
                                     .s1 = kLevels - 1,
                                     .law = IntervalLaw::uniform,
                                     .weight = IntervalWeight::one},
                           .metric = ConsistencyMetric::mean_square,
                           .target = ConsistencyTarget::average,
                           .decay = 0.95};
  ConsistencyTraining<Network> training(student, recipe);
  optim::Adam adam(student.parameters(), {.lr = s.rate});
  optim::Ema<Network> average(student, {.decay = 0.999});
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    Tensor loss = mean(training.distillation_losses(k, problem.batch(s.batch), as_denoiser(teacher)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    training.update(k);
    average.update(student);
  }
  return average.model;
}

// Draws `n` samples with M steps from σ_max z, z the same for all variants of a seed.
using SampleWith = std::function<Tensor(const Tensor& x, int64_t steps, Generator& generator)>;

template <typename Problem>
Tensor samples(const Cell& cell, const Problem& problem, const SampleWith& sample, int64_t n, int64_t steps) {
  Generator noise(cell.seed() ^ 0xc73);
  Tensor x = randn(problem.shape(n), {.device = cell.device(), .generator = &noise}) * kSigmaMax;
  return problem.clipped(sample(x, steps, noise));
}

template <typename Problem>
void measure(Cell& cell, const Problem& problem, const Setting& s, const SampleWith& sample) {
  for (int64_t steps : kStepCounts) {
    double distance = problem.frechet_distance(samples(cell, problem, sample, s.samples, steps));
    cell.metric("FD, " + std::to_string(steps) + (steps == 1 ? " step" : " steps"), distance);
    cell.point("Fréchet distance", "sampling steps", static_cast<double>(steps), distance);
  }
  for (int64_t steps : {1, 18})
    cell.picture("samples, " + std::to_string(steps) + (steps == 1 ? " step" : " steps"),
                 train::image_grid(problem.images(samples(cell, problem, sample, 48, steps)), {.columns = 12}));
}

template <typename Network>
SampleWith teacher_sampling(const Network& teacher) {
  return [&teacher](const Tensor& x, int64_t steps, Generator& generator) {
    std::vector<double> levels = few_step_levels(steps);
    levels.push_back(0);
    return diffusion::sample(as_denoiser(teacher), x, levels, {.sampler = Sampler::heun, .generator = &generator});
  };
}

template <typename Network>
SampleWith consistency_sampling(const Network& student) {
  return [&student](const Tensor& x, int64_t steps, Generator& generator) {
    return diffusion::sample(as_consistency_model(student), x, few_step_levels(steps),
                             {.sampler = Sampler::consistency, .generator = &generator});
  };
}

template <typename Network>
SampleWith gamma_sampling(const Network& student, double gamma) {
  return [&student, gamma](const Tensor& x, int64_t steps, Generator& generator) {
    return gamma_sample(model_of(student), x, karras_sigmas(steps + 1), gamma, generator);
  };
}

template <typename Problem>
void run_on(Cell& cell, const Problem& problem, const Setting& s) {
  using Network = typename Problem::Network;
  auto teacher = cell.shared("teacher", [&] {
    return train_denoiser_of(problem, {.steps = s.teacher_steps, .batch = s.batch, .lr = s.teacher_rate},
                             [&](double) { cell.progress(0); });
  });
  if (cell.is("teacher, Heun")) return measure(cell, problem, s, teacher_sampling(*teacher));
  if (cell.is("CD")) {
    Network student = train_consistency(cell, problem, *teacher, s);
    return measure(cell, problem, s, consistency_sampling(student));
  }
  auto measured_alone = [&](const StudentOptions& o) {
    Network student = train_trajectory(cell, problem, *teacher, s, o);
    measure(cell, problem, s, gamma_sampling(student, 0));
  };
  if (cell.is("CTM, no DSM")) return measured_alone({.denoising = false});
  if (cell.is("CTM, n = 1")) return measured_alone({.max_steps = 1});
  if (cell.is("CTM + GAN")) return measured_alone({.adversarial = true});
  auto student = cell.shared("CTM", [&] { return train_trajectory(cell, problem, *teacher, s, StudentOptions{}); });
  measure(cell, problem, s, gamma_sampling(*student, cell.is("CTM, γ = 0") ? 0 : cell.is("CTM, γ = 0.5") ? 0.5 : 1));
}

void run(Cell& cell) {
  if (cell.budget() == Budget::full) {
    auto images = cell.shared("images", [&] { return ImageProblem({.device = cell.device()}); });
    return run_on(cell, *images, kImageSetting);
  }
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  run_on(cell, *digits, digit_setting(cell));
}

}  // namespace

void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples) {
  run_on(cell, problem, {steps, steps, batch, samples});
}

Experiment experiment() {
  return {.title = "CTM",
          .paper = "Kim, Lai et al., Consistency Trajectory Models: Learning Probability Flow ODE Trajectory of Diffusion, ICLR 2024",
          .claim = "Jumps to any level make samples better with every step, where a consistency model's become worse",
          .metrics = {{"FD, 18 steps", Better::lower},
                      {"FD, 1 step", Better::lower},
                      {"FD, 2 steps", Better::lower},
                      {"FD, 4 steps", Better::lower},
                      {"FD, 8 steps", Better::lower}},
          .variants = {{"CD", "consistency distillation from the same teacher: neighbouring levels, multistep sampling with fresh noise"},
                       {"teacher, Heun", "the teacher's ODE: M steps are 2 M − 1 calls of the network"},
                       {"CTM, no DSM", "without the denoising loss, γ = 0"},
                       {"CTM, n = 1", "the target one solver step away, γ = 0"},
                       {"CTM + GAN", "with a hinge discriminator in the second half, γ = 0"},
                       {"CTM, γ = 1", "CTM sampled as a consistency model: to the end and back with fresh noise"},
                       {"CTM, γ = 0.5", "CTM sampled in between"},
                       {"CTM, γ = 0", "CTM sampled by jumps alone"}},
          .baseline = "CD",
          .method = "CTM, γ = 0",
          .run = run,
          .follows_device = true};
}

}  // namespace plumb::methods::ctm
