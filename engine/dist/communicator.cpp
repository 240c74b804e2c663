// What all transports do alike, and the group of one.
#include "engine/dist/communicator.h"

#include <cstring>
#include <utility>

#include "engine/core/error.h"

namespace plumb::dist {
namespace {

void require_plain(const char* op, const Tensor& x) {
  if (x.device().type != DeviceType::cpu) throw DeviceError(std::string(op) + ": takes tensors of the CPU, got one of " + to_string(x.device()));
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

}  // namespace

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
  require_plain("all_reduce", x);
  if (x.dtype() != f32 && x.dtype() != f64) throw DTypeError("all_reduce: takes f32 or f64, got " + std::string(name(x.dtype())));
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
