// Checks of rows and labels.
#include "methods/common/class_rows.h"

#include <cmath>

namespace plumb::methods {
namespace {

void check_finite(const std::string& op, const Tensor& features) {
  std::vector<double> v = to_vector(features);
  for (size_t i = 0; i < v.size(); ++i)
    if (!std::isfinite(v[i])) {
      auto width = static_cast<size_t>(features.size(1));
      throw ValueError(op + ": feature " + std::to_string(i % width) + " of row " + std::to_string(i / width) + " is not finite");
    }
}

}  // namespace

std::vector<int64_t> check_class_rows(const std::string& op, const Tensor& features, const Tensor& labels, int64_t classes,
                                      bool missing_allowed) {
  if (classes < 2) throw ValueError(op + ": needs at least 2 classes, got " + std::to_string(classes));
  if (features.rank() != 2 || labels.rank() != 1 || features.size(0) != labels.size(0) || features.numel() == 0)
    throw ShapeError(op + ": features " + to_string(features.shape()) + " and labels " + to_string(labels.shape()) +
                     " must be [m, n] and [m], m and n at least 1");
  if (labels.dtype() != i64) throw DTypeError(op + ": labels must be i64, they are " + std::string(name(labels.dtype())));
  std::vector<int64_t> count(static_cast<size_t>(classes));
  for (int64_t y : to_vector<int64_t>(labels)) {
    if (y < 0 || y >= classes) throw IndexError(op + ": label " + std::to_string(y) + " is outside [0, " + std::to_string(classes) + ")");
    ++count[static_cast<size_t>(y)];
  }
  int64_t present = 0, missing = -1;
  for (int64_t c = classes; c-- > 0;) {
    if (count[static_cast<size_t>(c)] > 0)
      ++present;
    else
      missing = c;
  }
  if (!missing_allowed && present == 1) throw ValueError(op + ": all " + std::to_string(labels.numel()) + " labels are of one class");
  if (!missing_allowed && missing >= 0) throw ValueError(op + ": class " + std::to_string(missing) + " has no sample");
  check_finite(op, features);
  return count;
}

void check_feature_rows(const std::string& op, const Tensor& features, int64_t width) {
  if (features.rank() != 2 || features.size(1) != width)
    throw ShapeError(op + ": features " + to_string(features.shape()) + " must be [m, " + std::to_string(width) + "]");
  check_finite(op, features);
}

}  // namespace plumb::methods
