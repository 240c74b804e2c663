// Making communicators of devices, and the one of a process that is alone.
#include "engine/dist/device_communicator.h"

#include "engine/core/device_runtime.h"

namespace plumb::dist {
namespace {

detail::CommunicatorMaker the_maker;

// Every reduction over one rank is what it has.
class Alone final : public DeviceCommunicator {
 public:
  explicit Alone(Device device) : device_(device) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Device device() const override { return device_; }
  void all_reduce(Tensor& x, Reduction) override { detail::check_operand("all_reduce", *this, x); }
  void broadcast(Tensor& x, int root) override {
    detail::check_operand("broadcast", *this, x);
    if (root != 0) throw ValueError("broadcast: rank " + std::to_string(root) + " is outside [0, 1)");
  }
  void all_gather(const Tensor& x, Tensor& out) override {
    detail::check_parts("all_gather", *this, out, x);
    copy_data(x, out);
  }
  void reduce_scatter(const Tensor& x, Tensor& out, Reduction) override {
    detail::check_parts("reduce_scatter", *this, x, out);
    copy_data(x, out);
  }
  void barrier() override { synchronize(device_); }
  void exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) override {
    detail::check_operand("exchange_rows", *this, from);
    detail::check_operand("exchange_rows", *this, to);
    detail::checked_row_bytes(*this, from, give, to, take);
    copy_data(from, to);
  }

  std::unique_ptr<Exchange> start_all_reduce(Tensor x) override {
    all_reduce(x, Reduction::sum);
    return std::make_unique<NoExchange>();
  }
  std::unique_ptr<Exchange> start_reduce_scatter(Tensor whole, Tensor part) override {
    reduce_scatter(whole, part, Reduction::sum);
    return std::make_unique<NoExchange>();
  }
  std::unique_ptr<Exchange> start_all_gather(Tensor part, Tensor whole) override {
    all_gather(part, whole);
    return std::make_unique<NoExchange>();
  }

 private:
  Device device_;
};

const detail::CommunicatorMaker& maker() {
  plumb::detail::device_runtime();  // registers the backend, which sets it
  if (!the_maker.join) throw DeviceError("communicator: this program was built without NCCL");
  return the_maker;
}

}  // namespace

std::string new_device_communicator_id() { return maker().new_id(); }

std::unique_ptr<DeviceCommunicator> join_device_communicator(Device device, int rank, int size, const std::string& id) {
  if (size < 1 || rank < 0 || rank >= size)
    throw ValueError("communicator: rank " + std::to_string(rank) + " is outside [0, " + std::to_string(size) + ")");
  if (device.type != DeviceType::cpu && device.index >= device_count(device.type))
    throw DeviceError("communicator: " + to_string(device) + " is not there");
  if (size == 1 && id.empty()) return std::make_unique<Alone>(device);
  if (device.type == DeviceType::cpu) throw DeviceError("communicator: several ranks need a GPU each; there is none between CPUs");
  return maker().join(device, rank, size, id);
}

namespace detail {

void set_communicator_maker(const CommunicatorMaker& maker) { the_maker = maker; }

void check_operand(const char* op, const DeviceCommunicator& c, const Tensor& x) {
  if (x.device() != c.device())
    throw DeviceError(std::string(op) + ": the tensor is on " + to_string(x.device()) + ", the communicator on " + to_string(c.device()));
  if (!x.is_contiguous()) throw ShapeError(std::string(op) + ": the tensor " + to_string(x.shape()) + " must be row-major");
}

void check_parts(const char* op, const DeviceCommunicator& c, const Tensor& whole, const Tensor& part) {
  check_operand(op, c, whole);
  check_operand(op, c, part);
  if (whole.dtype() != part.dtype())
    throw DTypeError(std::string(op) + ": the tensors are " + std::string(name(whole.dtype())) + " and " + std::string(name(part.dtype())));
  Shape expected = part.shape();
  if (expected.rank() > 0) expected[0] *= c.size();
  if (expected.rank() == 0 || whole.shape() != expected)
    throw ShapeError(std::string(op) + ": " + std::to_string(c.size()) + " parts " + to_string(part.shape()) + " do not make " +
                     to_string(whole.shape()));
}

}  // namespace detail
}  // namespace plumb::dist
