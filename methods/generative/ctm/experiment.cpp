// CTM on small digits: quality against the number of steps, beside consistency distillation from the same teacher and the teacher itself.
#include "methods/experiment.h"

#include <functional>
#include <optional>

#include "methods/common/digit_generation.h"
#include "methods/generative/ctm/ctm.h"
#include "models/diffusion/consistency_training.h"
#include "models/diffusion/sampler.h"
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

constexpr int64_t kLevels = 18, kBatch = 128;
constexpr double kRate = 5e-4, kSigmaMax = 80;
constexpr int64_t kStepCounts[] = {1, 2, 4, 8, 18};

int64_t student_steps(const Cell& cell) { return cell.pick<int64_t>(12, 3000, 60'000); }
int64_t sample_count(const Cell& cell) { return cell.pick<int64_t>(400, 3000, 10'000); }

TrajectoryModel model_of(const TimeMlp& network) {
  return TrajectoryModel([&network](const Tensor& x, const Tensor& time, const Tensor& end) { return network(x, time, end); });
}

struct StudentOptions {
  bool denoising = true, adversarial = false;
  int64_t max_steps = 8;
};

// The adversary of the last half of a run: it tells digits from the student's jumps to the end.
class Adversary {
 public:
  Adversary(int64_t features, Device device)
      : network_(mlp::MlpConfig{.inputs = features, .hidden = {128, 128}, .outputs = 1, .activation = "silu"}),
        adam_(placed(network_, device), {.lr = 2e-3, .beta1 = 0.5}) {}
  std::function<Tensor(const Tensor&)> judge() {
    return [this](const Tensor& x) { return network_(x); };
  }
  void step(const Tensor& clean, const Tensor& estimate) {
    adam_.zero_grad();  // the student's step left gradients here
    discriminator_objective(judge(), clean, estimate).backward();
    adam_.step();
  }

 private:
  static std::vector<Tensor> placed(mlp::Mlp& network, Device device) {
    network.to(device);
    return network.parameters();
  }
  mlp::Mlp network_;
  optim::Adam adam_;
};

// The averaged weights are both the target and what is sampled: the decays of the two are the same.
TimeMlp train_trajectory(Cell& cell, const DigitVectors& digits, const TimeMlp& teacher, const StudentOptions& o) {
  TimeMlp student({.features = digits.rows.size(1), .second_time = true});
  student.to(cell.device());
  student.load_state(teacher.state(), false);
  optim::Ema<TimeMlp> average(student, {.decay = 0.999});
  optim::Adam adam(student.parameters(), {.lr = kRate});
  CtmOptions options{.levels = kLevels, .max_steps = o.max_steps, .denoising = o.denoising};
  std::optional<Adversary> adversary;
  int64_t steps = student_steps(cell);
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    if (o.adversarial && k == steps / 2) adversary.emplace(digits.rows.size(1), cell.device());
    Parts parts{model_of(student), model_of(average.model), denoiser(teacher), student.last_weight()};
    if (adversary) parts.discriminator = adversary->judge();
    Tensor clean = digits.batch(kBatch);
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
struct Consistency {
  explicit Consistency(TimeMlp network) : weights(std::move(network)) {}
  TimeMlp weights;
  Tensor sample(const Tensor& x, int64_t steps, Generator& generator) const {
    ConsistencyPrecondition precondition;
    Denoiser jump = [&](const Tensor& y, const Tensor& sigma) {
      return precondition.denoise([&](const Tensor& z, const Tensor& noise) { return weights(z, noise); }, y, sigma);
    };
    return diffusion::sample(jump, x, few_step_levels(steps), {.sampler = Sampler::consistency, .generator = &generator});
  }
};

Consistency train_consistency(Cell& cell, const DigitVectors& digits, const TimeMlp& teacher) {
  TimeMlp student = teacher;
  student.requires_grad_();
  int64_t steps = student_steps(cell);
  ConsistencyRecipe recipe{.pairs = {.steps = steps,
                                     .curriculum = ConsistencyCurriculum::constant,
                                     .s0 = 1,
                                     .s1 = kLevels - 1,
                                     .law = IntervalLaw::uniform,
                                     .weight = IntervalWeight::one},
                           .metric = ConsistencyMetric::mean_square,
                           .target = ConsistencyTarget::average,
                           .decay = 0.95};
  ConsistencyTraining<TimeMlp> training(student, recipe);
  optim::Adam adam(student.parameters(), {.lr = kRate});
  optim::Ema<TimeMlp> average(student, {.decay = 0.999});
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 20 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    Tensor loss = mean(training.distillation_losses(k, digits.batch(kBatch), denoiser(teacher)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    training.update(k);
    average.update(student);
  }
  return Consistency(average.model);
}

// Draws `n` samples with M steps from σ_max z, z the same for all variants of a seed.
using SampleWith = std::function<Tensor(const Tensor& x, int64_t steps, Generator& generator)>;

Tensor samples(const Cell& cell, const DigitVectors& digits, const SampleWith& sample, int64_t n, int64_t steps) {
  Generator noise(cell.seed() ^ 0xc73);
  Tensor x = randn({n, digits.rows.size(1)}, {.device = cell.device(), .generator = &noise}) * kSigmaMax;
  return digits.clipped(sample(x, steps, noise));
}

void measure(Cell& cell, const DigitVectors& digits, const SampleWith& sample) {
  for (int64_t steps : kStepCounts) {
    double distance = digits.frechet_distance(samples(cell, digits, sample, sample_count(cell), steps));
    cell.metric("FD, " + std::to_string(steps) + (steps == 1 ? " step" : " steps"), distance);
    cell.point("Fréchet distance", "sampling steps", static_cast<double>(steps), distance);
  }
  for (int64_t steps : {1, 18})
    cell.picture("samples, " + std::to_string(steps) + (steps == 1 ? " step" : " steps"),
                 train::image_grid(digits.images(samples(cell, digits, sample, 48, steps)), {.columns = 12}));
}

SampleWith teacher_sampling(const TimeMlp& teacher) {
  return [&teacher](const Tensor& x, int64_t steps, Generator& generator) {
    std::vector<double> levels = few_step_levels(steps);
    levels.push_back(0);
    return diffusion::sample(denoiser(teacher), x, levels, {.sampler = Sampler::heun, .generator = &generator});
  };
}

SampleWith gamma_sampling(const TimeMlp& student, double gamma) {
  return [&student, gamma](const Tensor& x, int64_t steps, Generator& generator) {
    return gamma_sample(model_of(student), x, karras_sigmas(steps + 1), gamma, generator);
  };
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  auto teacher = cell.shared("teacher", [&] {
    return train_denoiser(*digits, {.steps = cell.pick<int64_t>(40, 6000, 100'000)}, [&](double) { cell.progress(0); });
  });
  if (cell.is("teacher, Heun")) return measure(cell, *digits, teacher_sampling(*teacher));
  if (cell.is("CD")) {
    Consistency student = train_consistency(cell, *digits, *teacher);
    return measure(cell, *digits,
                   [&](const Tensor& x, int64_t steps, Generator& generator) { return student.sample(x, steps, generator); });
  }
  auto measured_alone = [&](const StudentOptions& o) {
    TimeMlp student = train_trajectory(cell, *digits, *teacher, o);
    measure(cell, *digits, gamma_sampling(student, 0));
  };
  if (cell.is("CTM, no DSM")) return measured_alone({.denoising = false});
  if (cell.is("CTM, n = 1")) return measured_alone({.max_steps = 1});
  if (cell.is("CTM + GAN")) return measured_alone({.adversarial = true});
  auto student = cell.shared("CTM", [&] { return train_trajectory(cell, *digits, *teacher, {}); });
  measure(cell, *digits, gamma_sampling(*student, cell.is("CTM, γ = 0") ? 0 : cell.is("CTM, γ = 0.5") ? 0.5 : 1));
}

}  // namespace

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
          .run = run};
}

}  // namespace plumb::methods::ctm
