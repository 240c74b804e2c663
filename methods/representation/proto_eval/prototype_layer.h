// Prototypes of parts: vectors that are compared with every place of a feature map, and what their activations say about the classes.
#pragma once
#include <cstdint>

#include "models/nn/module.h"

namespace plumb::methods::proto_eval {

/// M = classes · per_class prototypes p_m of `width` numbers; those of class c are c · per_class, …. Feature maps z are [B, width, H, W],
/// maps [B, M, H, W]. All maps throw ShapeError for features of another width.
class PrototypeLayer : public nn::Module {
 public:
  /// Prototypes start uniform in [0, 1). Throws ValueError for sizes below 1.
  PrototypeLayer(int64_t classes, int64_t per_class, int64_t width);
  /// ⟨p_m / ‖p_m‖, z(h, w)⟩: what logits and peaks are made of. The features keep their length.
  Tensor activation_maps(const Tensor& z) const;
  /// ⟨p_m / ‖p_m‖, z / ‖z‖⟩ in [−1, 1]: what cluster and separation losses are made of.
  Tensor cosine_maps(const Tensor& z) const;
  /// ‖z(h, w) − p_m‖² ≥ 0 (ProtoPNet; Chen et al., NeurIPS 2019).
  Tensor squared_distance_maps(const Tensor& z) const;
  /// p_m ← p_m / ‖p_m‖, to be called after every step of the optimiser.
  void to_unit_length();

  int64_t classes() const { return classes_; }
  int64_t per_class() const { return per_class_; }
  /// The class of each prototype, i64 [M].
  Tensor class_of() const;

  nn::Parameter prototypes;  ///< [M, width]

 private:
  Tensor directions() const;
  int64_t classes_, per_class_;
};

/// Of maps or values [B, M, ..] those of each image's own class, [B, per_class, ..]; labels i64 [B]. Throws ShapeError unless M is a
/// multiple of per_class and there is a label an image, IndexError for a label outside.
Tensor own_class(const Tensor& values, const Tensor& labels, int64_t per_class);

/// Score aggregation (SA): logit_c = Σ_k w_ck g_ck with weights w_c = K softmax(v_c) that start as 1 and sum to K. Only a class's own
/// prototypes speak for it, and none speaks against another one.
class ScoreAggregation : public nn::Module {
 public:
  ScoreAggregation(int64_t classes, int64_t per_class);
  /// w, [classes, per_class].
  Tensor weights() const;
  /// activations g [B, classes · per_class] → logits [B, classes]. Throws ShapeError for another number.
  Tensor operator()(const Tensor& activations) const;

  nn::Parameter weight;  ///< v
};

}  // namespace plumb::methods::proto_eval
