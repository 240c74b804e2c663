// What the rows of all suites are made of: a kernel on a shape, computed by one of several sides.
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::bench {

/// What a call must read and write, and compute, at least.
struct Work {
  double bytes = 0, flops = 0;
};

/// A suite's rows are registered by `add_rows` once the device is known:   const bool registered = suite([] { row(…); … });
bool suite(std::function<void()> add_rows);
/// Calls what was given to suite().
void register_rows();

/// A benchmark called "kernel/shape/type/side". `make` makes the operands, untimed, and returns the call. Sides: "plumb"; "plain", the
/// loop that a reader would write; "openblas" and "onednn", those libraries alone. A row of another side than plumb's needs its plumb row,
/// and is the CPU's: nothing happens on a GPU.
void row(const std::string& kernel, const std::string& shape, DType type, const char* side, Work work,
         std::function<std::function<void()>()> make);
/// The same for sides that a GPU has (bench/gpu.h): "plain", "cublaslt", "cudnn"; "own", our kernels where a library takes their place.
/// Nothing happens on a CPU.
void gpu_row(const std::string& kernel, const std::string& shape, DType type, const char* side, Work work,
             std::function<std::function<void()>()> make);

/// Where rows run.
Device device();
void set_device(Device device);
/// The device is a CPU: shapes are a CPU's, and there are other sides.
bool on_cpu();
/// A size for a GPU, or for a CPU.
int64_t sized(int64_t gpu, int64_t cpu);
/// f32, and on a GPU bf16 too.
std::vector<DType> types();

/// "2048x384"
std::string dims(std::initializer_list<int64_t> sizes);
/// Numbers of a standard normal distribution on the device; the same every time.
Tensor normal(const Shape& shape, DType type = f32);
/// Whole numbers below `high`, i64.
Tensor integers(int64_t high, const Shape& shape);
/// Where a side that is not Plumb's writes.
float* written(const Tensor& x);
/// Bytes of all elements.
double bytes_of(const Tensor& x);
/// The call of y's backward pass with the gradient dy, into the gradients of `inputs`.
std::function<void()> backward_call(const Tensor& y, const Tensor& dy, std::vector<Tensor> inputs);

}  // namespace plumb::bench
