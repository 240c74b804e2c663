// Average precision as COCO measures it (Lin et al., ECCV 2014).
#pragma once
#include <array>
#include <vector>

#include "models/detection/objects.h"

namespace plumb::detection {

/// Gathers images and gives AP at IoU 0.50, 0.55, …, 0.95. In each image and class the found boxes, best first and at most 100, take the
/// free true box they overlap most (of equal ones the last) if the IoU reaches the threshold, and count as right, else as wrong. Over all
/// images, best first, precision is made falling in recall and averaged at the recalls 0, 0.01, …, 1. Belongs to one thread at a time.
class AveragePrecision {
 public:
  static constexpr size_t kThresholds = 10;
  static constexpr int64_t kMostPerImage = 100;

  /// Throws ValueError for less than one class.
  explicit AveragePrecision(int64_t classes);
  /// Image `image` of `truth`, and what was found in it. Throws ShapeError for sizes that do not fit, IndexError for a class outside.
  void add(const Found& found, const Objects& truth, int64_t image);

  struct Result {
    double ap = 0;                   ///< mean over thresholds and over the classes that have objects; NaN if none has, as the others
    double ap50 = 0;                 ///< at IoU 0.5
    double ap75 = 0;                 ///< at IoU 0.75
    std::vector<double> class_ap50;  ///< NaN for a class without objects
  };
  Result result() const;

 private:
  struct Answer {
    double score;
    std::array<bool, kThresholds> right;
  };
  struct ClassAnswers {
    std::vector<Answer> answers;
    int64_t objects = 0;
  };
  std::vector<ClassAnswers> classes_;
};

}  // namespace plumb::detection
