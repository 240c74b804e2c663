// The choice of an instruction set.
#include "ops/cpu/gemm/kernels.h"

#include <atomic>
#include <string>

#include "engine/core/error.h"

namespace plumb::gemm {
namespace {

struct Choice {
  InstructionSet set;
  const Kernels<float>* f32;
  const Kernels<double>* f64;
  const Kernels<Bf16Pair>* pairs = nullptr;
};

constexpr const char* kNames[] = {"plain", "avx2", "avx512", "avx512bf16"};

Choice choice(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx512bf16:
      if (!avx512bf16_kernels()) return {set, nullptr, nullptr};
      return {set, avx512_kernels<float>(), avx512_kernels<double>(), avx512bf16_kernels()};
    case InstructionSet::avx512:
      return {set, avx512_kernels<float>(), avx512_kernels<double>()};
    case InstructionSet::avx2:
      return {set, avx2_kernels<float>(), avx2_kernels<double>()};
    default:
      return {InstructionSet::plain, plain_kernels<float>(), plain_kernels<double>()};
  }
}

const Choice* find(InstructionSet set) {
  static const Choice choices[] = {choice(InstructionSet::plain), choice(InstructionSet::avx2), choice(InstructionSet::avx512),
                                   choice(InstructionSet::avx512bf16)};
  const Choice* found = &choices[static_cast<int>(set)];
  return found->f32 ? found : nullptr;
}

const Choice* best() {
  for (InstructionSet set : {InstructionSet::avx512bf16, InstructionSet::avx512, InstructionSet::avx2})
    if (const Choice* found = find(set)) return found;
  return find(InstructionSet::plain);
}

std::atomic<const Choice*>& current() {
  static std::atomic<const Choice*> chosen = best();
  return chosen;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
  return *current().load(std::memory_order_acquire)->f32;
}
template <>
const Kernels<double>& kernels<double>() {
  return *current().load(std::memory_order_acquire)->f64;
}

const Kernels<Bf16Pair>* pair_kernels() { return current().load(std::memory_order_acquire)->pairs; }

InstructionSet instruction_set() { return current().load()->set; }

void use_instruction_set(InstructionSet set) {
  const Choice* found = find(set);
  if (!found) throw ConfigError(std::string("gemm: this machine or build has no ") + kNames[static_cast<int>(set)] + " kernels");
  current().store(found);
}

}  // namespace plumb::gemm
