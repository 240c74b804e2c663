// DCM on moving digits: one student for all noise levels against two, from the same teacher with the same number of updates.
#include "methods/experiment.h"

#include <cmath>
#include <memory>
#include <optional>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/moving_images.h"
#include "methods/common/digit_oracle.h"
#include "methods/generative/dual_expert_cm/dual_expert_cm.h"
#include "models/gan/feature_discriminator.h"
#include "models/metrics/video_frechet.h"
#include "models/nn/video.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "models/train/video_grid.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::dual_expert_cm {
namespace {

using namespace diffusion;

constexpr int64_t kFrames = 6, kBatch = 64, kBoundary = 35, kGap = 2;
constexpr double kShift = 5, kHuber = 0.1, kRate = 2e-4;

struct Setting {
  int64_t teacher, updates, samples;  ///< updates: of one expert; single students make twice as many
};
Setting setting(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {6, 3, 40};
  return cell.budget() == Budget::usual ? Setting{3000, 600, 1000} : Setting{60'000, 10'000, 5000};
}

FlowSchedule schedule() { return FlowSchedule(kShift); }

struct Data {
  Tensor videos, labels;  ///< [n, 1, F, 8, 8] as DigitVectors scale pixels, i64 [n]
  Tensor held_out, held_out_labels;
  double mean, scale;
  Tensor pixels(const Tensor& x) const { return clamp(x * scale + mean, 0, 1); }
};

Data make_data(int64_t samples) {
  data::Dataset digits = data::digits().all();
  Generator& g = default_generator();
  std::vector<int64_t> order = data::random_order(digits.size(), g);
  auto clips = [&](std::vector<int64_t> places, int64_t n) {
    return data::moving_images(digits.subset(std::move(places)), n,
                               {.frames = kFrames, .directions = data::Directions::eight, .seed = g.next_u64()})
        .batch(n)
        .next();
  };
  data::Batch train = clips({order.begin(), order.begin() + 1400}, 1400 * 8), test = clips({order.begin() + 1400, order.end()}, samples);
  double mean = plumb::mean(train["video"]).item(), scale = 2 * std_dev(train["video"], {}, 0).item();
  return {(train["video"] - mean) / scale, train.label, (test["video"] - mean) / scale, test.label, mean, scale};
}

struct Batch {
  Tensor videos, labels;
};
Batch batch_of(const Data& d) {
  Tensor chosen = randint(0, d.videos.size(0), {kBatch});
  return {index_select(d.videos, 0, chosen), index_select(d.labels, 0, chosen)};
}

template <typename Network>
Velocity velocity_of(const Network& network, const Tensor& labels) {
  return [&network, labels](const Tensor& x, const Tensor& sigma) { return network(x, sigma, labels); };
}

VideoTransformer teacher_of(Cell& cell, const Data& d) {
  VideoTransformer net(VideoTransformerConfig{});
  optim::AdamW adamw(net.parameters(), {.lr = 2e-3, .weight_decay = 1e-3});
  optim::Ema<VideoTransformer> average(net, {.decay = 0.999, .warmup = true});
  int64_t steps = setting(cell).teacher;
  optim::Schedule rate = optim::cosine_with_warmup(steps / 20, steps);
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 10 == 0) cell.progress(0);
    Batch b = batch_of(d);
    std::vector<float> levels;
    for (double u : to_vector(rand({kBatch}))) levels.push_back(static_cast<float>(shifted_level(0.001 + 0.999 * u, kShift)));
    Tensor loss = mean(flow_losses(velocity_of(net, b.labels), b.videos, randn_like(b.videos), from_vector(levels)));
    adamw.set_lr_scale(rate(k));
    adamw.zero_grad();
    loss.backward();
    optim::clip_grad_norm(net.parameters(), 1.0);
    adamw.step();
    average.update(net);
  }
  return average.model;
}

// -- students --------------------------------------------------------------------------------------------------------

struct Losses {
  bool coherence = false, adversarial = false;
};

Tensor tensor_of_ends(const std::vector<Segment>& segments, const std::vector<int64_t>& places) {
  std::vector<float> ends;
  for (int64_t i : places)
    for (const Segment& s : segments)
      if (i >= s.first && i <= s.last) ends.push_back(static_cast<float>(s.end));
  return from_vector(ends);
}

// The teacher's features of points of the detail range, and a discriminator of them.
class Adversary {
 public:
  Adversary(const VideoTransformer& teacher, const Segment& range)
      : teacher_(teacher),
        range_(range),
        discriminator_(teacher.taps(), teacher.config().width, 32, 8),
        adamw_(discriminator_.parameters(), {.lr = 5e-4, .beta1 = 0, .beta2 = 0.999, .weight_decay = 1e-3}) {}

  const Segment& range() const { return range_; }
  // 0.1 (GAN + 10 FM) of predictions in the range; the discriminator's own step is taken by update().
  Tensor loss(const Answers& answers, const Tensor& labels) {
    FlowSchedule grid = schedule();
    Tensor level = grid.previous(draw_places(range_, answers.target.size(0)), answers.target), noise = randn_like(answers.target);
    VideoTransformer::Features real;
    {
      NoGrad off;
      real = teacher_.features(renoised(answers.target, noise, level, range_.end), level, labels);
    }
    VideoTransformer::Features fake = teacher_.features(renoised(answers.prediction, noise, level, range_.end), level, labels);
    real_ = real.hidden;
    fake_.clear();
    for (const Tensor& h : fake.hidden) fake_.push_back(h.detach());
    return 0.1 * (gan::hinge_generator_loss(discriminator_(fake.hidden)) + 10.0 * feature_matching_loss(fake.exits, real.exits));
  }
  void update() {
    if (real_.empty()) return;
    adamw_.zero_grad();  // the student's step left gradients here
    gan::hinge_discriminator_loss(discriminator_(real_), discriminator_(fake_)).backward();
    adamw_.step();
  }

 private:
  const VideoTransformer& teacher_;
  Segment range_;
  gan::FeatureDiscriminator discriminator_;
  optim::AdamW adamw_;
  std::vector<Tensor> real_, fake_;
};

struct Plan {
  std::vector<Segment> segments;  ///< of the network that is trained; places are drawn from all of them alike
  Losses losses;
  int64_t steps = 0;
  std::string watch = {};  ///< the line in the charts of losses and gradients; empty: not watched
};

// The examples of a batch whose places lie within a range.
Tensor rows_in(const Segment& range, const std::vector<int64_t>& places) {
  std::vector<int64_t> rows;
  for (size_t b = 0; b < places.size(); ++b)
    if (places[b] >= range.first && places[b] <= range.last) rows.push_back(static_cast<int64_t>(b));
  return from_vector(rows);
}

// The added losses: coherence where the semantic expert answers, the adversary where the detail expert does.
Tensor with_added_losses(Tensor loss, const Losses& losses, Adversary* adversary, const Answers& a, const std::vector<int64_t>& places,
                         const Tensor& labels) {
  auto part = [&](const Tensor& rows) { return Answers{index_select(a.prediction, 0, rows), index_select(a.target, 0, rows)}; };
  if (losses.coherence) {
    Tensor rows = rows_in(split_at(schedule(), kBoundary)[1], places);
    Answers high = part(rows);
    if (rows.numel() > 0) loss = loss + temporal_coherence_loss(high.prediction, high.target, kGap);
  }
  if (!adversary) return loss;
  Tensor rows = rows_in(adversary->range(), places);
  return rows.numel() > 0 ? loss + adversary->loss(part(rows), index_select(labels, 0, rows)) : loss;
}

std::vector<int64_t> places_of(const std::vector<Segment>& segments) {
  return draw_places({segments.front().first, segments.back().last, 0}, kBatch);
}

// The paper's diagnosis: gradients of a batch at high noise and of one at low noise, at the same weights.
template <typename Network>
void watch(Cell& cell, const Data& d, const VideoTransformer& teacher, const Network& student, const std::vector<Tensor>& parameters,
           const Plan& plan, int64_t step) {
  FlowSchedule grid = schedule();
  std::vector<std::vector<Tensor>> slopes;
  std::vector<double> losses;
  for (const Segment& range : split_at(grid, kBoundary)) {
    Batch b = batch_of(d);
    std::vector<int64_t> places = draw_places(range, kBatch);
    Velocity velocity = velocity_of(student, b.labels);
    Answers a = segment_answers(velocity, velocity, velocity_of(teacher, b.labels), grid, places, tensor_of_ends(plan.segments, places),
                                b.videos, randn_like(b.videos));
    Tensor loss = pseudo_huber(a.prediction, a.target, kHuber);
    losses.push_back(loss.item());
    slopes.push_back(grad({loss}, parameters, {.allow_unused = true}));
  }
  double product = 0, low = 0, high = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!slopes[0][i].defined() || !slopes[1][i].defined()) continue;
    product += sum(slopes[0][i] * slopes[1][i]).item();
    low += sum(square(slopes[0][i])).item();
    high += sum(square(slopes[1][i])).item();
  }
  cell.point("cosine of gradients at high and low noise", "step", static_cast<double>(step), product / std::sqrt(low * high), plan.watch);
  cell.point("loss at high noise over loss at low noise", "step", static_cast<double>(step), losses[1] / losses[0], plan.watch);
}

// Trains `parameters` of a network that answers (x, σ, labels).
template <typename Network>
void distil(Cell& cell, const Data& d, const VideoTransformer& teacher, const Network& student, const std::vector<Tensor>& parameters,
            const Plan& plan) {
  FlowSchedule grid = schedule();
  std::optional<Adversary> adversary;
  if (plan.losses.adversarial) adversary.emplace(teacher, plan.segments.front());
  optim::AdamW adamw(parameters, {.lr = kRate, .weight_decay = 1e-3});
  optim::Schedule rate = optim::cosine(plan.steps, 1, 0.1);
  for (int64_t k = 0; k < plan.steps; ++k) {
    if (k % 10 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(plan.steps));
    if (!plan.watch.empty() && k % 50 == 0) watch(cell, d, teacher, student, parameters, plan, k);
    Batch b = batch_of(d);
    std::vector<int64_t> places = places_of(plan.segments);
    Velocity velocity = velocity_of(student, b.labels);
    Answers a = segment_answers(velocity, velocity, velocity_of(teacher, b.labels), grid, places, tensor_of_ends(plan.segments, places),
                                b.videos, randn_like(b.videos));
    Tensor loss = with_added_losses(pseudo_huber(a.prediction, a.target, kHuber), plan.losses, adversary ? &*adversary : nullptr, a, places,
                                    b.labels);
    adamw.set_lr_scale(rate(k));
    adamw.zero_grad();
    loss.backward();
    optim::clip_grad_norm(parameters, 1.0);
    adamw.step();
    if (adversary) adversary->update();
  }
}

VideoTransformer distilled(Cell& cell, const Data& d, const VideoTransformer& teacher, const VideoTransformer& start, const Plan& plan) {
  VideoTransformer student = start;
  student.requires_grad_();
  distil(cell, d, teacher, student, student.parameters(), plan);
  return student;
}

// -- measuring -------------------------------------------------------------------------------------------------------

/// Answers (x, σ [B], labels).
using Sampler = std::function<Tensor(const Tensor& x, const Tensor& sigma, const Tensor& labels)>;

Tensor start_noise(const Cell& cell, const Data& d) {
  Generator noise(cell.seed() ^ 0xdc3);
  return randn(d.held_out.shape(), {.generator = &noise});
}

Tensor samples(const Data& d, const Sampler& model, const Tensor& noise, const std::vector<double>& levels) {
  return flow_sample([&](const Tensor& x, const Tensor& sigma) { return model(x, sigma, d.held_out_labels); }, noise, levels);
}

/// An even number of steps, the same for every student: half of them in the semantic range, the last of these ending at the boundary, half
/// in the detail range. Four: places 49, 42, 34 and 17.
std::vector<double> levels_of(int64_t steps) {
  FlowSchedule grid = schedule();
  int64_t half = steps / 2, top = grid.count() - 1;
  std::vector<double> levels;
  for (int64_t k = 0; k < half; ++k) levels.push_back(grid.sigma(top - (top + 1 - kBoundary) * k / half));
  for (int64_t k = 0; k < half; ++k) levels.push_back(grid.sigma(kBoundary - 1 - kBoundary * k / half));
  levels.push_back(0);
  return levels;
}
std::vector<double> many_levels() { return flow_levels(50, kShift); }

/// mean |Laplacian| of all frames.
double sharpness(const Tensor& videos) {
  Tensor kernel = tensor({{{{0.0, 1.0, 0.0}, {1.0, -4.0, 1.0}, {0.0, 1.0, 0.0}}}});
  return mean(abs(conv2d(nn::as_frames(videos), kernel))).item();
}

void measure(Cell& cell, const Data& d, const Sampler& model, const Tensor& by_teacher, bool many_steps = false) {
  auto digits = cell.shared("digits", [&] { return DigitVectors(); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(20, 1500, 1500)); });
  auto reference = cell.shared("reference", [&] { return metrics::VideoStatistics(d.held_out); });
  NoGrad off;
  auto made = [&](const std::vector<double>& levels) {
    return clamp(samples(d, model, start_noise(cell, d), levels), -d.mean / d.scale, (1 - d.mean) / d.scale);
  };
  Tensor y = made(many_steps ? many_levels() : levels_of(4));
  metrics::VideoDistance distance = reference->distance(y);
  for (int64_t steps : {2, 4, 8, 50}) {
    if (many_steps != (steps == 50)) continue;
    double frames = steps == 2 || steps == 8 ? reference->distance(made(levels_of(steps))).frames : distance.frames;
    cell.point("Fréchet distance of frames", "sampling steps", static_cast<double>(steps), frames);
  }
  cell.metric("frames FD", distance.frames);
  cell.metric("motion FD", distance.motion);
  cell.metric("MSE to the teacher", mean(square(y - by_teacher)).item());
  // frame 0 shows the digit where the classifier knows it
  Tensor first = flatten(d.pixels(select(y, 2, 0)), 1), known = digits->images(digits->rows), rows = flatten(known, 1);
  double mean_pixel = mean(rows).item(), deviation = std_dev(rows, {}, 0).item() * 2;
  cell.metric("right class (%)", 100 * mean(to(oracle->classes((first - mean_pixel) / deviation) == d.held_out_labels, f64)).item());
  cell.metric("sharpness (% of the data's)", 100 * sharpness(y) / sharpness(d.held_out));
  cell.picture("clips", train::video_grid(d.pixels(narrow(y, 0, 0, 32)), {.columns = 8}));
  cell.picture("frames", train::video_strips(d.pixels(narrow(y, 0, 0, 8)), {.zoom = 4}));
}

// -- variants --------------------------------------------------------------------------------------------------------

void run(Cell& cell) {
  Setting s = setting(cell);
  auto d = cell.shared("data", [&] { return make_data(s.samples); });
  auto teacher = cell.shared("teacher", [&] {
    VideoTransformer net = teacher_of(cell, *d);
    net.requires_grad_(false);
    return net;
  });
  auto by_teacher = cell.shared("teacher's samples", [&] {
    return clamp(samples(*d, *teacher, start_noise(cell, *d), many_levels()), -d->mean / d->scale, (1 - d->mean) / d->scale);
  });
  auto measured = [&](const Sampler& model) { measure(cell, *d, model, *by_teacher); };
  if (cell.is("teacher, 50 steps")) return measure(cell, *d, *teacher, *by_teacher, true);
  if (cell.is("teacher, 4 steps")) return measured(*teacher);

  FlowSchedule grid = schedule();
  std::vector<Segment> two = split_at(grid, kBoundary);
  if (cell.is("LCM"))
    return measured(distilled(cell, *d, *teacher, *teacher, {.segments = equal_segments(grid, 1), .steps = 2 * s.updates, .watch = "LCM"}));
  if (cell.is("PCM")) return measured(distilled(cell, *d, *teacher, *teacher, {.segments = two, .steps = 2 * s.updates, .watch = "PCM"}));
  if (cell.is("PCM + losses"))
    return measured(distilled(cell, *d, *teacher, *teacher, {.segments = two, .losses = {true, true}, .steps = 2 * s.updates}));

  auto semantic_expert = [&](bool coherence) {
    return distilled(cell, *d, *teacher, *teacher, {.segments = {two[1]}, .losses = {.coherence = coherence}, .steps = s.updates});
  };
  bool coherence = !cell.is("no coherence"), adversarial = !cell.is("no adversary");
  auto semantic = cell.shared(coherence ? "semantic" : "semantic, no coherence", [&] { return semantic_expert(coherence); });
  if (cell.is("dual full experts")) {
    VideoTransformer detail =
        distilled(cell, *d, *teacher, *teacher, {.segments = {two[0]}, .losses = {.adversarial = true}, .steps = s.updates});
    double level = boundary_level(grid, kBoundary);
    return measured([&](const Tensor& x, const Tensor& sigma, const Tensor& labels) {
      return max(sigma).item<float>() > static_cast<float>(level) ? (*semantic)(x, sigma, labels) : detail(x, sigma, labels);
    });
  }
  DualExpert expert(*semantic, boundary_level(grid, kBoundary), {.rank = 8, .alpha = 16});
  if (!cell.is("semantic expert alone"))
    distil(cell, *d, *teacher, expert, expert.detail_parameters(),
           {.segments = {two[0]}, .losses = {.adversarial = adversarial}, .steps = s.updates});
  measured(expert);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "DCM",
      .paper = "Lv et al., DCM: Dual-Expert Consistency Model for Efficient and High-Quality Video Generation, ICCV 2025",
      .claim =
          "Two experts for high and low noise, the second a light one, generate videos in four steps better than one student for all noise",
      .metrics = {{"frames FD", Better::lower},
                  {"motion FD", Better::lower},
                  {"MSE to the teacher", Better::lower},
                  {"right class (%)", Better::higher},
                  {"sharpness (% of the data's)", Better::neither}},
      .variants = {{"teacher, 50 steps", "the video diffusion model itself"},
                   {"teacher, 4 steps", "the same in the students' four Euler steps"},
                   {"LCM", "one student, jumps to the data from every level"},
                   {"PCM", "one student, jumps to the boundary from above it, to the data from below"},
                   {"PCM + losses", "the same with the coherence and adversarial losses"},
                   {"dual full experts", "two whole networks with DCM's losses"},
                   {"semantic expert alone", "DCM before its second stage: adapters that do nothing yet"},
                   {"no coherence", "DCM without the temporal coherence loss"},
                   {"no adversary", "DCM without adversarial and feature matching losses"},
                   {"DCM", "the semantic expert, and adapters on it for detail"}},
      .baseline = "LCM",
      .method = "DCM",
      .run = run};
}

}  // namespace plumb::methods::dual_expert_cm
