// What generators and discriminators of adversarial networks minimise. Logits are unbounded numbers, larger for images that look real.
#pragma once
#include <functional>
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::gan {

///   non_saturating   D: softplus(−D(x)) + softplus(D(G(z)))          G: softplus(−D(G(z)))      Goodfellow et al. 2014
///   hinge            D: max(0, 1 − D(x)) + max(0, 1 + D(G(z)))       G: −D(G(z))                Lim & Ye 2017
///   least_squares    D: ½ (D(x) − 1)² + ½ D(G(z))²                   G: ½ (D(G(z)) − 1)²        Mao et al. 2017
///   wasserstein      D: D(G(z)) − D(x)                               G: −D(G(z))                Arjovsky et al. 2017
/// each the mean over the batch.
enum class GanLoss : uint8_t { non_saturating, hinge, least_squares, wasserstein };
/// By these names; throws ConfigError for another one.
GanLoss gan_loss_named(const std::string& name);
const char* name(GanLoss loss);

/// A scalar; real and generated logits may differ in number.
Tensor discriminator_loss(GanLoss loss, const Tensor& real_logits, const Tensor& generated_logits);
Tensor generator_loss(GanLoss loss, const Tensor& generated_logits);

/// E ‖∂D(x)/∂x‖² over the batch (Mescheder et al. 2018), to be weighted by γ/2. `images` must require a gradient, and `logits` be the
/// discriminator's answer to them. The result is differentiable in the discriminator's weights.
Tensor r1_penalty(const Tensor& logits, const Tensor& images);

/// E (‖∂D(x̂)/∂x̂‖ − 1)² at random points x̂ between real and generated images of one shape, one place for each pair (Gulrajani et al.
/// 2017).
Tensor gradient_penalty(const std::function<Tensor(const Tensor& images)>& discriminator, const Tensor& real, const Tensor& generated,
                        Generator& random);

/// The length ‖Jᵀy‖ of each example's path, y the images' noise N(0, 1/(H·W)): √(mean over layers of |∂⟨G(w), y⟩/∂w|²) (Karras et al. 2020,
/// appendix B). w [B, layers, width] requires a gradient, images [B, C, H, W] were made from it. → [B], differentiable in the generator's
/// weights.
Tensor path_lengths(const Tensor& images, const Tensor& w, Generator& random);

}  // namespace plumb::gan
