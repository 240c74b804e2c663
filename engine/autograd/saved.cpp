// Keeping a tensor for backward, and giving it back.
#include "engine/autograd/saved.h"

#include "engine/autograd/checkpoint_frame.h"
#include "engine/autograd/grad_mode.h"

namespace plumb {

SavedTensor::SavedTensor(const Tensor& x, int output_index)
    : output_index_(output_index), version_(x.version()), requires_grad_(x.requires_grad()) {
  CheckpointContext& context = checkpoint_context();
  if (context.frame && !context.collecting) {
    dropped_.reset(new DroppedTensor{context.frame, context.frame->dropped++, output_index < 0 ? edge_of(x) : Edge()});
    return;
  }
  if (context.frame) context.frame->values.push_back(alias(x));
  value_ = output_index < 0 ? x : alias(x);
}

static Tensor attached(const Tensor& value, const Edge& edge) {
  if (edge.leaf) return Tensor(edge.leaf);
  Tensor t = alias(value);
  t.impl()->node = edge.node;
  t.impl()->output_index = edge.output_index;
  t.impl()->requires_grad = true;
  return t;
}

Tensor SavedTensor::get(Node* owner) const {
  if (dropped_) dropped_->frame->recompute();
  const Tensor& value = dropped_ ? dropped_->frame->values[dropped_->index] : value_;
  if (!value.defined()) return value;
  if (!dropped_ && value.version() != version_)
    throw AutogradError(std::string("backward: a tensor that ") + owner->name + " saved, of shape " + to_string(value.shape()) +
                        ", was changed in place afterwards (version " + std::to_string(value.version()) + ", saved at " +
                        std::to_string(version_) + ")");
  if (!grad_enabled() || !requires_grad_) return value;
  if (output_index_ >= 0) return attached(value, {NodePtr(owner), {}, static_cast<uint32_t>(output_index_)});
  return dropped_ ? attached(value, dropped_->edge) : value;
}

}  // namespace plumb
