// The communicator over MPI.
#include "engine/dist/mpi.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "engine/core/error.h"

namespace plumb::dist {
namespace {

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw DeviceError(std::string(what) + ": " + std::string(text, static_cast<size_t>(length)));
}

// MPI counts in int: more than that goes in pieces.
constexpr size_t kPiece = INT_MAX / 2;

MPI_Datatype type_of(const Tensor& x) { return x.dtype() == f64 ? MPI_DOUBLE : MPI_FLOAT; }

int count_of(const char* op, const Tensor& x) {
  if (x.numel() > INT_MAX) throw ShapeError(std::string(op) + ": more than 2³¹ − 1 elements at once; smaller buckets help");
  return static_cast<int>(x.numel());
}

class World : public Communicator {
 public:
  World() {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    MPI_Comm machine;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine), "MPI_Comm_split_type");
    check(MPI_Comm_rank(machine, &local_rank_), "MPI_Comm_rank");
    MPI_Comm_free(&machine);
  }
  ~World() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  void barrier() override {
    MPI_Request request;
    check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "barrier");
    finish(request, "barrier");
  }

  std::vector<std::string> all_gather(std::string_view own) override {
    auto length = static_cast<unsigned long long>(own.size());
    std::vector<unsigned long long> lengths(static_cast<size_t>(size_));
    MPI_Request request;
    check(MPI_Iallgather(&length, 1, MPI_UNSIGNED_LONG_LONG, lengths.data(), 1, MPI_UNSIGNED_LONG_LONG, MPI_COMM_WORLD, &request),
          "all_gather");
    finish(request, "all_gather");
    std::vector<std::string> all(static_cast<size_t>(size_));
    for (int r = 0; r < size_; ++r) {
      std::string& text = all[static_cast<size_t>(r)];
      text.resize(lengths[static_cast<size_t>(r)]);
      if (r == rank_) std::copy(own.begin(), own.end(), text.begin());
      broadcast_bytes(text.data(), text.size(), r);
    }
    return all;
  }

  [[noreturn]] void abandon(int status) override { dist::abandon(status); }

  // One step towards the end of `request`; true when it is there.
  bool advance(MPI_Request& request, const char* op) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), op);
    return done != 0;
  }

  // In place of MPI_Wait, which would keep a core busy and could wait for ever for a process that is gone.
  void finish(MPI_Request& request, const char* op) {
    constexpr int kEager = 2000;  // questions without a pause: the others are about to answer, as a rule
    for (int asked = 0; !advance(request, op); ++asked) {
      if (asked < kEager) continue;
      if (given_up()) throw ProcessLost(std::string(op) + ": a process does not answer any more");
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  class Request;

  std::unique_ptr<Exchange> begin_all_reduce(const Tensor& x) override;
  std::unique_ptr<Exchange> begin_reduce_scatter(const Tensor& whole, const Tensor& part) override;
  std::unique_ptr<Exchange> begin_all_gather(const Tensor& part, const Tensor& whole) override;

  void broadcast_bytes(void* data, size_t bytes, int root) override {
    for (size_t at = 0; at < bytes; at += kPiece) {
      MPI_Request request;
      check(MPI_Ibcast(static_cast<char*>(data) + at, static_cast<int>(std::min(kPiece, bytes - at)), MPI_BYTE, root, MPI_COMM_WORLD,
                       &request),
            "broadcast");
      finish(request, "broadcast");
    }
  }

  // Lengths first; then all pieces are on their way at once, and each pair of ranks has its own in order.
  std::vector<std::string> exchange(std::vector<std::string> to) override {
    auto count = static_cast<size_t>(size_);
    std::vector<unsigned long long> give(count), take(count);
    for (size_t r = 0; r < count; ++r) give[r] = to[r].size();
    MPI_Request lengths;
    check(MPI_Ialltoall(give.data(), 1, MPI_UNSIGNED_LONG_LONG, take.data(), 1, MPI_UNSIGNED_LONG_LONG, MPI_COMM_WORLD, &lengths),
          "all_to_all");
    finish(lengths, "all_to_all");
    std::vector<std::string> from(count);
    std::vector<MPI_Request> pending;
    auto pieces = [&](std::string& text, auto&& start) {
      for (size_t at = 0; at < text.size(); at += kPiece)
        check(start(text.data() + at, static_cast<int>(std::min(kPiece, text.size() - at)), &pending.emplace_back()), "all_to_all");
    };
    for (int r = 0; r < size_; ++r) {
      auto i = static_cast<size_t>(r);
      if (r == rank_) continue;
      from[i].resize(take[i]);
      pieces(from[i], [&](char* data, int bytes, MPI_Request* request) {
        return MPI_Irecv(data, bytes, MPI_BYTE, r, 0, MPI_COMM_WORLD, request);
      });
    }
    for (int r = 0; r < size_; ++r)
      if (r != rank_)
        pieces(to[static_cast<size_t>(r)], [&](char* data, int bytes, MPI_Request* request) {
          return MPI_Isend(data, bytes, MPI_BYTE, r, 0, MPI_COMM_WORLD, request);
        });
    for (MPI_Request& request : pending) finish(request, "all_to_all");
    from[static_cast<size_t>(rank_)] = std::move(to[static_cast<size_t>(rank_)]);
    return from;
  }

  int rank_ = 0, size_ = 1, local_rank_ = 0;
};

// A non-blocking operation with the tensors that it reads and writes.
class World::Request final : public Exchange {
 public:
  Request(World& world, const char* op, Tensor from, Tensor to) : world_(world), op_(op), from_(std::move(from)), to_(std::move(to)) {}
  MPI_Request* get() { return &request_; }
  void poll() override { done_ = done_ || world_.advance(request_, op_); }
  void wait() override {
    if (!done_) world_.finish(request_, op_);
    done_ = true;
  }

 private:
  World& world_;
  const char* op_;
  Tensor from_, to_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  bool done_ = false;
};

std::unique_ptr<Exchange> World::begin_all_reduce(const Tensor& x) {
  auto request = std::make_unique<Request>(*this, "all_reduce", Tensor(), x);
  check(MPI_Iallreduce(MPI_IN_PLACE, x.raw_data(), count_of("all_reduce", x), type_of(x), MPI_SUM, MPI_COMM_WORLD, request->get()),
        "all_reduce");
  return request;
}

std::unique_ptr<Exchange> World::begin_reduce_scatter(const Tensor& whole, const Tensor& part) {
  auto request = std::make_unique<Request>(*this, "reduce_scatter", whole, part);
  count_of("reduce_scatter", whole);
  check(MPI_Ireduce_scatter_block(whole.raw_data(), part.raw_data(), count_of("reduce_scatter", part), type_of(part), MPI_SUM,
                                  MPI_COMM_WORLD, request->get()),
        "reduce_scatter");
  return request;
}

std::unique_ptr<Exchange> World::begin_all_gather(const Tensor& part, const Tensor& whole) {
  auto request = std::make_unique<Request>(*this, "all_gather", part, whole);
  size_t bytes = static_cast<size_t>(part.numel()) * item_size(part.dtype());
  if (bytes > INT_MAX) throw ShapeError("all_gather: parts of more than 2³¹ − 1 bytes; smaller buckets help");
  check(MPI_Iallgather(part.raw_data(), static_cast<int>(bytes), MPI_BYTE, whole.raw_data(), static_cast<int>(bytes), MPI_BYTE,
                       MPI_COMM_WORLD, request->get()),
        "all_gather");
  return request;
}

// What the launchers of Open MPI, MPICH and Slurm leave for the processes they start.
bool was_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"})
    if (std::getenv(name)) return true;
  return false;
}

}  // namespace

Communicator& mpi_world() {
  static Communicator alone;
  if (!was_launched()) return alone;
  static World world;
  return world;
}

void abandon(int status) {
  if (was_launched()) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace plumb::dist
