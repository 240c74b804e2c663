// Views and losses of consistent poses.
#include "methods/semi_supervised/multiaugs/multiaugs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "ops/grid_sample.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::multiaugs {

AffineBatch AffineBatch::of(const std::vector<double>& degrees, const std::vector<double>& scales) {
  if (degrees.size() != scales.size())
    throw ShapeError(fmt::format("affine_batch: {} angles and {} scales", degrees.size(), scales.size()));
  std::vector<double> theta;
  for (size_t i = 0; i < degrees.size(); ++i) {
    double r = degrees[i] * std::numbers::pi / 180, a = scales[i] * std::cos(r), b = scales[i] * std::sin(r);
    for (double e : {a, b, 0.0, -b, a, 0.0}) theta.push_back(e);
  }
  return {from_vector(theta, {static_cast<int64_t>(degrees.size()), 2, 3})};
}

AffineBatch AffineBatch::draw(int64_t images, const AffineOptions& o, Generator& g) {
  NoGrad off;
  RandomOptions wide{.dtype = f64, .generator = &g};
  std::vector<double> angle = to_vector(randn({images}, wide)), scale = to_vector(randn({images}, wide)),
                      turned = to_vector(rand({images}, wide));
  for (size_t i = 0; i < angle.size(); ++i) {
    angle[i] = turned[i] < o.rate ? std::clamp(angle[i] * o.degrees, -o.most_degrees, o.most_degrees) : 0;
    scale[i] = std::clamp(1 + scale[i] * o.scale, 1 - o.scale, 1 + o.scale);
  }
  return of(angle, scale);
}

Tensor AffineBatch::warp(const Tensor& x) const {
  NoGrad off;
  if (x.rank() != 4 || x.size(0) != theta.size(0))
    throw ShapeError("affine_batch: " + to_string(x.shape()) + " under " + std::to_string(theta.size(0)) + " maps; takes [N, C, H, W]");
  return grid_sample(x.detach(), affine_grid(to(theta, x.dtype()), {x.size(2), x.size(3)}));
}

// A place is seen at p where θ p is the place: p = θ⁻¹. Pixel i of n lies at (2i + 1) / n − 1.
Tensor AffineBatch::joints(const Tensor& joints, int64_t height, int64_t width) const {
  if (joints.rank() != 3 || joints.size(2) != 3 || joints.size(0) != theta.size(0))
    throw ShapeError("affine_batch: joints " + to_string(joints.shape()) + " under " + std::to_string(theta.size(0)) +
                     " maps; takes [N, J, 3]");
  std::vector<double> j = to_vector(joints), t = to_vector(theta);
  auto w = static_cast<double>(width), h = static_cast<double>(height);
  auto count = static_cast<size_t>(joints.size(1));
  for (size_t i = 0; i < j.size() / 3; ++i) {
    const double* m = &t[6 * (i / count)];
    double determinant = m[0] * m[4] - m[1] * m[3];
    if (!(std::abs(determinant) > 1e-12)) throw ValueError("affine_batch: a map has no inverse");
    double x = (2 * j[3 * i] + 1) / w - 1 - m[2], y = (2 * j[3 * i + 1] + 1) / h - 1 - m[5];
    double u = (m[4] * x - m[1] * y) / determinant, v = (m[0] * y - m[3] * x) / determinant;
    j[3 * i] = ((u + 1) * w - 1) / 2, j[3 * i + 1] = ((v + 1) * h - 1) / 2;
    bool within = j[3 * i] >= 0 && j[3 * i + 1] >= 0 && j[3 * i] <= w - 1 && j[3 * i + 1] <= h - 1;
    if (!within) j[3 * i + 2] = 0;
  }
  return to(from_vector(j, joints.shape()), joints.dtype());
}

Plan plan_named(const std::string& name) {
  Plan plan;
  if (name == "A60") return plan;
  for (size_t at = 0; at < name.size();) {
    if (name[at] == '+') {
      ++at;
      continue;
    }
    std::string two = name.substr(at, 2);
    if (two == "CO")
      plan.push_back(Op::cutout);
    else if (two == "CM")
      plan.push_back(Op::cutmix);
    else if (two == "MU")
      plan.push_back(Op::mixup);
    else if (two == "JC")
      plan.push_back(Op::joint_cutout);
    else if (two == "JO")
      plan.push_back(Op::joint_occlude);
    else
      throw ValueError("multiaugs: view \"" + name + "\" is unknown; put together CO, CM, MU, JC and JO, or choose A60");
    at += 2;
  }
  return plan;
}

OpSizes OpSizes::small() {
  auto boxes = [](int64_t count) { return augment::OcclusionOptions{.count = count, .min_half = 2, .max_half = 4, .jitter = 1.5}; };
  return {boxes(2), boxes(1), boxes(2), boxes(1)};
}

Tensor hard_view(const Tensor& images, const Tensor& joints, const Plan& plan, const OpSizes& sizes, Generator& g) {
  NoGrad off;
  Tensor x = images;
  for (Op op : plan) switch (op) {
      case Op::cutout:
        x = augment::cut_boxes(x, sizes.cutout, g);
        break;
      case Op::cutmix:
        x = augment::mix_boxes(x, sizes.cutmix, g);
        break;
      case Op::mixup:
        x = augment::blend_images(x, g);
        break;
      case Op::joint_cutout:
        x = augment::cut_joints(x, joints, sizes.joint_cutout, g);
        break;
      case Op::joint_occlude:
        x = augment::paste_joints(x, joints, sizes.joint_occlude, g);
        break;
    }
  return x;
}

namespace {

void check_sizes(const Tensor& images, const Tensor& maps, double stride) {
  if (images.rank() != 4 || maps.rank() != 4 || images.size(0) != maps.size(0))
    throw ShapeError("multiaugs: images " + to_string(images.shape()) + " and maps " + to_string(maps.shape()) +
                     " do not fit [B, C, H, W] and [B, J, H', W']");
  if (images.size(0) == 0) throw ValueError("multiaugs: the batch is empty");
  auto fits = [&](int dim) { return static_cast<double>(images.size(dim)) == stride * static_cast<double>(maps.size(dim)); };
  if (!fits(2) || !fits(3))
    throw ShapeError(fmt::format("multiaugs: images of {} × {} are not {:g} times as large as maps of {} × {}", images.size(2),
                                 images.size(3), stride, maps.size(2), maps.size(3)));
}

Tensor supervised_loss(const PoseFunction& f, const Labelled& labelled, double stride) {
  check_sizes(labelled.images, labelled.target.maps, stride);
  return pose::joint_map_mse(f(labelled.images), labelled.target.maps, labelled.target.weight);
}

// What a network says of easy views, as constants.
struct Easy {
  Tensor maps;
  pose::Keypoints joints;
};
Easy easy_maps(const PoseFunction& f, const Tensor& images, double stride) {
  NoGrad off;
  if (images.rank() == 4 && images.size(0) == 0) throw ValueError("multiaugs: the batch is empty");
  Tensor maps = f(images).detach();
  return {maps, pose::read_joints(maps, stride, pose::JointReading::plain)};
}

Tensor joint_weights(const Tensor& maps, double least_peak) {
  if (least_peak < 0) return {};
  return to(amax(maps, {2, 3}) >= least_peak, maps.dtype());
}

}  // namespace

Tensor consistency_loss(const PoseFunction& f, const Tensor& images, const Tensor& maps, const Tensor& joints, const ConsistencyOptions& o,
                        Generator& g) {
  check_sizes(images, maps, o.stride);
  AffineBatch affine = AffineBatch::draw(images.size(0), o.affine, g);
  Tensor target = affine.warp(maps), weight = joint_weights(maps, o.least_peak), loss, joined;
  for (const Plan& plan : o.plans) {
    Tensor said = f(affine.warp(hard_view(images, joints, plan, o.sizes, g)));
    if (o.fuse) {
      joined = joined.defined() ? joined + said : said;
      continue;
    }
    Tensor one = pose::joint_map_mse(said, target, weight);
    loss = loss.defined() ? loss + one : one;
  }
  if (joined.defined()) loss = pose::joint_map_mse(joined * (1 / static_cast<double>(o.plans.size())), target, weight);
  return loss;
}

PoseLoss pose_cons_step(const PoseFunction& f, const Labelled& labelled, const Tensor& unlabelled, const ConsistencyOptions& o,
                        Generator& g) {
  PoseLoss loss;
  loss.supervised = loss.total = supervised_loss(f, labelled, o.stride);
  loss.passes = 1;
  if (o.plans.empty()) return loss;
  Easy easy = easy_maps(f, unlabelled, o.stride);
  loss.peak = mean(easy.joints.scores).item();
  loss.consistency = consistency_loss(f, unlabelled, easy.maps, easy.joints.places, o, g);
  loss.total = loss.supervised + loss.consistency * o.weight;
  loss.passes += 1 + static_cast<int64_t>(o.plans.size());
  return loss;
}

PoseLoss pose_dual_step(const PoseFunction& f1, const PoseFunction& f2, const Labelled& labelled, const Tensor& unlabelled,
                        const ConsistencyOptions& o, Generator& g) {
  PoseLoss loss;
  loss.supervised = loss.total = (supervised_loss(f1, labelled, o.stride) + supervised_loss(f2, labelled, o.stride)) * 0.5;
  loss.passes = 2;
  if (o.plans.empty()) return loss;
  Easy first = easy_maps(f1, unlabelled, o.stride), second = easy_maps(f2, unlabelled, o.stride);
  loss.peak = (mean(first.joints.scores).item() + mean(second.joints.scores).item()) / 2;
  loss.consistency = consistency_loss(f1, unlabelled, second.maps, second.joints.places, o, g) +
                     consistency_loss(f2, unlabelled, first.maps, first.joints.places, o, g);
  loss.total = loss.supervised + loss.consistency * o.weight;
  loss.passes += 2 + 2 * static_cast<int64_t>(o.plans.size());
  return loss;
}

Tensor flip_averaged(const PoseFunction& f, const Tensor& images, const std::vector<int64_t>& mirrored) {
  NoGrad off;
  Tensor straight = f(images), turned = flip(f(flip(images, {3})), {3});
  if (static_cast<int64_t>(mirrored.size()) != straight.size(1))
    throw ShapeError("flip_averaged: " + std::to_string(mirrored.size()) + " mirrored joints for maps " + to_string(straight.shape()));
  return (straight + index_select(turned, 1, from_vector(mirrored))) * 0.5;
}

}  // namespace plumb::methods::multiaugs
