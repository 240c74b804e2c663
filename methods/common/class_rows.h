// What a classifier that is solved, not trained, asks of its data: rows of finite numbers, and labels of which no class is missing.
#pragma once
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// How many rows have each label. Throws, naming `op`: ShapeError unless features are [m, n] with m, n ≥ 1 and labels [m]; DTypeError
/// unless labels are i64; ValueError for fewer than two classes, for a feature that is not finite, and, unless `missing_allowed`, for a
/// class without rows (and so for data of one class only); IndexError for a label outside [0, classes).
std::vector<int64_t> check_class_rows(const std::string& op, const Tensor& features, const Tensor& labels, int64_t classes,
                                      bool missing_allowed = false);
/// Throws ShapeError unless features are [m, width], ValueError for one that is not finite.
void check_feature_rows(const std::string& op, const Tensor& features, int64_t width);

}  // namespace plumb::methods
