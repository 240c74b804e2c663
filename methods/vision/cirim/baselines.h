// What CIRIM is compared with: compressed sensing, a U-Net behind the zero-filled image, a cascade of networks with hard data consistency,
// and the end-to-end variational network with and without its data consistency.
#pragma once
#include "methods/vision/cirim/mri.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"

namespace plumb::methods::cirim {

/// argmin_z ½ ‖z − x‖² + λ TV(z), TV the sum over pixels of the length of the gradient, of real and imaginary part together: fast dual
/// projections (Beck & Teboulle 2009) of x [B, H, W, 2]. Throws ValueError for λ < 0.
Tensor tv_denoise(const Tensor& x, double lambda, int iterations = 20);
/// Compressed sensing: argmin_x ½ ‖A x − y‖² + λ TV(x) by accelerated proximal gradient steps (FISTA) of length 1, from the zero-filled
/// image.
Tensor tv_reconstruct(const Tensor& y, const MriOperator& mri, double lambda, int iterations = 60);

/// A U-Net of images [B, 2, H, W]: two 3×3 convolutions with instance norm and leaky relu (0.2) a level, halved by means, doubled by
/// transposed convolutions; H and W of any size (padded to a multiple of 2^pools). Each image is brought to mean 0 and deviation 1 a
/// channel before, and back after. The network of the variational network (Sriram et al., MICCAI 2020).
class NormUnet : public nn::Module {
 public:
  /// Throws ValueError for pools outside [1, 4] or channels below 1.
  NormUnet(int64_t channels, int64_t pools);
  NormUnet(nn::Module* parent, std::string name, int64_t channels, int64_t pools) : NormUnet(channels, pools) {
    join(parent, std::move(name));
  }
  /// [B, H, W, 2] → [B, H, W, 2].
  Tensor operator()(const Tensor& image) const;

 private:
  struct Block : nn::Module {
    nn::Conv2d conv1, conv2;
    nn::InstanceNorm norm1, norm2;
    Block(int64_t in, int64_t out);
    Tensor operator()(const Tensor& x) const;
  };
  Tensor network(const Tensor& x) const;
  int64_t pools_;
  nn::ModuleList<Block> down_{this, "down"}, up_{this, "up"};
  nn::ModuleList<nn::ConvTranspose2d> wider_{this, "wider"};
  nn::Conv2d out_;
};

/// The end-to-end variational network. k_0 = y; each cascade with its own U-Net and its own w (1 at first):
///   with data consistency:     k ← k − w M (k − y) − F(S · UNet(Σ conj(S) F⁻¹ k))
///   without (as in the code):  k ← F(S · UNet(Σ conj(S) F⁻¹ k)): neither the consistency nor the residual, which would keep what was
///   measured
/// and hide what leaving it out does.
class VariationalNetwork : public nn::Module {
 public:
  /// Throws ValueError for less than one cascade.
  VariationalNetwork(int64_t cascades, int64_t channels, int64_t pools, bool data_consistency);
  Tensor operator()(const Tensor& y, const MriOperator& mri) const;

 private:
  struct Cascade : nn::Module {
    NormUnet unet;
    nn::Parameter dc_weight;
    Cascade(int64_t channels, int64_t pools, bool data_consistency);
  };
  bool data_consistency_;
  nn::ModuleList<Cascade> cascades_{this, "cascades"};
};

/// The cascade of Schlemper et al. (IEEE TMI 2018): x ← x + CNN(x), five 3×3 convolutions with relu between, then hard data consistency in
/// the coils' k-space.
class CascadeNet : public nn::Module {
 public:
  CascadeNet(int64_t cascades, int64_t channels);
  Tensor operator()(const Tensor& y, const MriOperator& mri) const;

 private:
  struct Cnn : nn::Module {
    nn::ModuleList<nn::Conv2d> layers{this, "layers"};
    explicit Cnn(int64_t channels);
    Tensor operator()(const Tensor& image) const;
  };
  nn::ModuleList<Cnn> cascades_{this, "cascades"};
};

}  // namespace plumb::methods::cirim
