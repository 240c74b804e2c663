// Tensor: a small handle to shared data of any shape, strides and type, and to its place in the graph of operations.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/core/error.h"
#include "engine/core/intrusive_ptr.h"
#include "engine/core/object_pool.h"
#include "engine/core/scalar.h"
#include "engine/core/shape.h"
#include "engine/core/storage.h"

namespace plumb {

class Node;  // engine/autograd/node.h
void destroy(Node* node);
class Tensor;
struct TensorImpl;
void destroy(TensorImpl* impl);
using NodePtr = IntrusivePtr<Node>;
using TensorImplPtr = IntrusivePtr<TensorImpl>;

/// Called with a gradient during backward; what it returns replaces the gradient (an undefined tensor keeps it).
using GradientHook = std::function<Tensor(const Tensor& gradient)>;

/// A multi-dimensional array. Copying a Tensor copies the handle: both see the same elements. Views (slices, transposes) share storage.
/// A tensor may be read from several threads at once; writing to it, and its gradient, belong to one thread at a time.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TensorImplPtr impl) : impl_(std::move(impl)) {}

  bool defined() const { return static_cast<bool>(impl_); }
  const Shape& shape() const;
  const Strides& strides() const;  ///< in elements
  int rank() const;
  /// The size of dimension `dim`, counted from the end if negative. Throws IndexError outside the rank.
  int64_t size(int dim) const;
  int64_t numel() const;
  DType dtype() const;
  Device device() const;
  bool is_contiguous() const;  ///< row-major without gaps
  int64_t storage_offset() const;

  /// The first element. Throws DTypeError if T is not the tensor's type.
  template <typename T> T* data() { return static_cast<T*>(checked_data(dtype_of<T>())); }
  template <typename T> const T* data() const { return static_cast<const T*>(checked_data(dtype_of<T>())); }
  void* raw_data() const;

  /// The only element, converted to T. Throws ShapeError unless numel() is 1.
  template <typename T = double> T item() const {
    if constexpr (std::is_same_v<T, bool>) return item_double() != 0;
    else if constexpr (std::is_integral_v<T>) return static_cast<T>(item_integer());
    else return static_cast<T>(item_double());
  }

  // -- automatic differentiation ------------------------------------------------------------------
  /// A gradient is tracked for this tensor: it was asked for (a leaf) or an input of its operation needs one.
  bool requires_grad() const;
  /// Asks for (or gives up) a gradient. Returns the same tensor. Throws DTypeError unless it is of floating type, AutogradError for
  /// giving it up on what is not a leaf.
  Tensor requires_grad_(bool on = true) const;
  /// Made by no recorded operation.
  bool is_leaf() const;
  /// The accumulated gradient of a leaf (or of a tensor with retain_grad()); undefined before backward.
  Tensor grad() const;
  void set_grad(Tensor gradient) const;
  void zero_grad() const { set_grad({}); }
  /// Keeps the gradient of this non-leaf tensor in grad() during backward.
  void retain_grad() const;
  /// Called with this tensor's gradient whenever one is computed.
  void register_hook(GradientHook hook) const;
  /// d(this)/d(leaf) · gradient added to grad() of every leaf. `gradient` may be left out for one element (then 1).
  void backward(const Tensor& gradient = {}, bool retain_graph = false, bool create_graph = false) const;
  /// The same elements outside the graph.
  Tensor detach() const;
  uint32_t version() const;

  TensorImpl* impl() const { return impl_.get(); }
  bool same_as(const Tensor& o) const { return impl_ == o.impl_; }

 private:
  void* checked_data(DType wanted) const;
  double item_double() const;
  int64_t item_integer() const;
  TensorImplPtr impl_;
};

/// What a tensor keeps for the graph beyond its node: rarely needed, so allocated when asked for.
struct GradState {
  Tensor grad;
  bool retain = false;
  std::vector<GradientHook> hooks;
};

/// The data behind Tensor. Operations use Tensor; the graph and a few views reach in here.
struct TensorImpl : RefCounted, detail::Pooled {
  TensorImpl(StoragePtr storage, std::byte* data, const Shape& shape, const Strides& strides, int64_t numel, DType dtype, bool contiguous);
  ~TensorImpl();
  StoragePtr storage;
  std::byte* data;  ///< storage->data() + offset
  Shape shape;
  Strides strides;
  int64_t numel;
  DType dtype;
  bool contiguous;
  bool requires_grad = false;
  uint32_t output_index = 0;      ///< which output of `node` this is
  uint32_t writes = 0;            ///< recorded writes in place to this base, or seen by this view
  NodePtr node;                   ///< the operation that made it; null for a leaf
  TensorImplPtr base;             ///< for a view: the tensor that owns the elements
  std::shared_ptr<GradState> grad_state;
};

namespace detail {
[[noreturn]] void undefined_tensor();
/// Gives a view whose base was written to since a new place in the graph.
void refresh_view(TensorImpl& view);
inline TensorImpl& defined_impl(const Tensor& x) {
  if (!x.defined()) [[unlikely]] undefined_tensor();
  return *x.impl();
}
}  // namespace detail

// What every operation asks of its inputs, several times over: worth no call.
inline const Shape& Tensor::shape() const { return detail::defined_impl(*this).shape; }
inline const Strides& Tensor::strides() const { return detail::defined_impl(*this).strides; }
inline int Tensor::rank() const { return shape().rank(); }
inline int64_t Tensor::numel() const { return detail::defined_impl(*this).numel; }
inline DType Tensor::dtype() const { return detail::defined_impl(*this).dtype; }
inline Device Tensor::device() const { return detail::defined_impl(*this).storage->device(); }
inline bool Tensor::is_contiguous() const { return detail::defined_impl(*this).contiguous; }
inline void* Tensor::raw_data() const { return detail::defined_impl(*this).data; }
inline uint32_t Tensor::version() const { return detail::defined_impl(*this).storage->version(); }
inline bool Tensor::requires_grad() const {
  if (!impl_) return false;
  if (impl_->base && impl_->base->writes != impl_->writes) [[unlikely]] detail::refresh_view(*impl_);
  return impl_->requires_grad;
}

// -- creation ---------------------------------------------------------------------------------------

/// Undefined contents. `op` is named if memory runs out.
Tensor empty(const Shape& shape, DType dtype = f32, Device device = {}, const char* op = "empty");
/// empty with the shape, type and device of `like`, row-major.
Tensor empty_like(const Tensor& like, const char* op = "empty_like");
Tensor zeros(const Shape& shape, DType dtype = f32, Device device = {});
Tensor ones(const Shape& shape, DType dtype = f32, Device device = {});
Tensor full(const Shape& shape, Scalar value, DType dtype = f32, Device device = {});
Tensor zeros_like(const Tensor& like);
Tensor ones_like(const Tensor& like);

namespace detail {
/// A braced list of numbers of any depth.
struct Nested {
  Nested(std::floating_point auto v) : value(v) {}
  Nested(std::integral auto v) : value(v) {}
  Nested(std::initializer_list<Nested> list) : value(0), items(list), is_list(true) {}
  Scalar value;
  std::vector<Nested> items;
  bool is_list = false;
};
}  // namespace detail

/// tensor({{1.0, 2.0}, {3.0, 4.0}}): f32 if any number is floating, i64 otherwise, bool if all are bool; or `dtype` as given.
/// Throws ShapeError if rows differ in length.
Tensor tensor(std::initializer_list<detail::Nested> values);
Tensor tensor(std::initializer_list<detail::Nested> values, DType dtype);
/// A rank-0 tensor.
Tensor scalar_tensor(Scalar value, DType dtype, Device device = {});
/// Copies `values`, which must number numel(shape), into a CPU tensor of their own type. Throws ShapeError otherwise.
template <typename T> Tensor from_vector(const std::vector<T>& values, const Shape& shape);
template <typename T>
Tensor from_vector(const std::vector<T>& values) {
  return from_vector(values, Shape{static_cast<int64_t>(values.size())});
}
/// Copies the elements out in row-major order, converted to T.
template <typename T = double> std::vector<T> to_vector(const Tensor& x);

/// A tensor over memory that someone else owns; release(context) is called when the last tensor over it is gone, also where this throws
/// OutOfMemoryError because there is no room for the tensor itself.
Tensor from_blob(void* data, const Shape& shape, DType dtype, Storage::Release release, void* context, Device device = {});

/// A view of `base` with the given geometry (offset in elements from base's first element), outside the graph. Building block of views.
Tensor view_of(const Tensor& base, const Shape& shape, const Strides& strides, int64_t offset);
/// Same elements under another handle with no tie to the graph or to the base.
Tensor alias(const Tensor& x);
/// The view of `x` with strides 0 along broadcast dimensions (no copy, outside the graph). Throws ShapeError naming `op`.
Tensor broadcast_view(const char* op, const Tensor& x, const Shape& shape);
/// x itself if row-major, else a row-major copy, outside the graph: for kernels that want plain rows.
Tensor contiguous_data(const Tensor& x);
/// Copies src's elements (converted, broadcast) into dst, outside the graph; counts as a write to dst.
void copy_data(const Tensor& src, Tensor& dst);

}  // namespace plumb
