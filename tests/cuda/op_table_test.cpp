// Every row of the table of operations on the device against the CPU: results and gradients, for every floating type, any strides,
// broadcast and empty inputs.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "tests/cuda/host_access.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/op_runs.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

std::vector<Tensor> all_to_gpu(const std::vector<Tensor>& x) {
  std::vector<Tensor> y;
  for (const Tensor& t : x) y.push_back(to_gpu(t));
  return y;
}

// What a run on the device ended with.
struct Attempt {
  Results results;
  std::string problem;
};

Attempt run_on_gpu(const TensorFunction& f, const std::vector<Tensor>& x) {
  Attempt attempt;
  auto body = [&] {
    try {
      manual_seed(7);
      attempt.results = run(f, all_to_gpu(x));
      synchronize(kGpu);
    } catch (const Error& error) {
      attempt.problem = error.what();
    }
  };
  if (!stays_off_device_memory(body)) attempt.problem = "host code touched the device's memory";
  return attempt;
}

struct Type {
  DType dtype;
  double epsilon;
};
constexpr Type kTypes[] = {{f64, 0x1p-52}, {f32, 0x1p-23}, {bf16, 0x1p-7}, {f16, 0x1p-10}};

/// Empty if all of `got` lies on the device and agrees with `expected`; else what does not.
std::string disagreement(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, const char* what, double tolerance) {
  if (got.size() != expected.size()) return std::string("the number of ") + what + "s differs";
  for (size_t k = 0; k < got.size(); ++k) {
    std::string which = std::string(what) + " " + std::to_string(k);
    if (got[k].defined() != expected[k].defined()) return which + " is defined on one device only";
    if (!got[k].defined()) continue;
    if (got[k].device() != kGpu) return which + " is on " + to_string(got[k].device());
    if (got[k].dtype() != expected[k].dtype() || got[k].shape() != expected[k].shape()) return which + " differs in type or shape";
    double error = worst_error(got[k], expected[k]);
    if (error > tolerance) return which + " is off by " + std::to_string(error / tolerance) + " times the tolerance";
  }
  return {};
}

// Both devices round; each is within the row's tolerance of the exact result, so they are within twice that of each other.
std::string compare(const OpCase& row, const TensorFunction& f, const std::vector<Tensor>& x, const Type& type) {
  Attempt got = run_on_gpu(f, x);
  if (!got.problem.empty()) return got.problem;
  manual_seed(7);
  Results expected = run(f, x);
  std::string problem = disagreement(got.results.outputs, expected.outputs, "output", 2 * row.tolerance * type.epsilon);
  return problem.empty() ? disagreement(got.results.gradients, expected.gradients, "gradient", 8 * row.tolerance * type.epsilon) : problem;
}

bool takes(const OpCase& row, DType t) { return row.low_precision || t == f32 || t == f64; }

}  // namespace

TEST_CASE("op table on the device: results and gradients agree with the CPU's for every floating type") {
  for (const OpCase& row : all_op_cases())
    for (const Type& type : kTypes) {
      if (!takes(row, type.dtype)) continue;
      std::string problem = compare(row, row.function, converted(draw_all(row), type.dtype), type);
      CHECK_MESSAGE(problem.empty(), row.name << " in " << name(type.dtype) << ": " << problem);
      if (!problem.empty()) break;  // the other types would say the same
    }
}

TEST_CASE("op table on the device: strides do not matter") {
  for (const OpCase& row : all_op_cases())
    for (const Layout& layout : kLayouts) {
      std::string problem = compare(row, through(layout, row.function), converted(draw_all(row), f32), kTypes[1]);
      CHECK_MESSAGE(problem.empty(), row.name << " (" << std::string(layout.name) << "): " << problem);
      if (!problem.empty()) break;
    }
}

TEST_CASE("op table on the device: inputs are broadcast, and gradients summed back") {
  for (const OpCase& row : all_op_cases()) {
    if (!row.elementwise) continue;
    for (const auto& shapes : broadcast_shapes_of(row)) {
      std::string problem = compare(row, row.function, converted(draw_all(row, shapes), f32), kTypes[1]);
      std::string variant;
      for (const Shape& s : shapes) variant += to_string(s);
      CHECK_MESSAGE(problem.empty(), row.name << " " << variant << ": " << problem);
    }
  }
}

TEST_CASE("op table on the device: element-wise operations take tensors without elements") {
  for (const OpCase& row : all_op_cases()) {
    bool all_floating = std::all_of(row.inputs.begin(), row.inputs.end(), [](const InputSpec& s) { return !s.fixed.defined(); });
    if (!row.elementwise || !all_floating) continue;
    std::string problem =
        compare(row, row.function, converted(draw_all(row, std::vector<Shape>(row.inputs.size(), Shape{0, 3})), f32), kTypes[1]);
    CHECK_MESSAGE(problem.empty(), row.name << ": " << problem);
  }
}

TEST_CASE("op table on the device: a run gives the same bits again") {
  for (const OpCase& row : all_op_cases()) {
    std::vector<Tensor> x = converted(draw_all(row), f32);
    Attempt first = run_on_gpu(row.function, x), second = run_on_gpu(row.function, x);
    if (!first.problem.empty() || !second.problem.empty()) continue;  // said above
    for (size_t k = 0; k < first.results.outputs.size(); ++k)
      CHECK_MESSAGE(same(to_cpu(first.results.outputs[k]), to_cpu(second.results.outputs[k])), row.name << ", output " << k);
    for (size_t k = 0; k < first.results.gradients.size(); ++k)
      if (first.results.gradients[k].defined())
        CHECK_MESSAGE(same(to_cpu(first.results.gradients[k]), to_cpu(second.results.gradients[k])), row.name << ", gradient " << k);
  }
}
