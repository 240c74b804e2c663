// Choosing a normalisation.
#include "models/resnet/switchable_norm.h"

#include "engine/core/error.h"

namespace plumb::resnet {

void SwitchableNorm::choose(nn::Module* owner, const std::string& name, const std::string& kind, int64_t channels, int64_t groups) {
  if (kind == "batch") batch_.emplace(owner, name, channels);
  else if (kind == "group") group_.emplace(owner, name, groups, channels);
  else if (kind == "instance") instance_.emplace(owner, name, channels, nn::ChannelNormOptions{.affine = true});
  else if (kind != "none") throw ValueError("norm " + kind + " is unknown; choose batch, group, instance or none");
}

Tensor SwitchableNorm::operator()(const Tensor& x) const {
  if (batch_) return (*batch_)(x);
  if (group_) return (*group_)(x);
  if (instance_) return (*instance_)(x);
  return x;
}

Tensor SwitchableNorm::weight() const {
  if (batch_) return batch_->weight;
  if (group_) return group_->weight;
  if (instance_) return instance_->weight;
  return {};
}

}  // namespace plumb::resnet
