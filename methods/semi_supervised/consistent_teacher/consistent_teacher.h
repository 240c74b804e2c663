// Consistent-Teacher (Wang et al., CVPR 2023): semi-supervised detection with an averaged teacher whose boxes the student learns from, made
// consistent from step to step by adaptive assignment (assignment.h), aligned boxes (feature_alignment.h) and thresholds that follow the
// scores (score_threshold.h).
//   L = L_sup + w_u L_unsup,   w_u = 0 during warm-up
#pragma once
#include <optional>

#include "engine/core/generator.h"
#include "methods/common/box_transform.h"
#include "methods/semi_supervised/consistent_teacher/detector.h"
#include "methods/semi_supervised/consistent_teacher/score_threshold.h"
#include "models/optim/ema.h"

namespace plumb::methods::consistent_teacher {

// -- views ---------------------------------------------------------------------------------------------

/// Views of images and how each came about.
struct View {
  Tensor images;
  std::vector<BoxTransform> maps;  ///< from the original image's pixels to the view's
};
struct ViewOptions {
  double zoom = 0.2;  ///< by a factor in [1 − zoom, 1 + zoom]
  double flip = 0.5;  ///< rate; 0 where mirrored objects are others (digits)
};
/// Flip and zoom.
View weak_view(const Tensor& images, Generator& generator, const ViewOptions& options = {});
/// The weak view's kind of change, one of brightness, contrast, sharpness, auto-contrast, equalising, posterising, solarising or nothing;
/// one of moving by up to a tenth, turning or slanting by up to 30°; then 1 … 5 squares of up to a fifth of the side erased.
View strong_view(const Tensor& images, Generator& generator, const ViewOptions& options = {});
/// Flip, zoom and the colour alone: what labelled images get.
View labelled_view(const Tensor& images, Generator& generator, const ViewOptions& options = {});
/// The objects in a view: boxes mapped and clipped; those of less than `least` pixels a side are gone (class −1).
/// Throws ShapeError unless there is a map an image.
detection::Objects objects_in_view(const detection::Objects& objects, const std::vector<BoxTransform>& maps, double height, double width,
                                   double least = 2);

// -- the teacher ---------------------------------------------------------------------------------------

/// The teacher's momentum before step k = 0, 1, …: min(most, 1 − 1 / (k + 1)).
double teacher_momentum(int64_t step, double most = 0.9995);

struct PseudoBoxOptions {
  std::optional<double> fixed_threshold;  ///< of the score, for all classes; by default thresholds follow the scores
  InferenceOptions inference = {};
};
/// The boxes to be believed among what a teacher found in a batch. Without a fixed threshold, each image keeps about as many as its scores
/// expect (expected_count_bound), these are noted in `thresholds`, and those strictly above their class's threshold remain.
std::vector<detection::Found> believed_boxes(const std::vector<detection::Found>& found, ScoreThreshold& thresholds,
                                             const PseudoBoxOptions& options);
/// Those boxes as objects of another view of the same images: mapped by M_to M_from⁻¹. Throws ShapeError for numbers that differ.
detection::Objects pseudo_objects(const std::vector<detection::Found>& boxes, const std::vector<BoxTransform>& from,
                                  const std::vector<BoxTransform>& to, double height, double width);

// -- a step --------------------------------------------------------------------------------------------

struct StepOptions {
  double unsupervised_weight = 2;   ///< w_u
  double background_weight = 0.01;  ///< of L_unsup where fewer than half of the unlabelled images have a box
  int64_t warmup = 10'000;
  double momentum = 0.9995;
  Assigner assign = [](const CellsAndObjects& c) { return dynamic_soft_assign(c); };
  PseudoBoxOptions pseudo = {};
};
struct StepReport {
  Tensor loss;  ///< to be differentiated
  double supervised = 0, unsupervised = 0;
  double boxes = 0;              ///< believed, an unlabelled image
  double images_with_boxes = 0;  ///< share
};
/// Moves the teacher, then the loss of a step: labelled images with objects, and two views of unlabelled ones. During warm-up the teacher's
/// scores are noted but nothing is learned from them. An undefined weak view stands for a step from labels alone. Throws ValueError for
/// views without images, ShapeError for views of different sizes, and as dense_loss.
StepReport ssod_step(const DenseDetector& student, optim::Ema<DenseDetector>& teacher, const View& labelled,
                     const detection::Objects& truth, const View& weak, const View& strong, ScoreThreshold& thresholds,
                     const StepOptions& options, int64_t step);

// -- how much a detector changes its mind --------------------------------------------------------------

/// Boxes of two answers to one image with a score above `least`, matched within their class, the largest overlap first: 1 − IoU of each
/// pair and 1 for each box of either side without a partner.
struct Inconsistency {
  double sum = 0;
  int64_t terms = 0;
  void add(const detection::Found& before, const detection::Found& after, double least = 0.5);
  double mean() const { return terms > 0 ? sum / static_cast<double>(terms) : 0; }
};

}  // namespace plumb::methods::consistent_teacher
