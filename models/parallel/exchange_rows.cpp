// All-to-all of rows.
#include "models/parallel/exchange_rows.h"

#include <cstring>
#include <numeric>

#include "engine/autograd/record.h"

namespace plumb::parallel {
namespace {

Tensor moved(const Tensor& x, const std::vector<int64_t>& give, const std::vector<int64_t>& take, dist::Communicator& processes) {
  Tensor from = contiguous_data(x), out = empty({std::accumulate(take.begin(), take.end(), int64_t{0}), x.size(1)}, x.dtype(), x.device(), "exchange_rows");
  size_t row = static_cast<size_t>(x.size(1)) * item_size(x.dtype());
  std::vector<std::string> messages;
  const char* next = static_cast<const char*>(from.raw_data());
  for (int64_t rows : give) {
    size_t bytes = static_cast<size_t>(rows) * row;
    messages.emplace_back(bytes > 0 ? std::string(next, bytes) : std::string());
    next += bytes;
  }
  messages = processes.all_to_all(std::move(messages));
  char* place = static_cast<char*>(out.raw_data());
  for (size_t r = 0; r < messages.size(); ++r) {
    if (messages[r].size() != static_cast<size_t>(take[r]) * row)
      throw ShapeError("exchange_rows: process " + std::to_string(r) + " gave " + std::to_string(messages[r].size()) + " bytes, not " + std::to_string(take[r]) + " rows");
    if (!messages[r].empty()) std::memcpy(place, messages[r].data(), messages[r].size());
    place += messages[r].size();
  }
  return out;
}

}  // namespace

//   y = the rows of all processes that are meant for this one,   dx = the rows of dy, each back to where it came from
Tensor exchange_rows(const Tensor& x, const std::vector<int64_t>& give, const std::vector<int64_t>& take, dist::Communicator& processes) {
  auto size = static_cast<size_t>(processes.size());
  if (x.device().type != DeviceType::cpu) throw DeviceError("exchange_rows: takes tensors of the CPU, got one of " + to_string(x.device()));
  if (x.rank() != 2 || give.size() != size || take.size() != size || std::accumulate(give.begin(), give.end(), int64_t{0}) != x.size(0))
    throw ShapeError("exchange_rows: x is " + to_string(x.shape()) + "; give and take need a number for each of " + std::to_string(size) + " processes, and give must sum to the rows");
  Tensor y = moved(x, give, take, processes);
  return record("exchange_rows", y, {x}, saving(), [give, take, &processes](const Grads& dy, const Saved&, Needs) -> Grads {
    return {exchange_rows(dy[0], take, give, processes)};
  });
}

}  // namespace plumb::parallel
