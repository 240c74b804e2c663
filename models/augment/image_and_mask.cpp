// Changes of images that move their masks with them: a mask travels as one more channel, so that both move alike to the pixel.
#include "models/augment/image_and_mask.h"

#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "models/augment/rand_augment.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::augment {
namespace {

void check(const ImagesAndMasks& batch, double turn, int64_t degrees) {
  const Tensor &x = batch.images, &m = batch.masks;
  if (x.rank() != 4 || x.size(2) != x.size(3) || m.shape() != Shape{x.size(0), x.size(2), x.size(3)})
    throw ShapeError("turn_or_rotate: takes square images [B, C, H, H] with masks [B, H, H], got " + to_string(x.shape()) + " and " +
                     to_string(m.shape()));
  if (x.dtype() != f32 || m.dtype() != i64)
    throw DTypeError("turn_or_rotate: takes f32 images with i64 masks, got " + std::string(name(x.dtype())) + " and " +
                     std::string(name(m.dtype())));
  if (!(turn >= 0 && turn <= 1)) throw ValueError("turn_or_rotate: the rate of turns must lie in [0, 1], it is " + decimal(turn));
  if (degrees < 1) throw ValueError("turn_or_rotate: the largest rotation must be at least 1 degree, it is " + std::to_string(degrees));
}

}  // namespace

ImagesAndMasks turn_or_rotate(const ImagesAndMasks& batch, Generator& generator, double turn, int64_t degrees) {
  check(batch, turn, degrees);
  NoGrad no_grad;
  int64_t channels = batch.images.size(1);
  Tensor joined = cat({batch.images, to(unsqueeze(batch.masks, 1), f32)}, 1);
  std::vector<Tensor> views;
  for (int64_t i = 0; i < joined.size(0); ++i) {
    Tensor one = narrow(joined, 0, i, 1);
    bool turned = generator.next_double() < turn;
    auto quarters = static_cast<int>(generator.next_below(4)), axis = static_cast<int>(generator.next_below(2));
    auto angle = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(2 * degrees))) - degrees;
    views.push_back(turned ? flip(rot90(one, quarters, 2, 3), {2 + axis})
                           : apply_change(contiguous(one), Change::rotate, static_cast<double>(angle), generator));
  }
  Tensor all = cat(views, 0);
  return {contiguous(narrow(all, 1, 0, channels)), contiguous(to(select(all, 1, channels), i64))};
}

}  // namespace plumb::augment
