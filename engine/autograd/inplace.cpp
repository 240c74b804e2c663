// Writing in place to tensors of a graph. The base of the written view gets a new node; its other views follow on their next use.
#include "engine/autograd/inplace.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "engine/autograd/engine_operations.h"

namespace plumb {

// Whether two indices of t lead to one element.
static bool elements_overlap(const Tensor& t) {
  if (t.is_contiguous()) return false;
  std::vector<std::pair<int64_t, int64_t>> axes;  // stride and size, by stride
  for (int i = 0; i < t.rank(); ++i)
    if (t.shape()[i] > 1) axes.push_back({std::abs(t.strides()[i]), t.shape()[i]});
  std::sort(axes.begin(), axes.end());
  int64_t reach = 0;  // how far the axes so far get
  bool apart = true;  // each axis steps over all that those before it reach: the rule, and proof enough
  for (auto [stride, size] : axes) {
    if (stride == 0) return true;
    apart = apart && stride > reach;
    reach += stride * (size - 1);
  }
  if (apart) return false;
  std::vector<int64_t> places{0};  // strides that interlock, rare: counted out
  for (auto [stride, size] : axes) {
    size_t before = places.size();
    for (int64_t k = 1; k < size; ++k)
      for (size_t i = 0; i < before; ++i) places.push_back(places[i] + k * stride);
  }
  std::sort(places.begin(), places.end());
  return std::adjacent_find(places.begin(), places.end()) != places.end();
}

// A view may be made without recording of what is recorded.
bool write_is_recorded(const Tensor& target) {
  return grad_enabled() && (target.requires_grad() || (target.impl()->base && target.impl()->base->requires_grad));
}

static int64_t offset_in_base(const Tensor& view) {
  const TensorImpl& base = *view.impl()->base;
  return (view.impl()->data - base.data) / static_cast<int64_t>(item_size(base.dtype));
}

Tensor recorded_value(const Tensor& target) {
  if (!write_is_recorded(target) || target.requires_grad() || !target.impl()->base->contiguous) return target;
  return detail::engine_operations().as_strided(Tensor(target.impl()->base), target.shape(), target.strides(), offset_in_base(target));
}

void check_writable(const char* op, const Tensor& target) {
  if (elements_overlap(target))
    throw AutogradError(std::string(op) +
                        ": cannot write to a tensor whose elements overlap (an expanded one, overlapping windows); clone it first");
  if (!write_is_recorded(target)) return;
  TensorImpl* owner = target.impl()->base ? target.impl()->base.get() : target.impl();
  if (!owner->node && owner->requires_grad)
    throw AutogradError(std::string(op) + ": a leaf that requires a gradient cannot be changed in place; do it under NoGrad");
}

// The written tensor's node is another now: a gradient that it retains is that of what it holds after the write.
static void become(TensorImpl& t, NodePtr node) {
  bool retains = t.node && t.grad_state && t.grad_state->retain;
  if (retains) std::erase_if(t.node->made_watchers().retained, [&](const auto& watcher) { return watcher.second == t.grad_state; });
  t.node = std::move(node);
  t.output_index = 0;
  t.requires_grad = static_cast<bool>(t.node);
  if (retains && t.node) t.node->made_watchers().retained.push_back({0, t.grad_state});
  ++t.writes;
}

// The written tensor owns its elements: it is simply the value now.
static void assign_whole(const char* op, Tensor& target, const Tensor& value) {
  Tensor renewed = record(op, alias(target), {value}, saving(), [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
  become(*target.impl(), renewed.impl()->node);
}

// The written tensor is a view of `base`:   d value = (d base)[view],   d base_before = d base with zeros in [view].
static void assign_view(const char* op, const Tensor& view, const Tensor& value) {
  TensorImpl& base = *view.impl()->base;
  Shape shape = view.shape();
  Strides strides = view.strides();
  int64_t offset = offset_in_base(view);
  Tensor whole(view.impl()->base);
  Tensor renewed = record(op, alias(whole), {whole, value}, saving(), [=](const Grads& dy, const Saved&, Needs needs) -> Grads {
    const auto& ops = detail::engine_operations();
    Tensor g = ops.clone(dy[0]), d_value, d_base;
    if (needs[1]) d_value = ops.as_strided(g, shape, strides, offset);
    if (needs[0]) {
      d_base = ops.clone(g);
      Tensor hole = ops.as_strided(d_base, shape, strides, offset);
      assign("assign", hole, zeros(shape, g.dtype(), g.device()));
    }
    return {d_base, d_value};
  });
  become(base, renewed.impl()->node);
}

void assign(const char* op, Tensor& target, const Tensor& value) {
  check_writable(op, target);
  bool recorded = write_is_recorded(target) || (grad_enabled() && value.requires_grad());
  if (recorded && target.impl()->base && !target.impl()->base->contiguous)  // before anything is written
    throw AutogradError(std::string(op) + ": cannot record a write to a view of a tensor with gaps; make the base contiguous first");
  copy_data(value, target);
  if (!recorded) return;
  if (target.impl()->base) assign_view(op, target, value);
  else assign_whole(op, target, value);
}

}  // namespace plumb
