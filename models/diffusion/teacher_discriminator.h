// A discriminator made of a diffusion model: what the teacher has learned about data serves to tell real from generated.
#pragma once
#include <string>
#include <vector>

#include "models/nn/linear.h"
#include "models/nn/low_rank.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {

struct TeacherDiscriminatorOptions {
  int64_t rank = 8;                       ///< of the adapters; 0: all of the body is trained instead
  std::vector<std::string> adapted = {};  ///< names of the layers that get adapters (nn::add_adapter); none: all
  bool conditional = true;                ///< told the noise level; else it always hears the lowest
  double sigma_data = 0.5, sigma_min = 0.002;
};

/// Dis(x, σ): logits [B] of clean or generated data x [B, ..] that a student made from noise level σ [B]: a teacher's copy with its weights
/// frozen and low-rank adapters, and a linear head over its features. Body copies as a module does and answers features(x [B, ..], c_noise
/// [B]) → [B, F]; it sees x/σ_d, as without noise, and c_noise = ¼ ln σ.
template <typename Body>
class TeacherDiscriminator : public nn::Module {
 public:
  /// `width` is F. Throws as nn::add_adapter.
  TeacherDiscriminator(const Body& teacher, int64_t width, TeacherDiscriminatorOptions options = {})
      : body(teacher), head(width, 1), options_(std::move(options)) {
    register_module("body", body);
    register_module("head", head);
    body.requires_grad_(options_.rank == 0);
    if (options_.rank == 0) return;
    nn::add_adapter(body, "discriminator", {.rank = options_.rank}, options_.adapted);
    nn::train_adapters_only(body);
  }
  Tensor operator()(const Tensor& x, const Tensor& sigma) const {
    Tensor level = options_.conditional ? sigma : full(sigma.shape(), options_.sigma_min, sigma.dtype(), sigma.device());
    return flatten(head(body.features(x * (1 / options_.sigma_data), log(level) * 0.25)), 0);
  }
  /// Those that are trained.
  std::vector<Tensor> trained() const {
    std::vector<Tensor> all;
    for (const Tensor& p : parameters())
      if (p.requires_grad()) all.push_back(p);
    return all;
  }

  Body body;
  nn::Linear head;

 private:
  TeacherDiscriminatorOptions options_;
};

}  // namespace plumb::diffusion
