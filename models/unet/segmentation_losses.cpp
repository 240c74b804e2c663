// Losses of segmentations.
#include "models/unet/segmentation_losses.h"

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::unet {
namespace {

void check_mask(const char* name, const Tensor& logits, const Tensor& mask) {
  if (logits.rank() != 4 || mask.shape() != Shape{logits.size(0), logits.size(2), logits.size(3)})
    throw ShapeError(std::string(name) + ": logits " + to_string(logits.shape()) + " with masks " + to_string(mask.shape()));
  if (mask.numel() == 0) return;
  auto [low, high] = std::pair(min(mask).item<int64_t>(), max(mask).item<int64_t>());
  if (low < 0 || high >= logits.size(1))
    throw IndexError(std::string(name) + ": mask label " + std::to_string(low < 0 ? low : high) + " is outside [0, " +
                     std::to_string(logits.size(1)) + ")");
}

}  // namespace

Tensor per_sample_cross_entropy(const Tensor& logits, const Tensor& mask) {
  check_mask("per_sample_cross_entropy", logits, mask);
  Tensor each = cross_entropy(contiguous(movedim(logits, 1, 3)), mask, {.reduction = Reduction::none});
  return mean(each, {1, 2});
}

Tensor soft_dice_loss(const Tensor& probabilities, const Tensor& target, double eps) {
  if (probabilities.rank() < 2 || probabilities.shape() != target.shape())
    throw ShapeError("soft_dice_loss: probabilities " + to_string(probabilities.shape()) + " with targets " + to_string(target.shape()));
  if (!(eps > 0)) throw ValueError("soft_dice_loss: eps must be positive, it is " + decimal(eps));
  std::vector<int> over{0};
  for (int d = 2; d < probabilities.rank(); ++d) over.push_back(d);
  Tensor both = sum(probabilities * target, over), all = sum(square(probabilities), over) + sum(square(target), over);
  return mean(1.0 - (2.0 * both + eps) / (all + eps));
}

Tensor soft_dice_loss_with_logits(const Tensor& logits, const Tensor& mask, double eps) {
  check_mask("soft_dice_loss", logits, mask);
  Tensor target = to(contiguous(movedim(one_hot(mask, logits.size(1)), 3, 1)), logits.dtype());
  return soft_dice_loss(softmax(logits, 1), target, eps);
}

}  // namespace plumb::unet
