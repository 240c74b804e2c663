// All-to-all of rows.
#include "models/parallel/exchange_rows.h"

#include <numeric>

#include "engine/autograd/record.h"

namespace plumb::parallel {
namespace {

Tensor moved(const Tensor& x, const std::vector<int64_t>& give, const std::vector<int64_t>& take, dist::Communicator& processes) {
  Tensor out = empty({std::accumulate(take.begin(), take.end(), int64_t{0}), x.size(1)}, x.dtype(), x.device(), "exchange_rows");
  processes.collectives_on(x.device())->exchange_rows(contiguous_data(x), give, out, take);
  return out;
}

}  // namespace

//   y = the rows of all processes that are meant for this one,   dx = the rows of dy, each back to where it came from
Tensor exchange_rows(const Tensor& x, const std::vector<int64_t>& give, const std::vector<int64_t>& take, dist::Communicator& processes) {
  auto size = static_cast<size_t>(processes.size());
  if (x.rank() != 2 || give.size() != size || take.size() != size || std::accumulate(give.begin(), give.end(), int64_t{0}) != x.size(0))
    throw ShapeError("exchange_rows: x is " + to_string(x.shape()) + "; give and take need a number for each of " + std::to_string(size) +
                     " processes, and give must sum to the rows");
  Tensor y = moved(x, give, take, processes);
  return record("exchange_rows", y, {x}, saving(), [give, take, &processes](const Grads& dy, const Saved&, Needs) -> Grads {
    return {exchange_rows(dy[0], take, give, processes)};
  });
}

}  // namespace plumb::parallel
