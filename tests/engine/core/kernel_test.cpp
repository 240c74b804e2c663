// Kernel slots: which function a call reaches, and what it refuses.
#include "engine/core/kernel.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/core/tensor.h"

using namespace plumb;

namespace {

int calls = 0;
constinit Kernel<void(const Tensor&x, const Tensor&y, int n)> slot{"slot"}, empty_slot{"empty slot"}, moving{"moving", Operands::anywhere};
void on_the_cpu(const Tensor&, const Tensor&, int n) { calls += n; }

// A tensor that claims to lie on a GPU. No kernel may come to read it.
Tensor elsewhere(float& memory) { return from_blob(&memory, {1}, f32, nullptr, nullptr, Device{DeviceType::cuda, 0}); }

}  // namespace

TEST_CASE("a kernel slot calls the function of its device, with tensors that may be undefined") {
  slot.set(DeviceType::cpu, on_the_cpu);
  calls = 0;
  slot(Device{}, ones({2}), Tensor{}, 3);
  CHECK(calls == 3);
}

TEST_CASE("a kernel slot refuses a tensor of another device, and says which kernel, which devices and the cure") {
  slot.set(DeviceType::cpu, on_the_cpu);
  calls = 0;
  float memory = 0;
  const char* message = "slot: a tensor is on cuda:0 and the computation on cpu; move one of them with to()";
  CHECK_THROWS_WITH_AS(slot(Device{}, elsewhere(memory), ones({1}), 1), message, DeviceError);
  CHECK_THROWS_WITH_AS(slot(Device{}, Tensor{}, elsewhere(memory), 1), message, DeviceError);
  CHECK(calls == 0);
}

TEST_CASE("a kernel slot for what moves elements takes tensors of any device") {
  moving.set(DeviceType::cpu, on_the_cpu);
  calls = 0;
  float memory = 0;
  moving(Device{}, elsewhere(memory), ones({1}), 1);
  CHECK(calls == 1);
}

TEST_CASE("a kernel slot without a function for the device says so") {
  CHECK_THROWS_WITH_AS(empty_slot(Device{}, ones({1}), ones({1}), 1), "empty slot: there is no kernel for cpu", DeviceError);
}
