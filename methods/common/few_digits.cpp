// A few digits, and training on them.
#include "methods/common/few_digits.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "models/augment/augment.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr int64_t kDigits = 1797, kClasses = 10;
constexpr double kMiddle = 0.3;  // about the mean grey level

}  // namespace

FewDigits few_digits(const FewDigitsOptions& o, Generator& generator) {
  if (o.train < kClasses || o.train >= kDigits)
    throw ValueError(fmt::format("few_digits: between {} and {} digits can be trained on, not {}", kClasses, kDigits - 1, o.train));
  double share = static_cast<double>(o.train) / static_cast<double>(kDigits);
  auto parts = data::digits().all().split({share, 1 - share}, {.seed = generator.next_u64(), .stratified = true});
  auto train = parts[0].batch(parts[0].size()).next(), test = parts[1].batch(parts[1].size()).next();
  return {train.image, inject_symmetric(train.label, o.noise, kClasses, generator), digit_rows(test.image), test.label};
}

Tensor digit_rows(const Tensor& images) { return flatten(images, 1) - kMiddle; }

mlp::Mlp few_digits_mlp() { return mlp::Mlp({.inputs = 64, .hidden = {256, 256}, .outputs = kClasses}); }

void train_on_few_digits(const FewDigits& digits, const FewDigitsTraining& t, optim::Optimizer& optimizer, Generator& generator,
                         const std::function<Tensor(const FewDigitsBatch&)>& loss, const std::function<void(int64_t)>& after) {
  if (t.epochs < 1 || t.batch < 1) throw ValueError(fmt::format("few_digits: {} epochs in batches of {}", t.epochs, t.batch));
  int64_t n = digits.images.size(0), batches = (n + t.batch - 1) / t.batch, step = 0;
  optim::Schedule schedule = optim::cosine(t.epochs * batches);
  for (int64_t epoch = 1; epoch <= t.epochs; ++epoch) {
    Tensor order = from_vector(data::random_order(n, generator));
    for (int64_t from = 0; from < n; from += t.batch, ++step) {
      Tensor index = contiguous(narrow(order, 0, from, std::min(t.batch, n - from)));
      Tensor images = index_select(digits.images, 0, index);
      if (t.shift > 0) images = augment::random_crop(images, t.shift, generator);
      optimizer.set_lr_scale(schedule(step));
      optimizer.zero_grad();
      loss({digit_rows(images), index_select(digits.labels.given, 0, index), index, epoch}).backward();
      optimizer.step();
    }
    if (after) after(epoch);
  }
}

}  // namespace plumb::methods
