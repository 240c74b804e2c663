// Adapter tuning: small networks put behind the parts of a frozen transformer.
#pragma once
#include <optional>

#include "models/nn/activation.h"
#include "models/nn/linear.h"

namespace plumb::nn {

struct BottleneckOptions {
  ActivationKind activation = ActivationKind::gelu;
  DType dtype = f32;
  Device device = {};
};

/// x + up(a(down(x))), `inner` wide in between; up starts as 0, so it starts as the identity (Houlsby et al., ICML 2019).
class Bottleneck : public Module {
 public:
  Bottleneck(int64_t width, int64_t inner, BottleneckOptions options = {});
  Tensor operator()(const Tensor& x) const;

  Linear down, up;

 private:
  ActivationKind activation_;
};

/// What a module with a place for a bottleneck behind its last projection inherits: attention and feed-forward networks.
class BottleneckPlace {
 public:
  virtual ~BottleneckPlace() = default;
  virtual int64_t output_width() const = 0;
  std::optional<Bottleneck> bottleneck;  ///< made by add_bottlenecks

 protected:
  Tensor through_bottleneck(const Tensor& y) const { return bottleneck ? (*bottleneck)(y) : y; }
};

/// Puts a bottleneck into every such place of `model`. Returns how many. Throws ValueError if there is none, or one is filled already.
int64_t add_bottlenecks(Module& model, int64_t inner, BottleneckOptions options = {});
/// requires_grad: on for the bottlenecks and the parameters whose name ends in one of `also` ("classifier.weight"), off for all others.
void train_bottlenecks_only(Module& model, const std::vector<std::string>& also = {});

}  // namespace plumb::nn
