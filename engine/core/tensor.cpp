// Tensor's accessors and the creation of tensors.
#include "engine/core/tensor.h"

#include <algorithm>
#include <cstring>

#include "engine/autograd/node.h"
#include "engine/core/allocator.h"
#include "engine/core/data_kernels.h"

namespace plumb {

TensorImpl::TensorImpl(StoragePtr storage, std::byte* data, const Shape& shape, const Strides& strides, int64_t numel, DType dtype,
                       bool contiguous)
    : storage(std::move(storage)), data(data), shape(shape), strides(strides), numel(numel), dtype(dtype), contiguous(contiguous) {}
TensorImpl::~TensorImpl() = default;
void destroy(TensorImpl* impl) { delete impl; }

void detail::undefined_tensor() { throw ValueError("tensor: used before it was given a value"); }
using detail::defined_impl;

int64_t Tensor::size(int dim) const {
  if (rank() == 0) throw IndexError("size: a tensor of rank 0 has no dimensions");
  return shape()[checked_dim("size", dim, rank())];
}
int64_t Tensor::storage_offset() const {
  const TensorImpl& t = defined_impl(*this);
  return (t.data - t.storage->data()) / static_cast<int64_t>(item_size(t.dtype));
}

void* Tensor::checked_data(DType wanted) const {
  const TensorImpl& t = defined_impl(*this);
  if (t.dtype != wanted)
    throw DTypeError("data: the tensor is " + std::string(name(t.dtype)) + ", asked for as " + std::string(name(wanted)));
  return t.data;
}

static Tensor single_on_cpu(const Tensor& x) {
  if (x.numel() != 1) throw ShapeError("item: needs one element, the shape is " + to_string(x.shape()));
  if (x.device().type == DeviceType::cpu) return x;
  Tensor host = empty(x.shape(), x.dtype());
  copy_data(x, host);
  return host;
}

double Tensor::item_double() const {
  Tensor host = single_on_cpu(*this);
  return visit_dtype(dtype(),
                     [&]<typename T>() { return static_cast<double>(static_cast<compute_t<T>>(*static_cast<T*>(host.raw_data()))); });
}

int64_t Tensor::item_integer() const {
  Tensor host = single_on_cpu(*this);
  return visit_dtype(dtype(),
                     [&]<typename T>() { return static_cast<int64_t>(static_cast<compute_t<T>>(*static_cast<T*>(host.raw_data()))); });
}

static bool rows_without_gaps(const Shape& shape, const Strides& strides) {
  if (numel(shape) == 0) return true;
  int64_t expected = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

static Tensor row_major(StoragePtr storage, const Shape& shape, int64_t count, DType dtype) {
  std::byte* data = storage->data();
  return Tensor(make_intrusive<TensorImpl>(std::move(storage), data, shape, contiguous_strides(shape), count, dtype, true));
}

// The first owner of memory. Where there is no room for the owner, the memory goes back.
template <typename GiveBack, typename... Args>
static StoragePtr first_owner(const GiveBack& give_back, Args... args) {
  try {
    return make_intrusive<Storage>(args...);
  } catch (...) {
    give_back();
    throw;
  }
}

Tensor empty(const Shape& shape, DType dtype, Device device, const char* op) {
  int64_t count = 1, span = 1;  // the span leaves sizes of 0 out: an empty tensor has strides, too, which must not overflow
  auto too_large = [&] {
    throw OutOfMemoryError(std::string(op) + ": a tensor of shape " + to_string(shape) + " is larger than any memory");
  };
  for (int64_t v : shape) {
    if (v < 0) throw ShapeError(std::string(op) + ": a size is negative in " + to_string(shape));
    if (__builtin_mul_overflow(span, std::max<int64_t>(v, 1), &span)) too_large();
    count *= v;
  }
  if (count > (int64_t{1} << 58)) too_large();
  size_t bytes = std::max<size_t>(static_cast<size_t>(count) * item_size(dtype), 1);
  void* data = allocate(device, bytes, op, shape);
  return row_major(first_owner([&] { deallocate(device, data, bytes); }, device, data, bytes), shape, count, dtype);
}

Tensor empty_like(const Tensor& like, const char* op) { return empty(like.shape(), like.dtype(), like.device(), op); }

Tensor full(const Shape& shape, Scalar value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device, "full");
  kernel::fill(device, value, t);
  return t;
}
Tensor zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device, "zeros");
  if (device.type == DeviceType::cpu && t.numel() * static_cast<int64_t>(item_size(dtype)) <= 4096)
    std::memset(t.raw_data(), 0, static_cast<size_t>(t.numel()) * item_size(dtype));
  else kernel::fill(device, 0, t);
  return t;
}
Tensor ones(const Shape& shape, DType dtype, Device device) { return full(shape, 1, dtype, device); }
Tensor zeros_like(const Tensor& like) { return zeros(like.shape(), like.dtype(), like.device()); }
Tensor ones_like(const Tensor& like) { return ones(like.shape(), like.dtype(), like.device()); }
Tensor scalar_tensor(Scalar value, DType dtype, Device device) { return full({}, value, dtype, device); }

namespace {

void measure(const detail::Nested& n, size_t depth, Shape& shape) {
  if (!n.is_list) return;
  if (static_cast<size_t>(shape.rank()) == depth) shape.push_back(static_cast<int64_t>(n.items.size()));
  if (!n.items.empty()) measure(n.items[0], depth + 1, shape);
}

void flatten(const detail::Nested& n, int depth, const Shape& shape, std::vector<Scalar>& out) {
  if (depth == shape.rank()) {
    if (n.is_list) throw ShapeError("tensor: the braces are nested unevenly");
    out.push_back(n.value);
    return;
  }
  if (!n.is_list || static_cast<int64_t>(n.items.size()) != shape[depth])
    throw ShapeError("tensor: a row has " + std::to_string(n.is_list ? n.items.size() : 1) + " elements, the first has " +
                     std::to_string(shape[depth]));
  for (const auto& item : n.items) flatten(item, depth + 1, shape, out);
}

Tensor from_scalars(const std::vector<Scalar>& values, const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype, {}, "tensor");
  visit_dtype(dtype, [&]<typename T>() {
    T* p = t.data<T>();
    for (const Scalar& v : values) {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) *p++ = static_cast<T>(v.integer());
      else if constexpr (std::is_same_v<T, bool>) *p++ = v.value() != 0;
      else *p++ = static_cast<T>(static_cast<compute_t<T>>(v.value()));
    }
  });
  return t;
}

Tensor from_nested(std::initializer_list<detail::Nested> list, const DType* dtype) {
  detail::Nested root(list);
  Shape shape;
  measure(root, 0, shape);
  std::vector<Scalar> values;
  flatten(root, 0, shape, values);
  DType t = values.empty() ? DType::f32 : DType::boolean;
  for (const Scalar& v : values) t = v.promote_with(t);
  return from_scalars(values, shape, dtype ? *dtype : t);
}

}  // namespace

Tensor tensor(std::initializer_list<detail::Nested> values) { return from_nested(values, nullptr); }
Tensor tensor(std::initializer_list<detail::Nested> values, DType dtype) { return from_nested(values, &dtype); }

template <typename T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != numel(shape))
    throw ShapeError("from_vector: " + std::to_string(values.size()) + " values do not fill " + to_string(shape));
  Tensor t = empty(shape, dtype_of<T>(), {}, "from_vector");
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}
template Tensor from_vector(const std::vector<double>&, const Shape&);
template Tensor from_vector(const std::vector<float>&, const Shape&);
template Tensor from_vector(const std::vector<int64_t>&, const Shape&);
template Tensor from_vector(const std::vector<int32_t>&, const Shape&);
template Tensor from_vector(const std::vector<uint8_t>&, const Shape&);
template Tensor from_vector(const std::vector<bool>&, const Shape&);

template <typename T>
std::vector<T> to_vector(const Tensor& x) {
  Tensor host = empty(x.shape(), dtype_of<T>());
  copy_data(x, host);
  const T* p = host.data<T>();
  return std::vector<T>(p, p + host.numel());
}
template std::vector<double> to_vector(const Tensor&);
template std::vector<float> to_vector(const Tensor&);
template std::vector<int64_t> to_vector(const Tensor&);
template std::vector<int32_t> to_vector(const Tensor&);
template std::vector<uint8_t> to_vector(const Tensor&);
template std::vector<bool> to_vector(const Tensor&);

Tensor from_blob(void* data, const Shape& shape, DType dtype, Storage::Release release, void* context, Device device) {
  int64_t count = numel(shape);
  return row_major(first_owner(
                       [&] {
                         if (release) release(context);
                       },
                       device, data, static_cast<size_t>(count) * item_size(dtype), release, context),
                   shape, count, dtype);
}

Tensor view_of(const Tensor& base, const Shape& shape, const Strides& strides, int64_t offset) {
  const TensorImpl& b = defined_impl(base);
  std::byte* data = b.data + offset * static_cast<int64_t>(item_size(b.dtype));
  auto view = make_intrusive<TensorImpl>(b.storage, data, shape, strides, numel(shape), b.dtype, rows_without_gaps(shape, strides));
  view->base = b.base ? b.base : TensorImplPtr(base.impl());
  view->writes = view->base->writes;
  return Tensor(std::move(view));
}

Tensor alias(const Tensor& x) {
  const TensorImpl& t = defined_impl(x);
  return Tensor(make_intrusive<TensorImpl>(t.storage, t.data, t.shape, t.strides, t.numel, t.dtype, t.contiguous));
}

Tensor broadcast_view(const char* op, const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  int shift = shape.rank() - x.rank();
  Strides strides = Strides::filled(shape.rank(), 0);
  bool fits = shift >= 0;
  for (int i = 0; fits && i < x.rank(); ++i) {
    if (x.shape()[i] == shape[i + shift]) strides[i + shift] = x.strides()[i];
    else fits = x.shape()[i] == 1;
  }
  if (!fits) throw ShapeError(std::string(op) + ": " + to_string(x.shape()) + " does not broadcast to " + to_string(shape));
  return view_of(x, shape, strides, 0);
}

Tensor contiguous_data(const Tensor& x) {
  if (x.is_contiguous()) return x;
  Tensor y = empty_like(x, "contiguous");
  kernel::copy(x.device(), x, y);
  return y;
}

void copy_data(const Tensor& src, Tensor& dst) {
  Tensor from = broadcast_view("copy", src, dst.shape());
  const TensorImpl &a = *from.impl(), &b = *dst.impl();
  if (a.storage == b.storage &&
      (a.data != b.data || a.strides != b.strides)) {  // may overlap: elements must be read before they are written
    Tensor apart = empty_like(from, "copy");
    kernel::copy(src.device(), from, apart);
    from = apart;
  }
  Device where = src.device().type == DeviceType::cuda ? src.device() : dst.device();
  kernel::copy(where, from, dst);
  dst.impl()->storage->bump_version();
}

}  // namespace plumb
