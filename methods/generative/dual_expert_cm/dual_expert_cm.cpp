// Segments, answers, losses and experts.
#include "methods/generative/dual_expert_cm/dual_expert_cm.h"

#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/precondition.h"
#include "models/nn/low_rank.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::dual_expert_cm {

using namespace diffusion;

std::vector<Segment> equal_segments(const FlowSchedule& schedule, int64_t parts) {
  int64_t n = schedule.count();
  if (parts < 1 || parts > n) throw ValueError("dcm: " + std::to_string(parts) + " segments of a grid of " + std::to_string(n) + " levels");
  std::vector<Segment> segments;
  for (int64_t k = 0; k < parts; ++k) {
    int64_t first = n * k / parts;
    segments.push_back({first, n * (k + 1) / parts - 1, schedule.previous(first)});
  }
  return segments;
}

std::vector<Segment> split_at(const FlowSchedule& schedule, int64_t boundary) {
  int64_t n = schedule.count();
  if (boundary < 1 || boundary > n - 1)
    throw ValueError("dcm: the boundary " + decimal(boundary) + " is outside [1, " + std::to_string(n - 1) + "]");
  return {{0, boundary - 1, schedule.previous(0)}, {boundary, n - 1, schedule.previous(boundary)}};
}

double boundary_level(const FlowSchedule& schedule, int64_t boundary) { return split_at(schedule, boundary)[1].end; }

std::vector<int64_t> draw_places(const Segment& segment, int64_t n, Generator& generator) {
  std::vector<int64_t> places;
  for (int64_t b = 0; b < n; ++b)
    places.push_back(segment.first + static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(segment.last - segment.first + 1))));
  return places;
}

Tensor segment_jump(const Tensor& x, const Tensor& sigma, const Tensor& velocity, const Tensor& end) {
  return flow_step(x, velocity, sigma, end);
}

Answers segment_answers(const Velocity& student, const Velocity& target, const Velocity& teacher, const FlowSchedule& schedule,
                        const std::vector<int64_t>& places, const Tensor& end, const Tensor& clean, const Tensor& noise) {
  if (static_cast<int64_t>(places.size()) != clean.size(0) || end.shape() != Shape{clean.size(0)})
    throw ShapeError("dcm: " + std::to_string(places.size()) + " places and ends " + to_string(end.shape()) + " for a batch " +
                     to_string(clean.shape()));
  Tensor sigma = schedule.sigmas(places, clean), before = schedule.previous(places, clean), x = flow_point(clean, noise, sigma), aim;
  {
    NoGrad off;
    Tensor stepped = flow_step(x, teacher(x, sigma), sigma, before), arrived = before <= end;
    aim = stepped;
    if (!all(arrived).item<bool>()) {
      Tensor jumped = segment_jump(stepped, before, target(stepped, before), end);
      aim = where(per_example(arrived, x), stepped, jumped);
    }
  }
  return {segment_jump(x, sigma, student(x, sigma), end), aim};
}

Tensor pseudo_huber(const Tensor& u, const Tensor& v, double h) {
  if (!(h > 0)) throw ValueError("dcm: the Huber constant must be positive, it is " + decimal(h));
  return pseudo_huber_loss(u, v, h) / h;
}

Tensor temporal_coherence_loss(const Tensor& prediction, const Tensor& target, int64_t gap) {
  if (gap < 1) throw ValueError("temporal_coherence_loss: the gap must be at least 1, it is " + std::to_string(gap));
  if (prediction.rank() != 5 || prediction.shape() != target.shape())
    throw ShapeError("temporal_coherence_loss: takes videos [B, C, F, H, W] of one shape, got " + to_string(prediction.shape()) + " and " +
                     to_string(target.shape()));
  int64_t frames = prediction.size(2);
  if (frames <= gap) return zeros({}, prediction.dtype(), prediction.device());
  Tensor apart = prediction - target;
  return mean(square(narrow(apart, 2, gap, frames - gap) - narrow(apart, 2, 0, frames - gap)));
}

Tensor renoised(const Tensor& x, const Tensor& noise, const Tensor& s, double end) {
  Tensor level = per_example(s, x);
  return ((1 - level) * x + (level - end) * noise) / (1 - end);
}

Tensor feature_matching_loss(const std::vector<Tensor>& generated, const std::vector<Tensor>& real) {
  if (generated.empty() || generated.size() != real.size())
    throw ValueError("feature_matching_loss: " + std::to_string(generated.size()) + " layers and " + std::to_string(real.size()));
  Tensor total = mean(square(generated[0] - real[0].detach()));
  for (size_t i = 1; i < real.size(); ++i) total = total + mean(square(generated[i] - real[i].detach()));
  return total / static_cast<double>(real.size());
}

// -- experts -----------------------------------------------------------------------------------------------------------

namespace {

constexpr const char* kDetail = "detail";

}  // namespace

DualExpert::DualExpert(const VideoTransformer& semantic, double boundary, const DetailOptions& o)
    : boundary_(boundary), network_(semantic), embedder_(semantic.embedder), head_(semantic.head) {
  if (!(boundary > 0 && boundary < 1)) throw ValueError("dcm: the boundary level " + decimal(boundary) + " is outside (0, 1)");
  register_module("network", network_);
  register_module("detail_embedder", embedder_);
  register_module("detail_head", head_);
  network_.requires_grad_(false);
  nn::add_adapter(network_, kDetail, {.rank = o.rank, .alpha = o.alpha},
                  {"attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"});
  for (const Tensor& p : detail_parameters()) p.requires_grad_();
}

void DualExpert::use_detail(bool on) const {
  nn::use_adapters(network_, on ? std::vector<std::string>{kDetail} : std::vector<std::string>{});
}

Tensor DualExpert::semantic(const Tensor& x, const Tensor& sigma, const Tensor& labels) const {
  use_detail(false);
  return network_(x, sigma, labels);
}

Tensor DualExpert::detail(const Tensor& x, const Tensor& sigma, const Tensor& labels) const {
  use_detail(true);
  return network_.forward(x, sigma, labels, embedder_, head_);
}

// Levels come from tensors, so the boundary is compared as f32 has it.
Tensor DualExpert::operator()(const Tensor& x, const Tensor& sigma, const Tensor& labels) const {
  std::vector<int64_t> high, low;
  std::vector<double> levels = to_vector(sigma);
  for (size_t b = 0; b < levels.size(); ++b)
    (static_cast<float>(levels[b]) > static_cast<float>(boundary_) ? high : low).push_back(static_cast<int64_t>(b));
  if (low.empty()) return semantic(x, sigma, labels);
  if (high.empty()) return detail(x, sigma, labels);
  auto part = [&](const std::vector<int64_t>& rows, auto&& expert) {
    Tensor at = plumb::to(from_vector(rows), x.device());
    return expert(index_select(x, 0, at), index_select(sigma, 0, at), labels.defined() ? index_select(labels, 0, at) : labels);
  };
  Tensor above = part(high, [this](const Tensor& y, const Tensor& s, const Tensor& c) { return semantic(y, s, c); });
  Tensor below = part(low, [this](const Tensor& y, const Tensor& s, const Tensor& c) { return detail(y, s, c); });
  Tensor all = index_copy(zeros_like(x), 0, plumb::to(from_vector(high), x.device()), above);
  return index_copy(all, 0, plumb::to(from_vector(low), x.device()), below);
}

std::vector<Tensor> DualExpert::detail_parameters() const {
  std::vector<Tensor> parameters;
  for (const auto& [name, p] : named_parameters())
    if (name.starts_with("detail_") || name.find(".adapters.detail.") != std::string::npos) parameters.push_back(p);
  return parameters;
}

}  // namespace plumb::methods::dual_expert_cm
