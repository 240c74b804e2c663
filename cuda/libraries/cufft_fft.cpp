// Fourier transforms by cuFFT: kernel::fft, rfft and irfft. Each length and layout is planned once a device.
#include <cufft.h>

#include <array>
#include <map>
#include <mutex>

#include "cuda/layout/fft.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/data_kernels.h"
#include "engine/core/error.h"
#include "ops/kernels/fft.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cuda_backend {

using namespace cuda_layout;

namespace {

void check(cufftResult result, const char* op) {
  if (result != CUFFT_SUCCESS) throw DeviceError(std::string(op) + ": cuFFT: error " + std::to_string(static_cast<int>(result)));
}

struct Plan {
  cufftHandle handle;
  size_t workspace;
};

// Lines of n numbers in and out, at the strides and distances of their layouts.
struct Lines {
  cufftType type;
  int64_t n;
  FftLines in, out;
};

// The plan for these lines on the current device. Its work space is ours, given anew in each call, so that it lies in the tensors' memory.
Plan plan_for(const char* op, const Lines& l) {
  using Key = std::array<int64_t, 8>;
  static std::mutex mutex;
  static auto* plans = new std::map<Key, Plan>;
  std::lock_guard lock(mutex);
  Key key{current_device(), l.type, l.n, l.in.batch, l.in.stride, l.in.distance, l.out.stride, l.out.distance};
  auto found = plans->find(key);
  if (found != plans->end()) return found->second;
  Plan plan{};
  long long n = l.n;  // also the storage's size along the line: only its stride is read
  check(cufftCreate(&plan.handle), op);
  check(cufftSetAutoAllocation(plan.handle, 0), op);
  check(cufftMakePlanMany64(plan.handle, 1, &n, &n, l.in.stride, l.in.distance, &n, l.out.stride, l.out.distance, l.type, l.in.batch,
                            &plan.workspace),
        op);
  return plans->emplace(key, plan).first->second;
}

void execute(const char* op, const Lines& l, bool inverse, const std::byte* x, size_t x_item, std::byte* y, size_t y_item) {
  Plan plan = plan_for(op, l);
  Scratch<std::byte> workspace(static_cast<int64_t>(plan.workspace));
  static std::mutex mutex;
  std::lock_guard lock(mutex);  // stream and work space belong to the plan
  check(cufftSetStream(plan.handle, current_stream()), op);
  if (plan.workspace > 0) check(cufftSetWorkArea(plan.handle, workspace.data()), op);
  for (int64_t c = 0; c < l.in.calls; ++c) {
    auto* from = const_cast<std::byte*>(x) + static_cast<size_t>(c * l.in.call_distance) * x_item;  // cuFFT takes inputs as not const
    auto* into = y + static_cast<size_t>(c * l.out.call_distance) * y_item;
    int direction = inverse ? CUFFT_INVERSE : CUFFT_FORWARD;
    switch (l.type) {
      case CUFFT_C2C:
        check(cufftExecC2C(plan.handle, reinterpret_cast<cufftComplex*>(from), reinterpret_cast<cufftComplex*>(into), direction), op);
        break;
      case CUFFT_Z2Z:
        check(
            cufftExecZ2Z(plan.handle, reinterpret_cast<cufftDoubleComplex*>(from), reinterpret_cast<cufftDoubleComplex*>(into), direction),
            op);
        break;
      case CUFFT_R2C:
        check(cufftExecR2C(plan.handle, reinterpret_cast<cufftReal*>(from), reinterpret_cast<cufftComplex*>(into)), op);
        break;
      case CUFFT_D2Z:
        check(cufftExecD2Z(plan.handle, reinterpret_cast<cufftDoubleReal*>(from), reinterpret_cast<cufftDoubleComplex*>(into)), op);
        break;
      case CUFFT_C2R:
        check(cufftExecC2R(plan.handle, reinterpret_cast<cufftComplex*>(from), reinterpret_cast<cufftReal*>(into)), op);
        break;
      default: check(cufftExecZ2D(plan.handle, reinterpret_cast<cufftDoubleComplex*>(from), reinterpret_cast<cufftDoubleReal*>(into)), op);
    }
  }
}

// What the three kernels share. x and y are [outer, ·, inner] with a last 2 where complex; n is the length of the real or complex line.
struct Transform {
  const char* op;
  cufftType single, wide;
  bool inverse, complex_in, complex_out;
};

// x as [outer, inner, n] (and 2): a copy.
Tensor lines_last(const Tensor& x, bool is_complex) {
  const Shape& s = x.shape();
  Shape shape{s[0], s[2], s[1]};
  Strides strides{x.strides()[0], x.strides()[2], x.strides()[1]};
  if (is_complex) shape.push_back(2), strides.push_back(1);
  return contiguous_data(view_of(x, shape, strides, 0));
}

// x where a complex number may begin, which a view of real numbers need not.
Tensor aligned(const Tensor& x) {
  if (reinterpret_cast<uintptr_t>(x.raw_data()) % (2 * item_size(x.dtype())) == 0) return x;
  Tensor copy = empty_like(x, "fft");
  kernel::copy(x.device(), x, copy);
  return copy;
}

void transform(const Transform& t, const Tensor& x, int64_t n, double scale, Tensor& y) {
  if (y.numel() == 0) return;
  int64_t outer = y.shape()[0], inner = y.shape()[2];
  bool transposed = fft_transposes(outer, inner, !t.complex_in || !t.complex_out);
  Tensor from = transposed ? lines_last(x, t.complex_in) : aligned(x);
  Tensor into = y;
  if (transposed) {
    Shape shape{outer, inner, y.shape()[1]};
    if (t.complex_out) shape.push_back(2);
    into = empty(shape, y.dtype(), y.device(), t.op);
  }
  int64_t rows = transposed ? outer * inner : outer, columns = transposed ? 1 : inner;
  Lines lines{y.dtype() == f64 ? t.wide : t.single, n, fft_lines(rows, x.shape()[1], columns), fft_lines(rows, y.shape()[1], columns)};
  size_t item = item_size(y.dtype());
  execute(t.op, lines, t.inverse, static_cast<const std::byte*>(from.raw_data()), item * (t.complex_in ? 2 : 1),
          static_cast<std::byte*>(into.raw_data()), item * (t.complex_out ? 2 : 1));
  if (scale != 1) kernel::unary(y.device(), UnaryOp::mul_scalar, into, scale, 0, into);
  if (!transposed) return;
  Strides strides{y.strides()[0], y.strides()[2], y.strides()[1]};
  if (t.complex_out) strides.push_back(1);
  Tensor turned = view_of(y, into.shape(), strides, 0);
  kernel::copy(y.device(), into, turned);
}

void fft(const Tensor& x, bool inverse, double scale, Tensor& y) {
  transform({"fft", CUFFT_C2C, CUFFT_Z2Z, inverse, true, true}, x, x.shape()[1], scale, y);
}
void rfft(const Tensor& x, double scale, Tensor& y) {
  transform({"rfft", CUFFT_R2C, CUFFT_D2Z, false, false, true}, x, x.shape()[1], scale, y);
}

// cuFFT may overwrite what it reads here, and what it does with imaginary parts that should be 0 is not said: it gets a copy where they are
// 0.
void irfft(const Tensor& x, double scale, Tensor& y) {
  int64_t n = y.shape()[1], inner = x.shape()[2];
  Tensor copy = empty_like(x, "irfft");
  kernel::copy(x.device(), x, copy);
  auto clear_imaginary = [&](int64_t place) {
    Tensor imaginary = view_of(copy, {x.shape()[0], inner}, {x.strides()[0], x.strides()[2]}, place * x.strides()[1] + 1);
    kernel::fill(x.device(), 0, imaginary);
  };
  if (x.numel() > 0) clear_imaginary(0);
  if (x.numel() > 0 && n % 2 == 0) clear_imaginary(n / 2);
  transform({"irfft", CUFFT_C2R, CUFFT_Z2D, true, true, false}, copy, n, scale, y);
}

}  // namespace

void register_cufft_fft() {
  kernel::fft.set(DeviceType::cuda, fft);
  kernel::rfft.set(DeviceType::cuda, rfft);
  kernel::irfft.set(DeviceType::cuda, irfft);
}

}  // namespace plumb::cuda_backend
