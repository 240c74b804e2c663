// What all transports do alike, and the group of one.
#include "engine/dist/communicator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "engine/core/error.h"
#include "engine/dist/device_communicator.h"

namespace plumb::dist {
namespace {

void require_plain(const char* op, const Tensor& x) {
  if (x.device().type != DeviceType::cpu)
    throw DeviceError(std::string(op) + ": takes tensors of the CPU, got one of " + to_string(x.device()));
  if (!x.is_contiguous()) throw ShapeError(std::string(op) + ": takes contiguous tensors, got " + to_string(x.shape()) + " with gaps");
}

size_t bytes_of(const Tensor& x) { return static_cast<size_t>(x.numel()) * item_size(x.dtype()); }

template <typename T> void add(const std::string& from, T* into, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T term;
    std::memcpy(&term, from.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    into[i] += term;
  }
}

void require_sum(const char* op, const Tensor& x) {
  require_plain(op, x);
  if (x.dtype() != f32 && x.dtype() != f64) throw DTypeError(std::string(op) + ": takes f32 or f64, got " + std::string(name(x.dtype())));
}

void require_parts(const char* op, int size, const Tensor& part, const Tensor& whole) {
  require_plain(op, part);
  require_plain(op, whole);
  if (part.dtype() != whole.dtype())
    throw DTypeError(std::string(op) + ": the whole is " + std::string(name(whole.dtype())) + ", the part " +
                     std::string(name(part.dtype())));
  if (part.numel() * size != whole.numel())
    throw ShapeError(std::string(op) + ": " + std::to_string(size) + " parts " + to_string(part.shape()) + " do not make " +
                     to_string(whole.shape()));
}

std::unique_ptr<Exchange> copied(const Tensor& from, const Tensor& to) {
  if (bytes_of(from) > 0 && from.raw_data() != to.raw_data()) std::memmove(to.raw_data(), from.raw_data(), bytes_of(from));
  return std::make_unique<NoExchange>();
}

}  // namespace

std::unique_ptr<Exchange> Communicator::begin_all_reduce(const Tensor&) { return std::make_unique<NoExchange>(); }
std::unique_ptr<Exchange> Communicator::begin_reduce_scatter(const Tensor& whole, const Tensor& part) { return copied(whole, part); }
std::unique_ptr<Exchange> Communicator::begin_all_gather(const Tensor& part, const Tensor& whole) { return copied(part, whole); }

std::unique_ptr<Exchange> Communicator::start_all_reduce(Tensor x) {
  require_sum("all_reduce", x);
  traffic_.all_reduced += static_cast<int64_t>(bytes_of(x));
  return begin_all_reduce(x);
}

std::unique_ptr<Exchange> Communicator::start_reduce_scatter(Tensor whole, Tensor part) {
  require_sum("reduce_scatter", whole);
  require_parts("reduce_scatter", size(), part, whole);
  traffic_.scattered += static_cast<int64_t>(bytes_of(whole));
  return begin_reduce_scatter(whole, part);
}

std::unique_ptr<Exchange> Communicator::start_all_gather(Tensor part, Tensor whole) {
  require_parts("all_gather", size(), part, whole);
  traffic_.gathered += static_cast<int64_t>(bytes_of(whole));
  return begin_all_gather(part, whole);
}

void Communicator::exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) {
  require_plain("exchange_rows", from);
  require_plain("exchange_rows", to);
  size_t row = detail::checked_row_bytes(*this, from, give, to, take);
  std::vector<std::string> messages;
  const char* next = static_cast<const char*>(from.raw_data());
  for (int64_t rows : give) {
    size_t bytes = static_cast<size_t>(rows) * row;
    messages.emplace_back(bytes > 0 ? std::string(next, bytes) : std::string());
    next += bytes;
  }
  messages = exchange(std::move(messages));
  char* place = static_cast<char*>(to.raw_data());
  for (size_t r = 0; r < messages.size(); ++r) {
    if (messages[r].size() != static_cast<size_t>(take[r]) * row)
      throw ShapeError("exchange_rows: process " + std::to_string(r) + " gave " + std::to_string(messages[r].size()) + " bytes, not " +
                       std::to_string(take[r]) + " rows");
    place = std::copy(messages[r].begin(), messages[r].end(), place);
  }
}

std::shared_ptr<Collectives> Communicator::collectives_on(Device device) {
  if (device.type == DeviceType::cpu) return {this, [](Collectives*) {}};
  std::weak_ptr<Collectives>& kept = between_gpus_[device.index];
  std::shared_ptr<Collectives> held = kept.lock();
  if (held) return held;
  std::string id = size() == 1 ? "" : all_gather(rank() == 0 ? new_device_communicator_id() : "")[0];
  held = join_device_communicator(device, rank(), size(), id);
  kept = held;
  return held;
}

namespace detail {

size_t checked_row_bytes(const Collectives& processes, const Tensor& from, const std::vector<int64_t>& give, const Tensor& to,
                         const std::vector<int64_t>& take) {
  auto count = static_cast<size_t>(processes.size());
  auto sum = [](const std::vector<int64_t>& rows) { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); };
  bool fits = from.rank() == 2 && to.rank() == 2 && from.size(1) == to.size(1) && from.dtype() == to.dtype() && give.size() == count &&
              take.size() == count && sum(give) == from.size(0) && sum(take) == to.size(0);
  if (!fits)
    throw ShapeError("exchange_rows: from " + to_string(from.shape()) + " to " + to_string(to.shape()) +
                     "; give and take need a number for each of " + std::to_string(count) + " processes, and must sum to the rows");
  return static_cast<size_t>(from.size(1)) * item_size(from.dtype());
}

}  // namespace detail

void Communicator::abandon(int status) { std::_Exit(status); }

void Communicator::broadcast(Tensor& x, int root) {
  if (root < 0 || root >= size())
    throw ValueError("broadcast: rank " + std::to_string(root) + " is not among the " + std::to_string(size()) + " processes");
  require_plain("broadcast", x);
  broadcast_bytes(x.raw_data(), bytes_of(x), root);
}

std::vector<std::string> Communicator::all_to_all(std::vector<std::string> to) {
  if (static_cast<int>(to.size()) != size())
    throw ValueError("all_to_all: takes a text for each of " + std::to_string(size()) + " processes, got " + std::to_string(to.size()));
  return exchange(std::move(to));
}

void Communicator::broadcast_bytes(void*, size_t, int) {}

void Communicator::all_reduce(Tensor& x) {
  require_sum("all_reduce", x);
  std::vector<std::string> all = all_gather({static_cast<const char*>(x.raw_data()), bytes_of(x)});
  for (size_t r = 0; r < all.size(); ++r)
    if (all[r].size() != bytes_of(x))
      throw ShapeError("all_reduce: rank " + std::to_string(r) + " gave " + std::to_string(all[r].size()) + " bytes, rank " +
                       std::to_string(rank()) + " " + std::to_string(bytes_of(x)));
  std::memset(x.raw_data(), 0, bytes_of(x));
  for (const std::string& term : all)
    x.dtype() == f32 ? add(term, x.data<float>(), x.numel()) : add(term, x.data<double>(), x.numel());
}

}  // namespace plumb::dist
