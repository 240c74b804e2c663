// Rows that change processes, with their derivative.
#pragma once
#include <vector>

#include "engine/dist/communicator.h"

namespace plumb::parallel {

/// x [A, W]: the first give[0] rows for process 0, the next give[1] for process 1, …, A in all → [Σ take, W]: take[r] rows from each
/// process r, in the order of processes. Gradients go back the same way. All processes call it together, forward and backward; take[r] is
/// what process r gives this one. On the CPU or the processes' GPUs (Communicator::collectives_on, which should be held meanwhile). Throws
/// ShapeError unless the numbers fit.
Tensor exchange_rows(const Tensor& x, const std::vector<int64_t>& give, const std::vector<int64_t>& take, dist::Communicator& processes);

}  // namespace plumb::parallel
