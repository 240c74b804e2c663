// Collectives between GPUs by NCCL, on the current stream.
#include <nccl.h>

#include "cuda/runtime/device.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"
#include "engine/dist/device_communicator.h"

namespace plumb::cuda_backend {
namespace {

void check(ncclResult_t result, const char* op) {
  if (result != ncclSuccess) throw DeviceError(std::string(op) + ": NCCL: " + ncclGetErrorString(result));
}

ncclDataType_t data_type(const char* op, DType t) {
  switch (t) {
    case DType::f64: return ncclFloat64;
    case DType::f32: return ncclFloat32;
    case DType::bf16: return ncclBfloat16;
    case DType::f16: return ncclFloat16;
    case DType::i64: return ncclInt64;
    case DType::i32: return ncclInt32;
    case DType::u8: return ncclUint8;
    default: unsupported_dtype(op, t);
  }
}

ncclRedOp_t reduction_of(dist::Reduction r) {
  switch (r) {
    case dist::Reduction::mean: return ncclAvg;
    case dist::Reduction::maximum: return ncclMax;
    case dist::Reduction::minimum: return ncclMin;
    default: return ncclSum;
  }
}

// Work on the side stream: what the current stream is given after wait() comes after it.
class Beside final : public dist::Exchange {
 public:
  Beside(Tensor from, Tensor to) : from_(std::move(from)), to_(std::move(to)) {}
  void ends_on(cudaStream_t stream) { end_.record(stream); }
  void poll() override {}  // a GPU needs no urging
  void wait() override {
    end_.make_wait();
    to_.impl()->storage->bump_version();
  }

 private:
  Tensor from_, to_;
  Event end_;
};

class NcclCommunicator final : public dist::DeviceCommunicator {
 public:
  NcclCommunicator(Device device, int rank, int size, const ncclUniqueId& id)
      : device_((make_current(device.index), device)), rank_(rank), size_(size) {
    check(ncclCommInitRank(&communicator_, size, id, rank), "communicator");
  }
  ~NcclCommunicator() override { ncclCommDestroy(communicator_); }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Device device() const override { return device_; }

  void all_reduce(Tensor& x, dist::Reduction r) override {
    prepare("all_reduce", x);
    check(ncclAllReduce(x.raw_data(), x.raw_data(), count(x), data_type("all_reduce", x.dtype()), reduction_of(r), communicator_,
                        current_stream()),
          "all_reduce");
    written(x);
  }
  void broadcast(Tensor& x, int root) override {
    prepare("broadcast", x);
    if (root < 0 || root >= size_)
      throw ValueError("broadcast: rank " + std::to_string(root) + " is outside [0, " + std::to_string(size_) + ")");
    size_t bytes = count(x) * item_size(x.dtype());  // of any type
    check(ncclBroadcast(x.raw_data(), x.raw_data(), bytes, ncclUint8, root, communicator_, current_stream()), "broadcast");
    written(x);
  }
  void all_gather(const Tensor& x, Tensor& out) override {
    dist::detail::check_parts("all_gather", *this, out, x);
    make_current(device_.index);
    check(ncclAllGather(x.raw_data(), out.raw_data(), count(x) * item_size(x.dtype()), ncclUint8, communicator_, current_stream()),
          "all_gather");
    written(out);
  }
  void reduce_scatter(const Tensor& x, Tensor& out, dist::Reduction r) override {
    dist::detail::check_parts("reduce_scatter", *this, x, out);
    make_current(device_.index);
    check(ncclReduceScatter(x.raw_data(), out.raw_data(), count(out), data_type("reduce_scatter", x.dtype()), reduction_of(r),
                            communicator_, current_stream()),
          "reduce_scatter");
    written(out);
  }
  std::unique_ptr<dist::Exchange> start_all_reduce(Tensor x) override {
    prepare("all_reduce", x);
    traffic_.all_reduced += bytes(x);
    return beside("all_reduce", x, x, [&](cudaStream_t stream) {
      return ncclAllReduce(x.raw_data(), x.raw_data(), count(x), data_type("all_reduce", x.dtype()), ncclSum, communicator_, stream);
    });
  }
  std::unique_ptr<dist::Exchange> start_reduce_scatter(Tensor whole, Tensor part) override {
    dist::detail::check_parts("reduce_scatter", *this, whole, part);
    traffic_.scattered += bytes(whole);
    return beside("reduce_scatter", whole, part, [&](cudaStream_t stream) {
      return ncclReduceScatter(whole.raw_data(), part.raw_data(), count(part), data_type("reduce_scatter", part.dtype()), ncclSum,
                               communicator_, stream);
    });
  }
  std::unique_ptr<dist::Exchange> start_all_gather(Tensor part, Tensor whole) override {
    dist::detail::check_parts("all_gather", *this, whole, part);
    traffic_.gathered += bytes(whole);
    return beside("all_gather", part, whole, [&](cudaStream_t stream) {
      return ncclAllGather(part.raw_data(), whole.raw_data(), count(part) * item_size(part.dtype()), ncclUint8, communicator_, stream);
    });
  }
  // Rows for all processes, and from all, are on their way at once: no process waits for another's turn.
  void exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) override {
    prepare("exchange_rows", from);
    prepare("exchange_rows", to);
    size_t row = dist::detail::checked_row_bytes(*this, from, give, to, take);
    const char* next = static_cast<const char*>(from.raw_data());
    char* place = static_cast<char*>(to.raw_data());
    check(ncclGroupStart(), "exchange_rows");
    ncclResult_t first_problem = ncclSuccess;
    auto add = [&](ncclResult_t result) { first_problem = first_problem == ncclSuccess ? result : first_problem; };
    for (int r = 0; r < size_; ++r) {
      size_t given = row * static_cast<size_t>(give[static_cast<size_t>(r)]),
             taken = row * static_cast<size_t>(take[static_cast<size_t>(r)]);
      if (given > 0) add(ncclSend(next, given, ncclUint8, r, communicator_, current_stream()));
      if (taken > 0) add(ncclRecv(place, taken, ncclUint8, r, communicator_, current_stream()));
      next += given, place += taken;
    }
    add(ncclGroupEnd());
    check(first_problem, "exchange_rows");
    written(to);
  }
  void barrier() override {
    Tensor one = zeros({1}, f32, device_);
    all_reduce(one, dist::Reduction::sum);
    synchronize_stream();
  }

 private:
  static size_t count(const Tensor& x) { return static_cast<size_t>(x.numel()); }
  static int64_t bytes(const Tensor& x) { return static_cast<int64_t>(count(x) * item_size(x.dtype())); }
  static void written(Tensor& x) { x.impl()->storage->bump_version(); }
  // Starts `work` on the side stream, after everything that the current stream was given before.
  template <typename Work>
  std::unique_ptr<dist::Exchange> beside(const char* op, const Tensor& from, const Tensor& to, Work&& work) {
    make_current(device_.index);
    Event given;
    given.record();
    given.make_wait(side_.get());
    auto exchange = std::make_unique<Beside>(from, to);
    check(work(side_.get()), op);
    exchange->ends_on(side_.get());
    return exchange;
  }
  void prepare(const char* op, const Tensor& x) {
    dist::detail::check_operand(op, *this, x);
    make_current(device_.index);
  }

  Device device_;
  int rank_, size_;
  ncclComm_t communicator_ = nullptr;
  Stream side_;
};

std::string new_id() {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "communicator");
  return std::string(id.internal, sizeof id.internal);
}

std::unique_ptr<dist::DeviceCommunicator> join(Device device, int rank, int size, const std::string& text) {
  ncclUniqueId id;
  if (text.size() != sizeof id.internal)
    throw ValueError("communicator: the name is of " + std::to_string(text.size()) + " bytes, those of new_device_communicator_id() of " +
                     std::to_string(sizeof id.internal));
  text.copy(id.internal, sizeof id.internal);
  return std::make_unique<NcclCommunicator>(device, rank, size, id);
}

}  // namespace

void register_nccl_communicator() { dist::detail::set_communicator_maker({new_id, join}); }

}  // namespace plumb::cuda_backend
