// A few handwritten digits, some of them with wrong labels: where a network has more weights than its examples can hold to account, which
// is what regularisers are judged by.
#pragma once
#include <functional>

#include "methods/common/label_noise.h"
#include "models/mlp/mlp.h"
#include "models/optim/optimizer.h"

namespace plumb::methods {

struct FewDigitsOptions {
  int64_t train = 300;  ///< of the 1,797 digits, all classes in the same proportions, each rounded on its own; the rest are for testing
  double noise = 0;     ///< share of the training labels that are redrawn from all ten classes
};

struct FewDigits {
  Tensor images;             ///< [n, 1, 8, 8] in [0, 1]
  NoisyLabels labels;        ///< of them
  Tensor test, test_labels;  ///< as the network sees them, [m, 64], and i64 [m]
};

/// Split and noise are drawn from `generator`. Throws ValueError unless 10 ≤ train < 1797 and 0 ≤ noise ≤ 1.
FewDigits few_digits(const FewDigitsOptions& options, Generator& generator);
/// What the network sees of images [n, 1, 8, 8]: grey level − 0.3, [n, 64].
Tensor digit_rows(const Tensor& images);
/// 64-256-256-10 under relu, 85,000 weights; drawn from the default generator.
mlp::Mlp few_digits_mlp();

struct FewDigitsTraining {
  int64_t epochs = 100, batch = 32;
  int64_t shift = 0;  ///< each image moved by up to so many pixels along both sides, afresh whenever it is seen
};
/// One batch: rows [b, 64] with their given labels, their places in FewDigits::images, and when it comes: epochs from 1 on.
struct FewDigitsBatch {
  Tensor rows, labels, index;
  int64_t epoch = 1;
};
/// Plain gradient descent: every epoch all images in a new order, the optimiser's rates falling to 0 by half a cosine over all steps.
/// `loss` of every batch; then, after each epoch, `after`, which may be empty. Throws ValueError unless epochs and batch are positive.
void train_on_few_digits(const FewDigits& digits, const FewDigitsTraining& training, optim::Optimizer& optimizer, Generator& generator,
                         const std::function<Tensor(const FewDigitsBatch&)>& loss, const std::function<void(int64_t epoch)>& after = {});

}  // namespace plumb::methods
