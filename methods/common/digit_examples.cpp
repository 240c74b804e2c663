// Rows, and the loop over them.
#include "methods/common/digit_examples.h"

#include <algorithm>

#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "engine/data/digits/digits.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/shape.h"

namespace plumb::methods {

DigitExamples DigitExamples::at(const std::vector<int64_t>& places) const {
  Tensor rows = from_vector(places);
  return {index_select(x, 0, rows), index_select(label, 0, rows)};
}

DigitExamples DigitExamples::first(int64_t n) const { return {slice(x, 0, 0, n), slice(label, 0, 0, n)}; }

DigitExamples digit_examples() {
  data::Dataset digits = data::digits().all();
  data::Batch batch = digits.batch(digits.size()).next();
  return {flatten(batch.image, 1), batch.label};
}

void train_on_digits(const mlp::Mlp& network, const DigitExamples& examples, int64_t epochs) {
  optim::AdamW adamw(network.parameters(), {.lr = 1e-3, .weight_decay = 0});
  for (int64_t e = 0; e < epochs; ++e) {
    std::vector<int64_t> order = data::random_order(examples.size(), default_generator());
    for (int64_t begin = 0; begin < examples.size(); begin += 64) {
      DigitExamples batch = examples.at({order.begin() + begin, order.begin() + std::min(examples.size(), begin + 64)});
      adamw.zero_grad();
      cross_entropy(network(batch.x), batch.label).backward();
      adamw.step();
    }
  }
}

}  // namespace plumb::methods
