// The C API: every function is one of the library's behind a line that no exception crosses.
#include "capi/plumb.h"

#include <plumb/version.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/io/dlpack.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;

struct plumb_tensor {
  Tensor value;
};

namespace {

// Numbers of types are those of the enumeration here.
static_assert(static_cast<int>(DType::f64) == PLUMB_F64 && static_cast<int>(DType::f16) == PLUMB_F16 &&
              static_cast<int>(DType::boolean) == PLUMB_BOOL);

thread_local std::string last_error;

plumb_status failed(plumb_status status, const char* what) noexcept {
  try {
    last_error = what;
  } catch (...) {
    last_error.clear();  // not even memory for the message
  }
  return status;
}

/// Runs `body`; what it throws becomes a status and this thread's message.
template <typename Body>
plumb_status guarded(Body&& body) noexcept {
  try {
    body();
    return PLUMB_OK;
  } catch (const ShapeError& e) {
    return failed(PLUMB_ERROR_SHAPE, e.what());
  } catch (const DTypeError& e) {
    return failed(PLUMB_ERROR_DTYPE, e.what());
  } catch (const DeviceError& e) {
    return failed(PLUMB_ERROR_DEVICE, e.what());
  } catch (const IndexError& e) {
    return failed(PLUMB_ERROR_INDEX, e.what());
  } catch (const ValueError& e) {
    return failed(PLUMB_ERROR_VALUE, e.what());
  } catch (const AutogradError& e) {
    return failed(PLUMB_ERROR_AUTOGRAD, e.what());
  } catch (const OutOfMemoryError& e) {
    return failed(PLUMB_ERROR_MEMORY, e.what());
  } catch (const std::bad_alloc&) {
    return failed(PLUMB_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return failed(PLUMB_ERROR_OTHER, e.what());
  } catch (...) {
    return failed(PLUMB_ERROR_OTHER, "an unknown error");
  }
}

const Tensor& value_of(const plumb_tensor* x) {
  if (!x) throw ValueError("plumb: NULL in the place of a tensor");
  return x->value;
}

template <typename T>
T& place(T* out) {
  if (!out) throw ValueError("plumb: NULL in the place of a result");
  return *out;
}

/// *out ← make()
template <typename Make>
plumb_status give(plumb_tensor** out, Make&& make) {
  return guarded([&] {
    plumb_tensor*& result = place(out);
    result = new plumb_tensor{make()};
  });
}

Shape shape_of(int32_t rank, const int64_t* sizes, int64_t least = 0) {
  if (rank < 0 || (rank > 0 && !sizes))
    throw ValueError("plumb: a shape of " + std::to_string(rank) + " sizes" + (sizes ? "" : " at NULL"));
  Shape shape;
  for (int32_t d = 0; d < rank; ++d) {
    if (sizes[d] < least) throw ValueError("plumb: a size of " + std::to_string(sizes[d]) + " in a shape");
    shape.push_back(sizes[d]);
  }
  return shape;
}

DType type_of(plumb_dtype dtype) {
  if (dtype < 0 || dtype >= kDTypes) throw DTypeError("plumb: there is no element type number " + std::to_string(dtype));
  return static_cast<DType>(dtype);
}

}  // namespace

const char* plumb_version() { return kVersion; }
const char* plumb_last_error() { return last_error.c_str(); }
void plumb_manual_seed(uint64_t seed) { manual_seed(seed); }

// -- tensors -----------------------------------------------------------------------------------------

plumb_status plumb_zeros(int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out) {
  return give(out, [&] { return zeros(shape_of(rank, shape), type_of(dtype)); });
}
plumb_status plumb_full(int32_t rank, const int64_t* shape, double value, plumb_dtype dtype, plumb_tensor** out) {
  return give(out, [&] { return full(shape_of(rank, shape), value, type_of(dtype)); });
}
plumb_status plumb_randn(int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out) {
  return give(out, [&] { return randn(shape_of(rank, shape), {.dtype = type_of(dtype)}); });
}
plumb_status plumb_from_data(const void* data, int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out) {
  return give(out, [&] {
    Tensor x = empty(shape_of(rank, shape), type_of(dtype));
    if (x.numel() == 0) return x;
    if (!data) throw ValueError("plumb_from_data: NULL in the place of the elements");
    const auto* bytes = static_cast<const unsigned char*>(data);
    if (x.dtype() == boolean && std::any_of(bytes, bytes + x.numel(), [](unsigned char b) { return b > 1; }))
      throw ValueError("plumb_from_data: an element of a bool tensor is neither 0 nor 1");
    std::memcpy(x.raw_data(), data, static_cast<size_t>(x.numel()) * item_size(x.dtype()));
    return x;
  });
}
void plumb_free(plumb_tensor* x) { delete x; }

plumb_status plumb_rank(const plumb_tensor* x, int32_t* out) {
  return guarded([&] { place(out) = value_of(x).rank(); });
}
plumb_status plumb_shape(const plumb_tensor* x, int64_t* out) {
  return guarded([&] {
    const Shape& shape = value_of(x).shape();
    if (shape.rank() > 0) std::copy(shape.begin(), shape.end(), &place(out));
  });
}
plumb_status plumb_strides(const plumb_tensor* x, int64_t* out) {
  return guarded([&] {
    const Strides& strides = value_of(x).strides();
    if (strides.rank() > 0) std::copy(strides.begin(), strides.end(), &place(out));
  });
}
plumb_status plumb_numel(const plumb_tensor* x, int64_t* out) {
  return guarded([&] { place(out) = value_of(x).numel(); });
}
plumb_status plumb_dtype_of(const plumb_tensor* x, plumb_dtype* out) {
  return guarded([&] { place(out) = static_cast<plumb_dtype>(value_of(x).dtype()); });
}
plumb_status plumb_data(const plumb_tensor* x, void** out) {
  return guarded([&] { place(out) = value_of(x).raw_data(); });
}
plumb_status plumb_item(const plumb_tensor* x, double* out) {
  return guarded([&] { place(out) = value_of(x).item(); });
}

// -- operations --------------------------------------------------------------------------------------

plumb_status plumb_add(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out) {
  return give(out, [&] { return value_of(a) + value_of(b); });
}
plumb_status plumb_sub(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out) {
  return give(out, [&] { return value_of(a) - value_of(b); });
}
plumb_status plumb_mul(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out) {
  return give(out, [&] { return value_of(a) * value_of(b); });
}
plumb_status plumb_div(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out) {
  return give(out, [&] { return value_of(a) / value_of(b); });
}
plumb_status plumb_matmul(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out) {
  return give(out, [&] { return matmul(value_of(a), value_of(b)); });
}
plumb_status plumb_exp(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return exp(value_of(x)); });
}
plumb_status plumb_log(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return log(value_of(x)); });
}
plumb_status plumb_square(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return square(value_of(x)); });
}
plumb_status plumb_relu(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return relu(value_of(x)); });
}
plumb_status plumb_gelu(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return gelu(value_of(x)); });
}
plumb_status plumb_tanh(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return tanh(value_of(x)); });
}
plumb_status plumb_sigmoid(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return sigmoid(value_of(x)); });
}
plumb_status plumb_softmax(const plumb_tensor* x, int32_t dim, plumb_tensor** out) {
  return give(out, [&] { return softmax(value_of(x), dim); });
}
plumb_status plumb_sum(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return sum(value_of(x)); });
}
plumb_status plumb_mean(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return mean(value_of(x)); });
}
plumb_status plumb_cross_entropy(const plumb_tensor* logits, const plumb_tensor* target, plumb_tensor** out) {
  return give(out, [&] { return cross_entropy(value_of(logits), value_of(target)); });
}
plumb_status plumb_reshape(const plumb_tensor* x, int32_t rank, const int64_t* shape, plumb_tensor** out) {
  return give(out, [&] { return reshape(value_of(x), shape_of(rank, shape, /*least=*/-1)); });
}
plumb_status plumb_transpose(const plumb_tensor* x, int32_t dim0, int32_t dim1, plumb_tensor** out) {
  return give(out, [&] { return transpose(value_of(x), dim0, dim1); });
}

// -- gradients ---------------------------------------------------------------------------------------

plumb_status plumb_requires_grad(plumb_tensor* x, int32_t on) {
  return guarded([&] { value_of(x).requires_grad_(on != 0); });
}
plumb_status plumb_backward(const plumb_tensor* x) {
  return guarded([&] { value_of(x).backward(); });
}
plumb_status plumb_grad(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] {
    Tensor gradient = value_of(x).grad();
    if (!gradient.defined())
      throw AutogradError("plumb_grad: the tensor has no gradient; plumb_requires_grad before it is used, then plumb_backward");
    return gradient;
  });
}
plumb_status plumb_zero_grad(plumb_tensor* x) {
  return guarded([&] { value_of(x).zero_grad(); });
}
plumb_status plumb_detach(const plumb_tensor* x, plumb_tensor** out) {
  return give(out, [&] { return value_of(x).detach(); });
}
plumb_status plumb_add_scaled(plumb_tensor* x, double scale, const plumb_tensor* change) {
  return guarded([&] {
    NoGrad no_grad;
    Tensor target = value_of(x), sum = target + scale * value_of(change);
    if (!is_floating(target.dtype()) && (is_floating(value_of(change).dtype()) || scale != std::trunc(scale)))
      throw DTypeError("plumb_add_scaled: a fraction does not fit into a tensor of " + std::string(name(target.dtype())));
    if (sum.shape() != target.shape())
      throw ShapeError("plumb_add_scaled: " + to_string(value_of(change).shape()) + " does not fit into " + to_string(target.shape()));
    copy_data(sum, target);
  });
}

// -- DLPack ------------------------------------------------------------------------------------------

plumb_status plumb_to_dlpack(const plumb_tensor* x, int32_t read_only, DLManagedTensorVersioned** out) {
  return guarded([&] { place(out) = reinterpret_cast<DLManagedTensorVersioned*>(to_dlpack(value_of(x), read_only != 0)); });
}
plumb_status plumb_to_dlpack_unversioned(const plumb_tensor* x, DLManagedTensor** out) {
  return guarded([&] { place(out) = reinterpret_cast<DLManagedTensor*>(to_dlpack_unversioned(value_of(x))); });
}
plumb_status plumb_from_dlpack(DLManagedTensorVersioned* managed, plumb_tensor** out) {
  return guarded([&] {
    place(out);
    auto holder = std::make_unique<plumb_tensor>();
    holder->value = from_dlpack(reinterpret_cast<dlpack::ManagedTensor*>(managed));
    *out = holder.release();
  });
}
plumb_status plumb_from_dlpack_unversioned(DLManagedTensor* managed, plumb_tensor** out) {
  return guarded([&] {
    place(out);
    auto holder = std::make_unique<plumb_tensor>();
    holder->value = from_dlpack(reinterpret_cast<dlpack::UnversionedTensor*>(managed));
    *out = holder.release();
  });
}
