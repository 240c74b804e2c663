// Retrieval across models: queries by one model against a gallery by another, and how compatible a model is with earlier ones.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Whether queries find their class: features [n, d] brought to length 1, those of the gallery averaged to one template a class and brought
/// to length 1 again; the share of queries whose largest inner product is with their class's template, of equal ones the lower class.
/// Labels i64 [n] in [0, classes), every class in the gallery. Throws ShapeError for sizes that do not fit, IndexError for a label outside,
/// ValueError for a class that the gallery lacks or a row of zeros.
double identification_accuracy(const Tensor& query, const Tensor& query_labels, const Tensor& gallery, const Tensor& gallery_labels,
                               int64_t classes);

/// c[t][i], i ≤ t: the score of queries by model t with a gallery by model i; entries with i > t may be missing.
using CompatibilityMatrix = std::vector<std::vector<double>>;

/// (2 / (T (T − 1))) Σ_{t > i} [c_ti > c_ii]: how often a later model finds more in an earlier one's gallery than that model itself did. A
/// tie is not compatible (Biondi et al., CVPR 2024). Throws ValueError for fewer than two models or a row that is too short.
double average_compatibility(const CompatibilityMatrix& c);
/// The mean of all c_ti with i ≤ t. Throws ValueError without models or for a row that is too short.
double average_multi_model_accuracy(const CompatibilityMatrix& c);

}  // namespace plumb::metrics
