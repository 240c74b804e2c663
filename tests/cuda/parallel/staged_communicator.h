// What stands in for NCCL between simulated devices: tensors take the way through the CPU and MPI. Results and order are NCCL's, speed is
// not.
#pragma once
#include "engine/dist/communicator.h"
#include "engine/dist/device_communicator.h"

namespace plumb::testing {

class StagedCommunicator final : public dist::DeviceCommunicator {
 public:
  StagedCommunicator(Device device, dist::Communicator& between) : device_(device), between_(between) {}
  int rank() const override { return between_.rank(); }
  int size() const override { return between_.size(); }
  Device device() const override { return device_; }

  void all_reduce(Tensor& x, dist::Reduction) override { start_all_reduce(x)->wait(); }
  void broadcast(Tensor& x, int root) override {
    Tensor here = staged("broadcast", x);
    between_.broadcast(here, root);
    copy_data(here, x);
  }
  void all_gather(const Tensor& x, Tensor& out) override { start_all_gather(x, out)->wait(); }
  void reduce_scatter(const Tensor& x, Tensor& out, dist::Reduction) override { start_reduce_scatter(x, out)->wait(); }
  void barrier() override { between_.barrier(); }

  std::unique_ptr<dist::Exchange> start_all_reduce(Tensor x) override {
    Tensor here = staged("all_reduce", x);
    return finished(between_.start_all_reduce(here), here, x);
  }
  std::unique_ptr<dist::Exchange> start_reduce_scatter(Tensor whole, Tensor part) override {
    dist::detail::check_parts("reduce_scatter", *this, whole, part);
    Tensor here = empty(part.shape(), part.dtype());
    return finished(between_.start_reduce_scatter(staged("reduce_scatter", whole), here), here, part);
  }
  std::unique_ptr<dist::Exchange> start_all_gather(Tensor part, Tensor whole) override {
    dist::detail::check_parts("all_gather", *this, whole, part);
    Tensor here = empty(whole.shape(), whole.dtype());
    return finished(between_.start_all_gather(staged("all_gather", part), here), here, whole);
  }
  void exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) override {
    dist::detail::check_operand("exchange_rows", *this, to);
    Tensor here = empty(to.shape(), to.dtype());
    between_.exchange_rows(staged("exchange_rows", from), give, here, take);
    copy_data(here, to);
  }

 private:
  Tensor staged(const char* op, const Tensor& x) const {
    dist::detail::check_operand(op, *this, x);
    Tensor here = empty(x.shape(), x.dtype());
    copy_data(x, here);
    return here;
  }
  static std::unique_ptr<dist::Exchange> finished(std::unique_ptr<dist::Exchange> exchange, const Tensor& here, Tensor target) {
    exchange->wait();
    copy_data(here, target);
    return std::make_unique<dist::NoExchange>();
  }

  Device device_;
  dist::Communicator& between_;
};

}  // namespace plumb::testing
