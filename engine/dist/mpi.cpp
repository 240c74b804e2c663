// The communicator over MPI.
#include "engine/dist/mpi.h"

#include <mpi.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
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

class World : public Communicator {
 public:
  World() {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }
  ~World() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void barrier() override { check(MPI_Barrier(MPI_COMM_WORLD), "barrier"); }

  std::vector<std::string> all_gather(std::string_view own) override {
    auto length = static_cast<unsigned long long>(own.size());
    std::vector<unsigned long long> lengths(static_cast<size_t>(size_));
    check(MPI_Allgather(&length, 1, MPI_UNSIGNED_LONG_LONG, lengths.data(), 1, MPI_UNSIGNED_LONG_LONG, MPI_COMM_WORLD), "all_gather");
    std::vector<std::string> all(static_cast<size_t>(size_));
    for (int r = 0; r < size_; ++r) {
      std::string& text = all[static_cast<size_t>(r)];
      text.resize(lengths[static_cast<size_t>(r)]);
      if (r == rank_) std::copy(own.begin(), own.end(), text.begin());
      broadcast_bytes(text.data(), text.size(), r);
    }
    return all;
  }

 private:
  void broadcast_bytes(void* data, size_t bytes, int root) override {
    for (size_t at = 0; at < bytes; at += kPiece)
      check(MPI_Bcast(static_cast<char*>(data) + at, static_cast<int>(std::min(kPiece, bytes - at)), MPI_BYTE, root, MPI_COMM_WORLD),
            "broadcast");
  }

  // Lengths first; then all pieces are on their way at once, and each pair of ranks has its own in order.
  std::vector<std::string> exchange(std::vector<std::string> to) override {
    auto count = static_cast<size_t>(size_);
    std::vector<unsigned long long> give(count), take(count);
    for (size_t r = 0; r < count; ++r) give[r] = to[r].size();
    check(MPI_Alltoall(give.data(), 1, MPI_UNSIGNED_LONG_LONG, take.data(), 1, MPI_UNSIGNED_LONG_LONG, MPI_COMM_WORLD), "all_to_all");
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
    check(MPI_Waitall(static_cast<int>(pending.size()), pending.data(), MPI_STATUSES_IGNORE), "all_to_all");
    from[static_cast<size_t>(rank_)] = std::move(to[static_cast<size_t>(rank_)]);
    return from;
  }

  int rank_ = 0, size_ = 1;
};

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
