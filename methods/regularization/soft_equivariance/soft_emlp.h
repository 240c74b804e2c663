// A perceptron between representations: gated activations and products of tensors, which commute with rotations and mirrors, around linear
// layers that are free, bound to a group, or both added up.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "methods/regularization/soft_equivariance/soft_equivariance.h"
#include "models/nn/containers.h"
#include "models/nn/module.h"

namespace plumb::methods::soft_equivariance {

/// What a linear layer's weights are.
enum class Binding : uint8_t {
  none,      ///< W, free: plain networks, and those that PER regularises
  hard,      ///< P W: equivariant whatever W is (EMLP)
  residual,  ///< P W + W′: a residual pathway prior (RPP, Finzi et al. 2021)
};
/// How free weights and biases start (with a group): W; P W + 10⁻³ W; ½ P W + ½ W.
enum class Start : uint8_t { free, rpp, halfsoft };

struct SoftEmlpConfig {
  Representation in, out;
  int64_t dimension = 3;
  int64_t channels = 128;  ///< of each hidden layer, shared out by uniform_representation
  int64_t layers = 4;      ///< linear layers; all but the last are followed by an activation
  bool flexible = false;   ///< a plain perceptron with x σ(x): no gates, no products
  bool products = true;    ///< bilinear layers
  bool broken = false;     ///< adds w ⊙ x σ(x) to every activation, w from 10⁻³ on: softly not equivariant
  Binding binding = Binding::none;
  Start start = Start::free;
  std::shared_ptr<const Projector> group;  ///< for a binding or a start that needs one
  /// Throws ValueError for what makes no network.
  void check() const;
};

/// y = W x + b between representations. W starts orthogonal, b from U[0, 1) / √out; W′ and b′ of a residual binding from 0.
class SoftLinear : public nn::Module {
 public:
  SoftLinear(const Representation& in, const Representation& out, const SoftEmlpConfig& config);
  Tensor operator()(const Tensor& x) const;
  /// What is computed with.
  Tensor effective_weight() const;
  Tensor effective_bias() const;
  const Representation& in() const { return in_; }
  const Representation& out() const { return out_; }

  nn::Parameter weight, bias;
  nn::Parameter free_weight, free_bias;  ///< W′, b′; undefined without

 private:
  Representation in_, out_;
  Binding binding_;
  std::shared_ptr<const Projector> group_;
};

/// One product of learned mixtures of tensors of two ranks: outer (ranks add up) or contracted over the last indices (ranks subtract).
struct TensorProduct : nn::Module {
  TensorProduct(int rank_left, int rank_right, bool contract, int64_t left, int64_t right, int64_t out);
  nn::Parameter left_mix, right_mix;  ///< [out, left], [out, right]
  int rank_left, rank_right;
  bool contract;
};

/// All products of the tensors of a representation that fit into it, added up rank by rank: x → a tensor of the same shape. Commutes with
/// every orthogonal group (contractions do not with others).
class TensorProducts : public nn::Module {
 public:
  TensorProducts(const Representation& representation, int64_t dimension);
  Tensor operator()(const Tensor& x) const;

 private:
  Representation representation_;
  int64_t dimension_;
  nn::ModuleList<TensorProduct> products_;
};

/// Linear, plus a tenth of its products, then gates: a tensor of rank ≥ 1 times σ of a scalar of its own that the layer computes beside it,
/// a scalar s as s σ(s).
class GatedLinearBlock : public nn::Module {
 public:
  GatedLinearBlock(const Representation& in, const Representation& out, const SoftEmlpConfig& config);
  Tensor operator()(const Tensor& x) const;

  SoftLinear linear;
  std::optional<TensorProducts> products;
  nn::Parameter broken;  ///< w, undefined unless asked for

 private:
  Tensor activated(const Tensor& y) const;
  Representation out_;
  int64_t dimension_;
  bool flexible_;
};

class SoftEmlp : public nn::Module {
 public:
  explicit SoftEmlp(const SoftEmlpConfig& config);
  /// x [n, size of in] → [n, size of out].
  Tensor operator()(Tensor x) const;
  /// Effective weights of all linear layers, for penalties.
  std::vector<LayerWeights> layers() const;
  /// Residual pathway priors: ½ equivariant ‖W‖² + ½ free ‖W′‖² over all layers, with biases. Throws ValueError without a residual binding.
  Tensor residual_prior(double equivariant, double free) const;
  /// ½ Σ ‖W‖² + ‖b‖² of the parameters of linear layers; Σ ‖w‖² of what breaks the activations (undefined if nothing does).
  Tensor half_squared_norm() const;
  Tensor broken_squared_norm() const;

 private:
  std::vector<const SoftLinear*> linears() const;
  nn::ModuleList<GatedLinearBlock> hidden_;
  std::optional<SoftLinear> last_;
};

}  // namespace plumb::methods::soft_equivariance
