// The comparison that both experiments make: one retriever trained on noisy, filtered or clean pairs, without and with mined negatives.
#pragma once
#include <functional>
#include <vector>

#include "methods/experiment.h"
#include "methods/finetuning/cornstack/corpus.h"

namespace plumb::methods::cornstack {

/// What differs between the experiments: the pairs, and how they are read.
struct Study {
  std::function<std::vector<data::TextPair>(const Cell&, Generator&)> pairs;
  bool code = false;
};

std::vector<Metric> study_metrics();
std::vector<Variant> study_variants();
/// Trains and measures the cell's variant.
void run_study(const Study& study, Cell& cell);

}  // namespace plumb::methods::cornstack
