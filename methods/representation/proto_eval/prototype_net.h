// Part-prototype networks: a residual network whose classes are told by how near some place of the image comes to prototypes of parts.
#pragma once
#include <cstdint>
#include <optional>

#include "methods/representation/proto_eval/prototype_layer.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/resnet/resnet.h"

namespace plumb::methods::proto_eval {

/// How near a place is to a prototype.
enum class Similarity : uint8_t {
  inner,     ///< activation_maps, and cosines for the losses
  distance,  ///< log((d² + 1) / (d² + 1e-4)), and −d² for the losses: ProtoPNet's
};

struct PrototypeNetConfig {
  int64_t channels = 1;        ///< of the images
  int64_t block = 2;           ///< image blocks of block × block pixels are the first layer's places
  int64_t backbone_width = 8;  ///< channels of the first of three stages, each later one with twice as many at half the size
  int64_t width = 32;          ///< of the prototypes
  int64_t classes = 6, per_class = 4;
  Similarity similarity = Similarity::inner;
  bool aggregate = true;  ///< ScoreAggregation; else a dense layer without bias that starts with 1 for own and −0.5 for other prototypes
};

/// Of the residual network within: to pre-train one.
resnet::ResNetConfig backbone_config(const PrototypeNetConfig& config);

/// pixel_unshuffle – ResNet of three stages – 1×1 convolution – sigmoid – prototypes – the largest of each map – SA or a dense layer.
class PrototypeNet : public nn::Module {
 public:
  explicit PrototypeNet(const PrototypeNetConfig& config);
  struct Output {
    Tensor logits;         ///< [B, classes]
    Tensor maps;           ///< [B, M, H, W], what the logits and peaks are made of
    Tensor nearness;       ///< [B, M], for cluster_loss and separation_loss
    Tensor shallow, deep;  ///< of the first and the last stage
    Tensor z;              ///< [B, width, H, W], what prototypes are compared with
  };
  /// images [B, channels, S, S], S a multiple of 4 blocks. Throws ShapeError for others.
  Output forward(const Tensor& images) const;
  Tensor operator()(const Tensor& images) const { return forward(images).logits; }
  /// Logits [B, classes] of activations [B, M].
  Tensor last(const Tensor& activations) const;
  const PrototypeNetConfig& config() const { return config_; }

  resnet::ResNet backbone;
  nn::Conv2d add_on;
  PrototypeLayer prototypes;
  std::optional<ScoreAggregation> aggregation;
  std::optional<nn::Linear> dense;

 private:
  PrototypeNetConfig config_;
};

struct PrototypeLossOptions {
  double cluster = 0.8, separation = 0.08, orthogonality = 1e-4;
  double sdfa = 0.5, margin = 0.1;  ///< sdfa 0: without, as during the warm-up
};
/// CE + cluster · L_clst − separation · L_sep + orthogonality · L_orth + sdfa · L_SDFA.
Tensor prototype_net_loss(const PrototypeNet& net, const PrototypeNet::Output& output, const Tensor& labels,
                          const PrototypeLossOptions& options = {});

/// ProtoPNet's projection: every prototype becomes the place of its class's images that is nearest to it, of equal ones the first. images
/// [n, ..], labels i64 [n]; the network in evaluation mode, in batches. Throws ValueError for a class without images.
void project_prototypes(PrototypeNet& net, const Tensor& images, const Tensor& labels);

struct LastLayerOptions {
  double l1 = 1e-4;  ///< weight of Σ |w| between classes and other classes' prototypes
  double lr = 1e-3;
  int64_t steps = 100;
};
/// ProtoPNet's last stage: the dense layer alone, by Adam on all images at once, on the cross-entropy + l1 · Σ |w_cm| over m not of class
/// c. Throws ValueError for a network without a dense layer.
void fit_last_layer(PrototypeNet& net, const Tensor& images, const Tensor& labels, const LastLayerOptions& options = {});

}  // namespace plumb::methods::proto_eval
