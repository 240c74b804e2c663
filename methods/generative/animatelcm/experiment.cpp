// AnimateLCM on moving digits: many images, few videos; image and motion priors distilled one after the other or both from the videos.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/moving_images.h"
#include "methods/common/digit_generation.h"
#include "methods/generative/animatelcm/animatelcm.h"
#include "models/diffusion/loss.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/video_mlp.h"
#include "models/metrics/video_frechet.h"
#include "models/nn/low_rank.h"
#include "models/nn/video.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "models/train/video_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::animatelcm {
namespace {

using namespace diffusion;

constexpr int64_t kFrames = 6, kImages = 128, kVideos = 32;
constexpr double kSigmaMax = 80;
constexpr double kImageRate = 2e-3, kMotionRate = 3e-3, kDirectRate = 1.5e-3;
constexpr nn::LowRankOptions kImageAdapter{.rank = 64, .alpha = 64};
constexpr int64_t kManyVideos = 64, kFewVideos = 8;

struct Setting {
  int64_t image_teacher, video_teacher, image_stage, video_stage, samples;
};
Setting setting(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {10, 6, 4, 4, 40};
  return cell.budget() == Budget::usual ? Setting{3000, 1500, 1500, 800, 1000} : Setting{20'000, 10'000, 10'000, 5'000, 5000};
}
// As many steps on videos alone as make the frames that the two stages see.
int64_t direct_steps(const Setting& s) { return s.video_stage + s.image_stage * kImages / (kVideos * kFrames); }

std::vector<double> grid() { return karras_sigmas_to_zero(40, 0.002, kSigmaMax); }

struct Clips {
  Tensor videos, directions;  ///< [n, 1, F, 8, 8] scaled to deviation 1, i64 [n]
};

// Digits `from` … `to` of a random order, each moving in a direction of its own.
Clips clips_of(const data::Dataset& digits, int64_t n, uint64_t seed) {
  data::Batch all = data::moving_images(digits, n, {.frames = kFrames, .seed = seed}).batch(n).next();
  return {all["video"], all["direction"]};
}

struct Data {
  Clips many, few, held_out;
  Tensor images;  ///< frames of videos of every digit, [n, 1, 8, 8]: no motion to be seen
  double mean, scale;
  Tensor pixels(const Tensor& x) const { return clamp(x * scale + mean, 0, 1); }
};

Data make_data(int64_t samples) {
  data::Dataset digits = data::digits().all();
  Generator& g = default_generator();
  std::vector<int64_t> order = data::random_order(digits.size(), g);
  data::Dataset known = digits.subset({order.begin(), order.begin() + kManyVideos}),
                unknown = digits.subset({order.begin() + kManyVideos, order.end()});
  Data d{clips_of(known, kManyVideos, g.next_u64()), {}, clips_of(unknown, samples, g.next_u64()), {}, 0, 1};
  Tensor every = clips_of(digits, 4 * digits.size(), g.next_u64()).videos;
  d.mean = mean(every).item();
  d.scale = std_dev(every, {}, 0).item();
  d.images = (nn::as_frames(every) - d.mean) / d.scale;
  for (Clips* c : {&d.many, &d.held_out}) c->videos = (c->videos - d.mean) / d.scale;
  d.few = {narrow(d.many.videos, 0, 0, kFewVideos), narrow(d.many.directions, 0, 0, kFewVideos)};
  return d;
}

Clips batch_of(const Clips& c, int64_t n) {
  Tensor chosen = randint(0, c.videos.size(0), {n});
  return {index_select(c.videos, 0, chosen), index_select(c.directions, 0, chosen)};
}
Tensor batch_of(const Tensor& images, int64_t n) { return index_select(images, 0, randint(0, images.size(0), {n})); }

// -- models as denoisers -----------------------------------------------------------------------------------------

const ContinuousVPrecondition kPrecondition{};

Denoiser denoiser_of(const TimeMlp& net) {
  return [&net](const Tensor& x, const Tensor& sigma) {
    return kPrecondition.denoise([&](const Tensor& y, const Tensor& noise) { return net(y, noise); }, x, sigma);
  };
}
Denoiser denoiser_of(const VideoMlp& net, const VideoInputs& inputs) {
  return [&net, inputs](const Tensor& x, const Tensor& sigma) {
    return kPrecondition.denoise([&](const Tensor& y, const Tensor& noise) { return net(y, noise, inputs); }, x, sigma);
  };
}

// Runs `steps` of Adam on loss(k), the rate falling by cosine, and keeps the average of the effective weights.
template <typename Model, typename Loss, typename After>
Model trained(Cell& cell, Model& model, std::vector<Tensor> parameters, int64_t steps, double rate, Loss&& loss, After&& after) {
  Model average = optim::without_adapters(model, true);
  optim::Adam adam(std::move(parameters), {.lr = rate});
  optim::Schedule schedule = optim::cosine(steps);
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 10 == 0) cell.progress(0);
    adam.set_lr_scale(schedule(k));
    adam.zero_grad();
    loss(k).backward();
    adam.step();
    optim::merged_ema_update(average, model, optim::ema_decay({.decay = 0.999, .warmup = true}, k));
    after();
  }
  return average;
}

Tensor denoising_loss(const Denoiser& d, const Tensor& clean) {
  Tensor sigma = lognormal_and_high_sigmas(clean.size(0), {.mean = -0.5, .depth = 1, .sigma_max = kSigmaMax});
  return mean(denoising_losses(d, clean, randn_like(clean), sigma, {.weighting = Weighting::edm, .sigma_data = 1}));
}

TimeMlp image_teacher(Cell& cell, const Data& d) {
  TimeMlp net({.features = 64, .hidden = {192, 192, 192}});
  return trained(
      cell, net, net.parameters(), setting(cell).image_teacher, 1e-3,
      [&](int64_t) { return denoising_loss(denoiser_of(net), batch_of(d.images, kImages)); }, [] {});
}

// Temporal layers alone; a tenth of the videos without their class.
VideoMlp video_teacher(Cell& cell, const Clips& clips, const TimeMlp& image) {
  VideoMlp net(image, {.classes = 4});
  net.image.requires_grad_(false);
  return trained(
      cell, net, net.motion_parameters(), setting(cell).video_teacher, 1e-3,
      [&](int64_t) {
        Clips c = batch_of(clips, kVideos);
        Tensor labels = where(bernoulli({kVideos}, 0.1), -1, c.directions);
        return denoising_loss(denoiser_of(net, {.labels = labels}), c.videos);
      },
      [] {});
}

// -- distillation ------------------------------------------------------------------------------------------------

// Stage 1: low-rank adapters of the image network, on images. What they are when training ends.
StateDict image_adapters(Cell& cell, const Data& d, const TimeMlp& teacher) {
  TimeMlp student = teacher;
  nn::add_adapter(student, "image", kImageAdapter);
  nn::train_adapters_only(student);
  Distillation<TimeMlp> training(student, kPrecondition, {});
  std::vector<Tensor> parameters;
  for (const Tensor& p : student.parameters())
    if (p.requires_grad()) parameters.push_back(p);
  std::vector<double> levels = grid();
  auto answer = [](const TimeMlp& m, const Tensor& x, const Tensor& noise) { return m(x, noise); };
  trained(
      cell, student, parameters, setting(cell).image_stage, kImageRate,
      [&](int64_t) { return mean(training.losses(solved(draw_pair(levels, batch_of(d.images, kImages)), denoiser_of(teacher)), answer)); },
      [&] { training.update(); });
  return nn::adapter_state(student, "image");
}

struct Videos {
  const Clips& clips;
  const VideoMlp& teacher;
  std::string name;  ///< of the line in the chart of losses
};

struct Stage {
  TargetStart start;
  int64_t steps;
  double rate;
};

VideoMlp distilled_on(Cell& cell, const Videos& v, VideoMlp student, const std::vector<Tensor>& parameters, const Stage& stage) {
  Distillation<VideoMlp> training(student, kPrecondition, {.start = stage.start});
  std::vector<double> levels = grid();
  return trained(
      cell, student, parameters, stage.steps, stage.rate,
      [&](int64_t k) {
        Clips c = batch_of(v.clips, kVideos);
        VideoInputs inputs{.labels = c.directions};
        Tensor loss = mean(training.losses(solved(draw_pair(levels, c.videos), denoiser_of(v.teacher, inputs)),
                                           [&](const VideoMlp& m, const Tensor& x, const Tensor& noise) { return m(x, noise, inputs); }));
        if (k % 10 == 0 && k <= 200) cell.point("distillation loss, first steps", "step", static_cast<double>(k), loss.item(), v.name);
        return loss;
      },
      [&] { training.update(); });
}

// Stage 2: temporal layers alone, image network and adapters frozen.
VideoMlp decoupled(Cell& cell, const Videos& v, const StateDict& adapters, TargetStart start) {
  VideoMlp student = v.teacher;
  nn::add_adapter(student.image, "image", kImageAdapter);
  nn::load_adapter_state(student.image, "image", adapters);
  student.requires_grad_(false);
  std::vector<Tensor> parameters = student.motion_parameters();
  for (const Tensor& p : parameters) p.requires_grad_();
  return distilled_on(cell, v, std::move(student), parameters, {start, setting(cell).video_stage, kMotionRate});
}

VideoMlp direct(Cell& cell, const Videos& v) {
  VideoMlp student = v.teacher;
  student.requires_grad_();
  std::vector<Tensor> parameters = student.parameters();
  return distilled_on(cell, v, std::move(student), parameters, {TargetStart::copy, direct_steps(setting(cell)), kDirectRate});
}

// A first frame as condition, learned without a teacher: pairs share their noise, all else is frozen.
VideoMlp with_first_frame(Cell& cell, const Clips& clips, const VideoMlp& model) {
  VideoMlpConfig config = model.config();
  config.first_frame = true;
  VideoMlp student(model.image, config);
  student.load_state(model.state(), false);
  student.requires_grad_(false);
  std::vector<Tensor> parameters = student.first_frame_parameters();
  for (const Tensor& p : parameters) p.requires_grad_();
  Distillation<VideoMlp> training(student, kPrecondition, {});
  std::vector<double> levels = grid();
  return trained(
      cell, student, parameters, setting(cell).video_stage, kMotionRate,
      [&](int64_t) {
        Clips c = batch_of(clips, kVideos);
        VideoInputs inputs{.labels = c.directions, .first_frame = contiguous(select(c.videos, 2, 0))};
        return mean(training.losses(draw_pair(levels, c.videos),
                                    [&](const VideoMlp& m, const Tensor& x, const Tensor& noise) { return m(x, noise, inputs); }));
      },
      [&] { training.update(); });
}

// -- measuring ---------------------------------------------------------------------------------------------------

// Share of videos whose frames follow each other as their class says, among the four directions.
double right_directions(const Tensor& videos, const Tensor& directions) {
  std::vector<Tensor> errors;
  Tensor next = narrow(videos, 2, 1, kFrames - 1), before = narrow(videos, 2, 0, kFrames - 1);
  for (int64_t d = 0; d < 4; ++d) {
    auto [down, right] = data::step_of(d);
    errors.push_back(sum(square(next - roll(before, {down, right}, {3, 4})), {1, 2, 3, 4}));
  }
  return mean(to(argmin(stack(errors, 1), 1) == directions, f64)).item();
}

struct Sampling {
  Sampler sampler = Sampler::consistency;
  bool first_frame = false;
};

Tensor samples(const Cell& cell, const Data& d, const VideoMlp& model, const Sampling& how, int64_t steps) {
  Generator noise(cell.seed() ^ 0xa11c);
  Tensor x = randn(d.held_out.videos.shape(), {.generator = &noise}) * kSigmaMax;
  VideoInputs inputs{.labels = d.held_out.directions};
  if (how.first_frame) inputs.first_frame = contiguous(select(d.held_out.videos, 2, 0));
  std::vector<double> levels = few_step_levels(steps);
  levels.push_back(0);
  Tensor y = sample(denoiser_of(model, inputs), x, levels, {.sampler = how.sampler, .sigma_min = 0, .generator = &noise});
  return clamp(y, -d.mean / d.scale, (1 - d.mean) / d.scale);
}

void measure(Cell& cell, const Data& d, const VideoMlp& many, const VideoMlp& few, const Sampling& how) {
  auto reference = cell.shared("reference", [&] { return metrics::VideoStatistics(d.held_out.videos); });
  for (int64_t steps : {1, 2, 4}) {
    std::string end = steps == 1 ? ", 1 step" : ", " + std::to_string(steps) + " steps";
    Tensor y = samples(cell, d, many, how, steps), z = samples(cell, d, few, how, steps);
    metrics::VideoDistance of_many = reference->distance(y), of_few = reference->distance(z);
    cell.metric("frames FD" + end, of_many.frames);
    cell.metric("motion FD" + end, of_many.motion);
    cell.point("Fréchet distance of frames", "sampling steps", static_cast<double>(steps), of_many.frames, "64 videos");
    cell.point("Fréchet distance of frames", "sampling steps", static_cast<double>(steps), of_few.frames, "8 videos");
    if (steps != 4) continue;
    cell.metric("frames FD, 4 steps, 8 videos", of_few.frames);
    cell.metric("motion FD, 4 steps, 8 videos", of_few.motion);
    cell.metric("right direction (%)", 100 * right_directions(y, d.held_out.directions));
    cell.metric("error to the true clip (RMSE)", std::sqrt(mean(square(y - d.held_out.videos)).item()));
    cell.picture("clips, 4 steps", train::video_grid(d.pixels(narrow(y, 0, 0, 32)), {.columns = 8}));
    cell.picture("clips, 4 steps, of 8 videos", train::video_grid(d.pixels(narrow(z, 0, 0, 32)), {.columns = 8}));
    cell.picture("frames, 4 steps", train::video_strips(d.pixels(narrow(y, 0, 0, 8)), {.zoom = 4}));
  }
}

void run(Cell& cell) {
  Setting s = setting(cell);
  auto d = cell.shared("data", [&] { return make_data(s.samples); });
  auto image = cell.shared("image teacher", [&] { return image_teacher(cell, *d); });
  auto many = cell.shared("video teacher", [&] { return video_teacher(cell, d->many, *image); });
  auto few = cell.shared("video teacher of few", [&] { return video_teacher(cell, d->few, *image); });
  if (cell.is("teacher, DDIM")) return measure(cell, *d, *many, *few, {.sampler = Sampler::euler});
  if (cell.is("teacher, DPM-Solver++")) return measure(cell, *d, *many, *few, {.sampler = Sampler::dpmpp_2m});
  Videos of_many{d->many, *many, "64 videos"}, of_few{d->few, *few, "8 videos"};
  if (cell.is("direct")) return measure(cell, *d, direct(cell, of_many), direct(cell, of_few), {});
  auto adapters = cell.shared("image adapters", [&] { return image_adapters(cell, *d, *image); });
  if (cell.is("decoupled, adapters in the target"))
    return measure(cell, *d, decoupled(cell, of_many, *adapters, TargetStart::copy), decoupled(cell, of_few, *adapters, TargetStart::copy),
                   {});
  auto student = cell.shared("student", [&] { return decoupled(cell, of_many, *adapters, TargetStart::without_adapters); });
  auto student_of_few = cell.shared("student of few", [&] { return decoupled(cell, of_few, *adapters, TargetStart::without_adapters); });
  if (cell.is("AnimateLCM")) return measure(cell, *d, *student, *student_of_few, {});
  measure(cell, *d, with_first_frame(cell, d->many, *student), with_first_frame(cell, d->few, *student_of_few), {.first_frame = true});
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics{{"frames FD, 4 steps", Better::lower}, {"frames FD, 4 steps, 8 videos", Better::lower}};
  for (const char* name : {"frames FD, 1 step", "frames FD, 2 steps", "motion FD, 1 step", "motion FD, 2 steps", "motion FD, 4 steps",
                           "motion FD, 4 steps, 8 videos"})
    metrics.push_back({name, Better::lower});
  metrics.push_back({"right direction (%)", Better::higher});
  metrics.push_back({"error to the true clip (RMSE)", Better::lower});
  return {.title = "AnimateLCM",
          .paper =
              "Wang et al., AnimateLCM: Computation-Efficient Personalized Style Video Generation without Personalized Video Data, "
              "SIGGRAPH Asia 2024",
          .claim = "With many images and few videos, distilling looks on images and motion on videos beats distilling both on videos",
          .metrics = metrics,
          .variants = {{"teacher, DDIM", "the video diffusion model itself in so many Euler steps"},
                       {"teacher, DPM-Solver++", "the same, second order"},
                       {"direct", "all weights distilled on the videos alone, as many frames seen"},
                       {"decoupled, adapters in the target", "both stages, the target starts as the student"},
                       {"AnimateLCM", "both stages, the target starts without the image adapters"},
                       {"AnimateLCM, first frame", "a first frame as condition, added by teacher-free adaptation"}},
          .baseline = "direct",
          .method = "AnimateLCM",
          .run = run};
}

}  // namespace plumb::methods::animatelcm
