// What the experiments of EQ-Net share: a small elastic network for digits, its training in full precision, as a super-net and at one
// bit-width, and how a form of it is measured.
#pragma once
#include <functional>

#include "methods/efficiency/eq_net/eq_net.h"
#include "models/nn/norm.h"

namespace plumb::methods::eq_net {

/// conv 3×3 – batch norm – ReLU (w channels), the same with stride 2 (2 w), the same (2 w), the mean over the image, linear: images [B, 1,
/// 8, 8] → logits [B, 10]. Batch norms keep plain means over the batches since they were last reset.
struct ElasticCnn : nn::Module {
  quantize::ElasticLayer conv1;
  nn::BatchNorm bn1;
  quantize::ElasticLayer conv2;
  nn::BatchNorm bn2;
  quantize::ElasticLayer conv3;
  nn::BatchNorm bn3;
  quantize::ElasticLayer head;

  explicit ElasticCnn(int64_t width = 16);
  Tensor operator()(const Tensor& images);
};

struct Digits {
  Tensor train_x, train_y, validation_x, validation_y, test_x, test_y;
};
/// Of 1,797 images 1,000 to learn from, 297 to choose by and 500 to judge by, drawn from the default generator; of fewer, so many in
/// proportion.
Digits split_digits(int64_t images = 1797);

struct Work {
  int64_t width = 16, float_epochs = 8, epochs = 15, batch = 64, calibration = 256;
  double lr = 1e-2;
};

/// Trains in full precision (Adam, cosine), then fits all scales to `calibration` training images: where everything starts from.
ElasticCnn make_float(const Digits& digits, const Work& work, Generator& generator);

/// Trains the super-net; `note(share)` is called after every step.
void train_supernet(ElasticCnn& network, const Digits& digits, const Work& work, const StepOptions& options, Generator& generator,
                    const std::function<void(double)>& note);
/// Trains one form alone on the labels, LSQ: `epochs` of them.
void train_form(ElasticCnn& network, const Digits& digits, const Work& work, const quantize::NetForm& form, int64_t epochs,
                Generator& generator, const std::function<void(double)>& note);

/// Sets the form, re-estimates batch norms on (at most) 512 training images, and returns the accuracy (%) over x.
double measure_form(ElasticCnn& network, const Digits& digits, const quantize::NetForm& form, const Tensor& x, const Tensor& y);

}  // namespace plumb::methods::eq_net
