// Continual learning: a data set as a sequence of experiences that bring new classes, and what accuracies along the way add up to.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/data/parts.h"

namespace plumb::data {

struct Experience {
  Dataset train, test;
  std::vector<int64_t> classes;  ///< whose examples these are, by their labels here
};

struct ClassIncrementalOptions {
  int64_t tasks = 5;
  int64_t first = 0;     ///< classes of the first experience; 0: as many as the others
  bool shuffle = true;   ///< the order of the classes is random, by seed; else ascending
  bool relabel = true;   ///< labels become the places in that order, so that known classes are always 0, 1, …
  double blurry = 0;     ///< share of each class's training examples spread evenly over the other experiences
  uint64_t seed = 0;
};

/// `data`'s classes split into experiences: the first has `first` of them, the rest are shared out as evenly as they can be, larger ones
/// first. Samples keep their index. Throws ValueError for tasks < 1, fewer classes than that, or blurry outside [0, 1].
std::vector<Experience> class_incremental(const DatasetParts& data, const ClassIncrementalOptions& options = {});

/// The order of the classes that class_incremental uses.
std::vector<int64_t> class_order(int64_t classes, const ClassIncrementalOptions& options);

/// Accuracy after experience i on the test set of experience j, row i, column j; entries with j > i (not yet seen) may be anything.
using AccuracyMatrix = std::vector<std::vector<double>>;

/// (1/T) Σ_j a_Tj after the last of T experiences. These throw ValueError for a matrix that is not square, or without rows.
double average_accuracy(const AccuracyMatrix& a);
/// (1/T) Σ_i (1/i) Σ_{j ≤ i} a_ij.
double average_incremental_accuracy(const AccuracyMatrix& a);
/// (1/(T − 1)) Σ_{j < T} (max_{i < T} a_ij − a_Tj) over i ≥ j (Chaudhry et al., ECCV 2018); 0 for one experience.
double forgetting(const AccuracyMatrix& a);
/// (1/(T − 1)) Σ_{j < T} (a_Tj − a_jj) (Lopez-Paz & Ranzato, NeurIPS 2017); 0 for one experience.
double backward_transfer(const AccuracyMatrix& a);
/// (1/(T − 1)) Σ_{j > 1} (a_{j−1,j} − before_j), before_j the accuracy on experience j before anything was learned (Lopez-Paz & Ranzato):
/// it reads the entries just above the diagonal; 0 for one experience. Throws ValueError too unless there is one `before` an experience.
double forward_transfer(const AccuracyMatrix& a, const std::vector<double>& before);

}  // namespace plumb::data
