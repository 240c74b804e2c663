// Tensors kept for the backward pass, and the check that nobody changed them in between.
#pragma once
#include "engine/autograd/node.h"

namespace plumb {

struct CheckpointFrame;

/// A tensor that a checkpoint left out: its place among those that the second run brings back.
struct DroppedTensor {
  std::shared_ptr<CheckpointFrame> frame;
  size_t index;
  Edge edge;  ///< of an input
};

/// One tensor kept by a node. An input is kept as it is; an output is kept without its node (which would be a cycle) and attached to it on
/// use.
class SavedTensor {
 public:
  SavedTensor() = default;
  /// `output_index` is its place among the node's outputs, or −1.
  SavedTensor(const Tensor& x, int output_index);
  /// The tensor, part of the graph if gradients are being recorded. Throws AutogradError if it was changed in place since.
  Tensor get(Node* owner) const;

 private:
  Tensor value_;
  std::unique_ptr<DroppedTensor> dropped_;  ///< instead of value_; rare, so kept apart
  int output_index_ = -1;
  uint32_t version_ = 0;
  bool requires_grad_ = false;
};

/// The tensors an operation kept, in the order given to saving().
class Saved {
 public:
  Saved(const SmallVector<SavedTensor, 2>& tensors, Node* owner) : tensors_(tensors), owner_(owner) {}
  Tensor operator[](size_t i) const { return tensors_[i].get(owner_); }
  size_t size() const { return tensors_.size(); }

 private:
  const SmallVector<SavedTensor, 2>& tensors_;
  Node* owner_;
};

}  // namespace plumb
