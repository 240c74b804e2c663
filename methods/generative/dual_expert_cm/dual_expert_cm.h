// DCM: the dual-expert consistency model (Lv et al., ICCV 2025). A video diffusion model is distilled in two parts of the trajectory: one
// expert for layout and motion at high noise, a light one on top of it for detail at low noise.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "models/diffusion/flow.h"
#include "models/diffusion/video_transformer.h"

namespace plumb::methods::dual_expert_cm {

// -- the trajectory in parts -----------------------------------------------------------------------------------------

/// Places first … last of a FlowSchedule, and the level that jumps from them end at: the one before the first.
struct Segment {
  int64_t first = 0, last = 0;
  double end = 0;
};
/// `parts` segments of about equal numbers of places; one: the whole grid, which ends at the level before the first.
std::vector<Segment> equal_segments(const diffusion::FlowSchedule& schedule, int64_t parts);
/// The detail range [0, boundary − 1] and the semantic range [boundary, N − 1]. Throws ValueError unless 1 ≤ boundary ≤ N − 1.
std::vector<Segment> split_at(const diffusion::FlowSchedule& schedule, int64_t boundary);
/// The level that divides them: the semantic range's end, σ_(boundary−1). Levels above it belong to the semantic expert.
double boundary_level(const diffusion::FlowSchedule& schedule, int64_t boundary);
/// A place of each example, uniform within the segment.
std::vector<int64_t> draw_places(const Segment& segment, int64_t n, Generator& generator = default_generator());

/// f_end(x, σ, v) = x + (end − σ) v: σ and end [B].
Tensor segment_jump(const Tensor& x, const Tensor& sigma, const Tensor& velocity, const Tensor& end);

// -- consistency distillation within a segment -----------------------------------------------------------------------

/// What distillation compares, [B, ..]: the student's jump from x at σ_i, and the target's from where one Euler step of the teacher leads.
struct Answers {
  Tensor prediction, target;
};
/// x = (1−σ_i) x₀ + σ_i e;  prediction = f_end(x, σ_i, student);  x' = x + (σ' − σ_i) teacher(x, σ_i), σ' the level before σ_i;
/// target = f_end(x', σ', target(x', σ')), x' itself where σ' is the end (decided for each example; the target network is not called if all
/// are there). The teacher and the target are not recorded. `end` [B] may differ between examples, for networks of several segments.
Answers segment_answers(const diffusion::Velocity& student, const diffusion::Velocity& target, const diffusion::Velocity& teacher,
                        const diffusion::FlowSchedule& schedule, const std::vector<int64_t>& places, const Tensor& end, const Tensor& clean,
                        const Tensor& noise);

/// mean over all elements of √((u − v)² + h²) − h, a scalar. Throws ValueError unless h > 0.
Tensor pseudo_huber(const Tensor& u, const Tensor& v, double h = 0.001);
/// mean over frames t of ((u[t+gap] − u[t]) − (v[t+gap] − v[t]))², a scalar, of videos [B, C, F, H, W]; 0 for F ≤ gap. Throws ValueError
/// for gap < 1.
Tensor temporal_coherence_loss(const Tensor& prediction, const Tensor& target, int64_t gap = 3);

// -- the adversary of the detail expert ------------------------------------------------------------------------------

/// ((1 − s) x + (s − end) n)/(1 − end): a point at level `end` noised on to level s ≥ end, s [B].
Tensor renoised(const Tensor& x, const Tensor& noise, const Tensor& s, double end);
/// mean over layers of the mean squared difference of early exits.
Tensor feature_matching_loss(const std::vector<Tensor>& generated, const std::vector<Tensor>& real);

// -- the two experts -------------------------------------------------------------------------------------------------

struct DetailOptions {
  int64_t rank = 128;
  double alpha = 256;
};

/// One set of weights, two experts: the semantic network as it was trained, frozen; and for detail the same with low-rank adapters on the
/// attention projections, and an embedder and a head of its own. At the start both say the same.
class DualExpert : public nn::Module {
 public:
  /// A copy of `semantic`; `boundary` is the level above which it answers (boundary_level). Throws ValueError for a boundary outside (0,
  /// 1), or a rank as add_adapter.
  DualExpert(const diffusion::VideoTransformer& semantic, double boundary, const DetailOptions& options = {});

  /// Each example by the expert that its σ [B] belongs to. Calls switch adapters: a module belongs to one thread at a time.
  Tensor operator()(const Tensor& x, const Tensor& sigma, const Tensor& labels = {}) const;
  Tensor semantic(const Tensor& x, const Tensor& sigma, const Tensor& labels = {}) const;
  Tensor detail(const Tensor& x, const Tensor& sigma, const Tensor& labels = {}) const;

  /// All that stage 2 trains: adapters, embedder and head.
  std::vector<Tensor> detail_parameters() const;
  double boundary() const { return boundary_; }

 private:
  void use_detail(bool on) const;
  double boundary_;
  mutable diffusion::VideoTransformer network_;
  diffusion::VideoEmbedder embedder_;
  diffusion::VideoHead head_;
};

}  // namespace plumb::methods::dual_expert_cm
