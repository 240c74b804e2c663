// Kernel slots: each kernel has a name, a signature, and one function a device. Operations call the slot; devices fill it.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "engine/core/device.h"
#include "engine/core/watcher.h"

namespace plumb {

/// Fill the slots of a device. Called once, when a kernel is first needed there. register_cuda() is in a library of its own, which a
/// program may leave out: then there are no kernels for a GPU.
void register_cpu();
void register_cuda();

namespace detail {
/// Registers the device's kernels if that has not happened yet.
void ensure_registered(DeviceType device);
/// Makes `fill` the function that registers the device's kernels, before anything ran on it: for devices that tests simulate.
void register_with(DeviceType device, void (*fill)());
/// Makes `index` the device that this thread's kernels run on, if it is not.
void make_current(int index);
/// Throws DeviceError: `kernel` has no version on `device`.
[[noreturn]] void missing_kernel(const char* kernel, Device device);
/// Throws DeviceError: a tensor given to `kernel` is on `operand`, and the kernel runs on `device`.
[[noreturn]] void operand_elsewhere(const char* kernel, Device device, Device operand);
/// Refuses an argument that is a tensor of another device: the kernel would take its address for one of its own memory.
template <typename T>
void check_operand(const char* kernel, Device device, const T& argument) {
  if constexpr (std::is_same_v<T, Tensor>)
    if (argument.defined() && argument.device() != device) [[unlikely]] operand_elsewhere(kernel, device, argument.device());
}
/// The address of a kernel's argument where that is a tensor, or null.
template <typename T>
const Tensor* tensor_of(const T& argument) {
  if constexpr (std::is_same_v<T, Tensor>)
    return &argument;
  else
    return nullptr;
}
}  // namespace detail

/// Where the tensors given to a kernel may lie: on the device it runs on, or, for what moves elements between devices, on any.
enum class Operands : uint8_t { on_its_device, anywhere };

template <typename Signature> class Kernel;

/// inline constinit Kernel<void(const Tensor& x, Tensor& y)> exp{"exp"};   …   exp.set(DeviceType::cpu, exp_cpu);   …   exp(device, x, y);
/// The call throws DeviceError if the device has no such kernel, or if a tensor among the arguments is on another device
/// and the slot was not made for Operands::anywhere.
template <typename... Args>
class Kernel<void(Args...)> {
 public:
  using Function = void (*)(Args...);
  constexpr explicit Kernel(const char* name, Operands operands = Operands::on_its_device) : name_(name), operands_(operands) {}
  void set(DeviceType device, Function f) { functions_[static_cast<int>(device)].store(f, std::memory_order_release); }
  void operator()(Device device, Args... args) const {
    Function f = functions_[static_cast<int>(device.type)].load(std::memory_order_acquire);
    if (!f) [[unlikely]] f = find(device);
    if (operands_ == Operands::on_its_device) (detail::check_operand(name_, device, args), ...);
    if (device.type != DeviceType::cpu) [[unlikely]] detail::make_current(device.index);
    if (watcher()) [[unlikely]]
      watched(f, device, args...);
    else
      f(args...);
  }
  const char* name() const { return name_; }

 private:
  Function find(Device device) const {
    detail::ensure_registered(device.type);
    Function f = functions_[static_cast<int>(device.type)].load(std::memory_order_acquire);
    if (!f) detail::missing_kernel(name_, device);
    return f;
  }
  [[gnu::noinline]] void watched(Function f, Device device, Args... args) const {
    std::array<const Tensor*, sizeof...(Args) + 1> tensors{};
    size_t count = 0;
    for (const Tensor* tensor : {static_cast<const Tensor*>(nullptr), detail::tensor_of(args)...})
      if (tensor) tensors[count++] = tensor;
    watcher()->kernel_begins(name_, device, std::span(tensors.data(), count));
    f(args...);
    watcher()->kernel_ended();
  }
  const char* name_;
  Operands operands_;
  std::atomic<Function> functions_[kDeviceTypes] = {};
};

}  // namespace plumb
