// DLPack: tensors handed from one library to another without a copy (NumPy, PyTorch and others speak it). The structures below are those
// of the specification, version 1.0, in names of this project; they have the same bytes as DLManagedTensorVersioned and DLManagedTensor.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::dlpack {

struct Version {
  uint32_t major = 1, minor = 0;
};
inline constexpr int32_t kCpu = 1, kCuda = 2, kCudaHost = 3;  ///< DeviceOf::type; kCudaHost is the CPU's memory, pinned
struct DeviceOf {
  int32_t type = kCpu;
  int32_t index = 0;
};
inline constexpr uint8_t kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kBool = 6;  ///< ElementType::code
struct ElementType {
  uint8_t code = kFloat, bits = 32;
  uint16_t lanes = 1;
};
/// Where elements lie. Strides count elements; null means row-major. The first element is at data + byte_offset.
struct Array {
  void* data = nullptr;
  DeviceOf device;
  int32_t rank = 0;
  ElementType type;
  int64_t* shape = nullptr;
  int64_t* strides = nullptr;
  uint64_t byte_offset = 0;
};

inline constexpr uint64_t kReadOnly = 1, kCopied = 2;  ///< ManagedTensor::flags
/// A tensor that whoever holds it must give back by deleter(this), once. ("dltensor_versioned" capsules in Python.)
struct ManagedTensor {
  Version version;
  void* context = nullptr;
  void (*deleter)(ManagedTensor*) = nullptr;
  uint64_t flags = 0;
  Array array;
};
/// The same before version 1.0, without flags. ("dltensor" capsules.)
struct UnversionedTensor {
  Array array;
  void* context = nullptr;
  void (*deleter)(UnversionedTensor*) = nullptr;
};

}  // namespace plumb::dlpack

namespace plumb {

/// The elements of `x` for another library, with its strides; they live until the deleter is called, which may happen on any thread, also
/// when `x` is gone. What the other side writes is seen here, but not by the graph: a tensor that a recorded operation saved must not
/// be written to. A GPU's work on x is waited for. `read_only` asks the other side not to write. Throws AutogradError for a tensor that
/// requires a gradient (export x.detach()).
dlpack::ManagedTensor* to_dlpack(const Tensor& x, bool read_only = false);
dlpack::UnversionedTensor* to_dlpack_unversioned(const Tensor& x);

/// What becomes of elements that their owner marked as read-only: tensors here have no such mark.
enum class ReadOnlyElements : uint8_t {
  copy,   ///< the tensor has elements of its own
  share,  ///< no copy: the caller promises that nothing writes to them
};

/// A tensor over the elements of another library, outside the graph; the deleter is called when the last tensor over them is gone.
/// `managed` belongs to the result from here on; if this throws it still belongs to the caller. Elements on a GPU must be ready for Plumb's
/// stream. Throws DTypeError for element types other than f64, f32, f16, bf16, i64, i32, u8 and bool (or with several lanes), DeviceError
/// for another device than the CPU or a GPU, ShapeError beyond eight dimensions, ValueError for null, another major version, negative sizes
/// or strides, or elements that are not aligned to their size.
Tensor from_dlpack(dlpack::ManagedTensor* managed, ReadOnlyElements read_only = ReadOnlyElements::copy);
Tensor from_dlpack(dlpack::UnversionedTensor* managed);

}  // namespace plumb
