// Continual generalised category discovery: classes that are known first, then stages of unlabelled examples of old and of new classes, and
// how a clustering of all classes is judged.
#pragma once
#include <cstdint>
#include <vector>

#include "methods/common/continual.h"

namespace plumb::methods::happy {

struct DiscoveryStage {
  Tensor x;                    ///< [n, ..], in random order; unlabelled but in stage 0
  Tensor truth;                ///< i64 [n], for measuring only but in stage 0
  int64_t known, fresh;        ///< classes seen before this stage, and new in it; classes are 0, 1, … in the order of their coming
  Tensor test_x, test_labels;  ///< of all classes seen with this stage
};

struct DiscoveryCounts {
  int64_t labelled = 400;  ///< examples of each known class in stage 0
  int64_t fresh = 300;     ///< of each new class in its stage
  int64_t old = 30;        ///< of each class seen before, other ones in every stage
};
/// Stages from a class stream, one a task; no example occurs twice. Throws ValueError for counts below 1, naming a class with too few
/// training examples, or for a stream that has no classes left for a stage of discovery.
std::vector<DiscoveryStage> discovery_stages(const ContinualStream& stream, const DiscoveryCounts& counts, uint64_t seed);

/// In percent, from one assignment of clusters to classes for all test examples (Hungarian): separate assignments for old and for new
/// classes would flatter both.
struct DiscoveryAccuracy {
  double all = 0, old = 0, fresh = 0;  ///< of classes below `known`, and of the others; NaN where there is no example
  double base = 0;                     ///< of classes below `base_classes`
  double predicted_old = 0;            ///< share assigned to classes below `known`
};
/// predicted i64 [n] are any numbers ≥ 0, labels i64 [n] classes. Throws as cluster::match_clusters, ValueError for no examples.
DiscoveryAccuracy discovery_accuracy(const Tensor& predicted, const Tensor& labels, int64_t known, int64_t base_classes);

}  // namespace plumb::methods::happy
