// Exchange of tensors by DLPack: what is checked on the way in, and who lets go of what.
#include "engine/io/dlpack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <type_traits>

#include "engine/core/device_runtime.h"

namespace plumb {

namespace {

using dlpack::Array;
using dlpack::ElementType;
using dlpack::ManagedTensor;
using dlpack::UnversionedTensor;

// Other libraries read these bytes: the layout of the specification on 64-bit machines.
static_assert(sizeof(Array) == 48 && offsetof(Array, type) == 20 && offsetof(Array, shape) == 24 && offsetof(Array, byte_offset) == 40);
static_assert(sizeof(ManagedTensor) == 80 && offsetof(ManagedTensor, context) == 8 && offsetof(ManagedTensor, flags) == 24 &&
              offsetof(ManagedTensor, array) == 32);
static_assert(sizeof(UnversionedTensor) == 64 && offsetof(UnversionedTensor, context) == 48);

ElementType element_type(DType t) {
  auto bits = static_cast<uint8_t>(8 * item_size(t));
  switch (t) {
    case DType::bf16: return {dlpack::kBfloat, bits, 1};
    case DType::i64:
    case DType::i32: return {dlpack::kInt, bits, 1};
    case DType::u8: return {dlpack::kUint, bits, 1};
    case DType::boolean: return {dlpack::kBool, bits, 1};
    default: return {dlpack::kFloat, bits, 1};
  }
}

DType dtype_of_elements(ElementType type) {
  for (int i = 0; i < kDTypes; ++i) {
    ElementType known = element_type(static_cast<DType>(i));
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1) return static_cast<DType>(i);
  }
  constexpr const char* kinds[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  throw DTypeError(fmt::format("from_dlpack: {}{}{} is not among f64, f32, f16, bf16, i64, i32, u8 and bool; convert the array first",
                               type.code < std::size(kinds) ? kinds[type.code] : "type ", type.bits, type.lanes == 1 ? "" : " in lanes"));
}

Device device_of(const Array& array) {
  if (array.device.type == dlpack::kCpu || array.device.type == dlpack::kCudaHost) return cpu;
  if (array.device.type == dlpack::kCuda) return {DeviceType::cuda, static_cast<int8_t>(array.device.index)};
  throw DeviceError(
      fmt::format("from_dlpack: the elements are on a device of type {}; move the array to the CPU or a GPU first", array.device.type));
}

// Memory that goes back to one library may be read by kernels that the other has started on streams of its own.
void wait_for_readers(Device device) {
  try {
    synchronize(device);
  } catch (const Error&) {
    // In a destructor; what went wrong on the device shows at the next call that can say so.
  }
}

/// What a given tensor needs as long as it is held.
template <typename Managed>
struct Export {
  Managed managed;
  Tensor tensor;
  Shape shape;
  Strides strides;
};

template <typename Managed>
Export<Managed>* exported(const Tensor& x) {
  if (x.requires_grad())
    throw AutogradError("to_dlpack: the tensor requires a gradient, which another library cannot see; export x.detach()");
  synchronize(x.device());
  auto holder = std::make_unique<Export<Managed>>();
  holder->tensor = x.detach();
  holder->shape = x.shape();
  holder->strides = x.strides();
  Array& array = holder->managed.array;
  array.data = x.raw_data();
  array.device = {x.device().type == DeviceType::cpu ? dlpack::kCpu : dlpack::kCuda, x.device().index};
  array.rank = x.rank();
  array.type = element_type(x.dtype());
  array.shape = holder->shape.begin();
  array.strides = holder->strides.begin();
  holder->managed.context = holder.get();
  holder->managed.deleter = [](Managed* m) {
    auto* held = static_cast<Export<Managed>*>(m->context);
    wait_for_readers(held->tensor.device());
    delete held;
  };
  return holder.release();
}

template <typename Managed>
void let_go(void* context) {
  auto* managed = static_cast<Managed*>(context);
  if (managed->array.device.type == dlpack::kCuda) wait_for_readers({DeviceType::cuda, static_cast<int8_t>(managed->array.device.index)});
  if (managed->deleter) managed->deleter(managed);
}

struct Geometry {
  Shape shape;
  Strides strides;
  int64_t extent = 0;  ///< elements from the first to the last, both among them
};

Geometry geometry(const Array& array) {
  if (array.rank < 0 || array.rank > kMaxRank)
    throw ShapeError(fmt::format("from_dlpack: {} dimensions; tensors have at most {}", array.rank, kMaxRank));
  if (array.rank > 0 && !array.shape) throw ValueError("from_dlpack: the array has no shape");
  Geometry g{Shape(std::span<const int64_t>(array.shape, static_cast<size_t>(array.rank))), {}, 1};
  for (int64_t size : g.shape)
    if (size < 0) throw ValueError(fmt::format("from_dlpack: a size of {} in shape {}", size, to_string(g.shape)));
  g.strides =
      array.strides ? Strides(std::span<const int64_t>(array.strides, static_cast<size_t>(array.rank))) : contiguous_strides(g.shape);
  for (int d = 0; d < array.rank; ++d) {
    if (g.shape[d] <= 1) continue;  // its stride is never used
    if (g.strides[d] < 0)
      throw ValueError(
          fmt::format("from_dlpack: dimension {} runs backwards (stride {}); make a row-major copy of the array first", d, g.strides[d]));
    g.extent += (g.shape[d] - 1) * g.strides[d];
  }
  if (numel(g.shape) == 0) g.extent = 0;
  return g;
}

/// A tensor over the array's elements, whose last handle calls release(context). Everything that can be wrong is found before.
Tensor tensor_over(const Array& array, Storage::Release release, void* context) {
  const DType dtype = dtype_of_elements(array.type);
  const Device device = device_of(array);
  const Geometry g = geometry(array);
  if (g.extent > 0 && !array.data) throw ValueError("from_dlpack: the array has elements but no data");
  auto* first = array.data ? static_cast<std::byte*>(array.data) + array.byte_offset : nullptr;
  if (reinterpret_cast<uintptr_t>(first) % item_size(dtype) != 0)
    throw ValueError(fmt::format("from_dlpack: the {} elements are not aligned to {} bytes; make a copy of the array first", name(dtype),
                                 item_size(dtype)));
  if (dtype == boolean && device.type == DeviceType::cpu) {
    Tensor rows = contiguous_data(view_of(from_blob(first, {g.extent}, dtype, nullptr, nullptr, device), g.shape, g.strides, 0));
    const auto* bytes = static_cast<const unsigned char*>(rows.raw_data());
    if (std::any_of(bytes, bytes + rows.numel(), [](unsigned char b) { return b > 1; }))
      throw ValueError("from_dlpack: an element of a bool array is neither 0 nor 1");
  }
  Tensor elements = from_blob(first, {g.extent}, dtype, release, context, device);
  return alias(view_of(elements, g.shape, g.strides, 0));
}

template <typename Managed>
void check_given(const Managed* managed) {
  if (!managed) throw ValueError("from_dlpack: null");
}

}  // namespace

dlpack::ManagedTensor* to_dlpack(const Tensor& x, bool read_only) {
  auto* holder = exported<ManagedTensor>(x);
  holder->managed.flags = read_only ? dlpack::kReadOnly : 0;
  return &holder->managed;
}

dlpack::UnversionedTensor* to_dlpack_unversioned(const Tensor& x) { return &exported<UnversionedTensor>(x)->managed; }

Tensor from_dlpack(dlpack::ManagedTensor* managed, ReadOnlyElements read_only) {
  check_given(managed);
  if (managed->version.major != 1)
    throw ValueError(fmt::format("from_dlpack: version {}.{} of DLPack; this reads 1.x", managed->version.major, managed->version.minor));
  if (!(managed->flags & dlpack::kReadOnly) || read_only == ReadOnlyElements::share)
    return tensor_over(managed->array, let_go<ManagedTensor>, managed);
  Tensor lent = tensor_over(managed->array, nullptr, nullptr), own = empty_like(lent, "from_dlpack");
  copy_data(lent, own);
  synchronize(own.device());
  let_go<ManagedTensor>(managed);
  return own;
}

Tensor from_dlpack(dlpack::UnversionedTensor* managed) {
  check_given(managed);
  return tensor_over(managed->array, let_go<UnversionedTensor>, managed);
}

}  // namespace plumb
