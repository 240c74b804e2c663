// Experts: feed-forward networks of one shape, side by side in one weight tensor a layer.
#pragma once
#include <optional>

#include "models/nn/activation.h"
#include "models/nn/module.h"

namespace plumb::moe {

/// One linear layer an expert: weight [E, out, in], bias [E, out]. Each starts as nn::Linear does.
class GroupedLinear : public nn::Module {
 public:
  GroupedLinear(int64_t experts, int64_t in, int64_t out, bool bias = true);
  /// rows [A, in], those of expert e from offsets[e] to offsets[e + 1] → [A, out] (grouped_linear).
  Tensor operator()(const Tensor& rows, const Tensor& offsets) const;

  nn::Parameter weight, bias;
};

struct ExpertsOptions {
  nn::ActivationKind activation = nn::ActivationKind::gelu;
  bool gated = false;  ///< with silu SwiGLU, with gelu GEGLU
  bool bias = true;
};

/// down_e(a(up_e(x))), gated down_e(a(gate_e(x)) ⊙ up_e(x)): what nn::FeedForward is, E times.
class Experts : public nn::Module {
 public:
  Experts(int64_t experts, int64_t width, int64_t inner, ExpertsOptions options = {});
  Experts(Module* parent, std::string name, int64_t experts, int64_t width, int64_t inner, ExpertsOptions options = {})
      : Experts(experts, width, inner, options) {
    join(parent, std::move(name));
  }
  /// rows [A, width] sorted by expert, as Routing has them → [A, width].
  Tensor operator()(const Tensor& rows, const Tensor& offsets) const;

  std::optional<GroupedLinear> gate;
  GroupedLinear up, down;

 private:
  nn::ActivationKind activation_;
};

}  // namespace plumb::moe
