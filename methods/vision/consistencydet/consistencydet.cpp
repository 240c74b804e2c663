// Noising, the loss of a pair, and sampling.
#include "methods/vision/consistencydet/consistencydet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/autograd/grad_mode.h"
#include "models/detection/boxes.h"
#include "models/detection/check_objects.h"
#include "models/diffusion/noise_schedule.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::consistencydet {

using detection::Detector;
using detection::Found;
using detection::Objects;
using detection::Prediction;

NoiseLevels NoiseLevels::karras(int64_t count, double sigma_min, double sigma_max, double rho, double sigma_data) {
  return {diffusion::karras_sigmas(count, sigma_min, sigma_max, rho), sigma_data};
}

void NoiseLevels::check() const {
  if (sigmas.size() < 2) throw ValueError(fmt::format("consistencydet: needs at least two noise levels, got {}", sigmas.size()));
  for (size_t i = 0; i < sigmas.size(); ++i)
    if (!(sigmas[i] > 0) || (i > 0 && sigmas[i] >= sigmas[i - 1]))
      throw ValueError(fmt::format("consistencydet: noise levels must be positive and fall, number {} is {:g}{}", i, sigmas[i],
                                   i > 0 ? fmt::format(" after {:g}", sigmas[i - 1]) : ""));
  if (!(sigma_data > 0)) throw ValueError(fmt::format("consistencydet: sigma_data must be positive, it is {:g}", sigma_data));
}

diffusion::Scalings NoiseLevels::scalings(double sigma) const {
  diffusion::Scalings s = diffusion::ConsistencyPrecondition(sigma_data, sigmas.back()).at(sigma);
  s.in *= 0.5, s.out *= 2;
  return s;
}

int64_t NoiseLevels::nearest(double sigma) const {
  auto away = [&](double s) { return std::abs(std::log(s / sigma)); };
  return std::ranges::min_element(sigmas, [&](double a, double b) { return away(a) < away(b); }) - sigmas.begin();
}

namespace {

Tensor per_image(const std::vector<double>& numbers, const Tensor& like) {
  return plumb::to(plumb::to(from_vector(numbers, {static_cast<int64_t>(numbers.size()), 1, 1}), like.dtype()), like.device());
}

// Corners in pixels as x = 2b − 1.
Tensor signal_of(const Tensor& corners, int64_t height, int64_t width) {
  return detection::to_centres(corners) / detection::image_sides(corners, height, width) * 2 - 1;
}

Tensor corners_of_shares(const Tensor& shares, int64_t height, int64_t width) {
  return detection::to_corners(shares) * detection::image_sides(shares, height, width);
}

}  // namespace

Tensor input_boxes(const Tensor& x, const std::vector<double>& c_in, int64_t height, int64_t width) {
  Tensor shares = (x * per_image(c_in, x) + 1) * 0.5;
  return corners_of_shares(cat({slice(shares, 2, 0, 2), clamp_min(slice(shares, 2, 2), 1e-3)}, 2), height, width);
}

Tensor euler_step(const Tensor& x, const Tensor& clean, double sigma, double next) { return x + (x - clean) * ((next - sigma) / sigma); }

namespace {

// The boxes of one image that are noised, as shares: its objects first.
std::vector<double> filled(std::vector<double> objects, int64_t proposals, Generator& g) {
  auto wanted = static_cast<size_t>(proposals) * 4;
  if (objects.empty()) objects = {0.5, 0.5, 1, 1};
  if (objects.size() > wanted) {  // a random choice, in their order
    size_t count = objects.size() / 4;
    std::vector<double> chosen;
    for (size_t i = 0; i < count && chosen.size() < wanted; ++i) {
      size_t missing = (wanted - chosen.size()) / 4;
      if (g.next_below(count - i) < missing)
        chosen.insert(chosen.end(), objects.begin() + static_cast<int64_t>(4 * i), objects.begin() + static_cast<int64_t>(4 * i + 4));
    }
    return chosen;
  }
  auto missing = static_cast<int64_t>(wanted - objects.size());
  std::vector<double> drawn = to_vector(randn({missing}, {.dtype = f64, .generator = &g}));
  for (size_t i = 0; i < drawn.size(); ++i) {
    double v = drawn[i] / 6 + 0.5;
    objects.push_back(i % 4 >= 2 ? std::max(v, 1e-4) : v);
  }
  return objects;
}

}  // namespace

NoisedBoxes noise_boxes(const Objects& truth, int64_t proposals, int64_t height, int64_t width, const NoiseLevels& levels, Generator& g,
                        const std::vector<int64_t>& place) {
  NoGrad off;
  levels.check();
  if (proposals < 1) throw ValueError(fmt::format("noise_boxes: needs at least one proposal, not {}", proposals));
  detection::check_objects("noise_boxes", truth, std::numeric_limits<int64_t>::max(), static_cast<double>(height),
                           static_cast<double>(width));
  int64_t images = truth.images(), padded = truth.classes.size(1), last = static_cast<int64_t>(levels.sigmas.size()) - 2;
  NoisedBoxes n{{}, {}, {}, place};
  if (n.place.empty())
    for (int64_t b = 0; b < images; ++b) n.place.push_back(static_cast<int64_t>(g.next_below(static_cast<uint64_t>(last + 1))));
  if (static_cast<int64_t>(n.place.size()) != images)
    throw ShapeError(fmt::format("noise_boxes: {} levels for {} images", n.place.size(), images));
  for (int64_t i : n.place)
    if (i < 0 || i > last) throw IndexError(fmt::format("noise_boxes: level {} is outside [0, {}]", i, last));
  std::vector<double> shares;
  if (padded > 0) shares = to_vector(detection::to_centres(to(truth.boxes, f64)) / detection::image_sides(zeros({1}, f64), height, width));
  std::vector<int64_t> kind = to_vector<int64_t>(truth.classes);
  std::vector<float> all;
  std::vector<double> sigma_a, sigma_b;
  for (int64_t b = 0; b < images; ++b) {
    std::vector<double> mine;
    for (int64_t k = b * padded; k < (b + 1) * padded; ++k)
      if (kind[static_cast<size_t>(k)] >= 0) mine.insert(mine.end(), shares.begin() + 4 * k, shares.begin() + 4 * k + 4);
    for (double v : filled(std::move(mine), proposals, g)) all.push_back(static_cast<float>(2 * v - 1));
    sigma_a.push_back(levels.sigmas[static_cast<size_t>(n.place[static_cast<size_t>(b)])]);
    sigma_b.push_back(levels.sigmas[static_cast<size_t>(n.place[static_cast<size_t>(b)] + 1)]);
  }
  n.clean = from_vector(all, {images, proposals, 4});
  Tensor noise = randn(n.clean.shape(), {.generator = &g});
  n.first = n.clean + noise * per_image(sigma_a, noise);
  n.second = n.clean + noise * per_image(sigma_b, noise);  // where one Euler step towards the clean boxes leads, without its rounding
  return n;
}

namespace {

// What the decoder says of noisy boxes x at the levels σ (and times), boxes in the form asked for and clipped to the image.
std::vector<Prediction> denoised(const Detector& model, const Detector::Pyramid& p, const Tensor& x, const std::vector<double>& sigma,
                                 const std::vector<int64_t>& time, const NoiseLevels& levels, BoxForm form) {
  std::vector<double> in, skip, out;
  for (double s : sigma) {
    diffusion::Scalings c = levels.scalings(s);
    in.push_back(c.in), skip.push_back(c.skip), out.push_back(c.out);
  }
  Tensor boxes = input_boxes(x, in, p.height, p.width);
  std::vector<Prediction> stages = model.decoded(p, boxes, plumb::to(from_vector(time), x.device()));
  for (Prediction& stage : stages) {
    if (form == BoxForm::skipped) {
      Tensor f = x * per_image(skip, x) + signal_of(stage.boxes, p.height, p.width) * per_image(out, x);
      stage.boxes = corners_of_shares((f + 1) * 0.5, p.height, p.width);
    }
    stage.boxes = detection::clip_boxes(stage.boxes, static_cast<double>(p.height), static_cast<double>(p.width));
  }
  return stages;
}

void check_start(const Detector& model) {
  if (model.config().start != "noise")
    throw ConfigError("consistencydet: needs a detector that starts from noise, this one starts from " + model.config().start);
}

}  // namespace

ConsistencyLoss consistency_loss(const Detector& model, const Tensor& images, const Objects& truth, const LossOptions& o, Generator& g) {
  check_start(model);
  Detector::Pyramid p = model.pyramid(images);
  NoisedBoxes n = noise_boxes(truth, model.config().proposals, p.height, p.width, o.levels, g);
  auto of_level = [&](const Tensor& noisy, int64_t further) {
    std::vector<double> sigma;
    std::vector<int64_t> time;
    for (int64_t i : n.place) time.push_back(i + further), sigma.push_back(o.levels.sigmas[static_cast<size_t>(i + further)]);
    Tensor x = plumb::to(plumb::to(noisy, images.dtype()), images.device());
    return detection::detection_loss(denoised(model, p, x, sigma, time, o.levels, o.form), truth, p.height, p.width, o.criterion);
  };
  ConsistencyLoss loss;
  loss.first = of_level(n.first, 0);
  loss.total = loss.first.total;
  if (!o.pair) return loss;
  loss.second = of_level(n.second, 1);
  loss.total = loss.total + loss.second.total;
  return loss;
}

std::vector<double> sampling_sigmas(const NoiseLevels& levels, int64_t steps) {
  levels.check();
  if (steps < 1) throw ValueError(fmt::format("consistency_detect: needs at least one step, not {}", steps));
  if (steps == 1) return {levels.sigmas.front(), 0};
  return diffusion::karras_sigmas_to_zero(steps, levels.sigmas.back(), levels.sigmas.front());
}

namespace {

// The best pairs of box and class of one step.
Found best_pairs(const Tensor& scores, const Tensor& boxes, int64_t count) {
  Tensor flat = flatten(scores), best = topk(flat, std::min(count, flat.numel()), 0).indices;
  Tensor classes = scalar_tensor(scores.size(1), i64, best.device());
  return {index_select(boxes, 0, floor_divide(best, classes)), index_select(flat, 0, best), remainder(best, classes)};
}

Found joined(const std::vector<Found>& steps, double overlap, int64_t most) {
  std::vector<Tensor> boxes, scores, classes;
  for (const Found& f : steps) boxes.push_back(f.boxes), scores.push_back(f.scores), classes.push_back(f.classes);
  Found all{cat(boxes), cat(scores), cat(classes)};
  Tensor kept = detection::non_maximum_suppression(all.boxes, all.scores, overlap, all.classes);
  kept = plumb::to(narrow(kept, 0, 0, std::min(kept.size(0), most)), all.boxes.device());
  return {index_select(all.boxes, 0, kept), index_select(all.scores, 0, kept), index_select(all.classes, 0, kept)};
}

}  // namespace

std::vector<Found> consistency_detect(const Detector& model, const Tensor& images, const DetectOptions& o) {
  NoGrad off;
  check_start(model);
  std::vector<double> sigmas = sampling_sigmas(o.levels, o.steps);
  int64_t proposals = o.proposals == 0 ? model.config().proposals : o.proposals, batch = images.rank() > 0 ? images.size(0) : 0;
  if (proposals < 1) throw ValueError(fmt::format("consistency_detect: needs at least one proposal, not {}", proposals));
  Detector::Pyramid p = model.pyramid(images);
  Generator generator(o.seed);
  RandomOptions draw{.dtype = images.dtype(), .device = images.device(), .generator = &generator};
  Shape shape{proposals, 4}, all{batch, proposals, 4};
  std::vector<std::vector<Found>> answers(static_cast<size_t>(batch));
  Tensor x = expand(randn(shape, draw), all) * sigmas.front();
  for (int64_t step = 0; step < o.steps; ++step) {
    double sigma = sigmas[static_cast<size_t>(step)], next = sigmas[static_cast<size_t>(step + 1)];
    auto images_of_batch = static_cast<size_t>(batch);
    std::vector<int64_t> time(images_of_batch, o.step_as_time ? step : o.levels.nearest(sigma));
    Prediction last = denoised(model, p, x, std::vector<double>(images_of_batch, sigma), time, o.levels, o.form).back();
    Tensor scores = sigmoid(last.logits);
    for (int64_t b = 0; b < batch; ++b)
      answers[static_cast<size_t>(b)].push_back(best_pairs(select(scores, 0, b), select(last.boxes, 0, b), proposals));
    if (step + 1 == o.steps) break;
    Tensor clean = clamp(signal_of(last.boxes, p.height, p.width), -1, 1);
    Tensor fresh = expand(randn(shape, draw), all) * next;
    x = where(any(scores > o.keep, {2}, true), euler_step(x, clean, sigma, next), fresh);
  }
  std::vector<Found> found;
  for (const auto& steps : answers) found.push_back(joined(steps, o.steps == 1 ? o.overlap_single : o.overlap, o.most));
  return found;
}

}  // namespace plumb::methods::consistencydet
