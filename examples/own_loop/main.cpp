// A method from the shelf in a training loop of one's own: early-learning regularisation (ELR) on digits of which 40 % have a wrong label.
// It takes the loss of a batch and remembers what the network said of each example; the loop stays as it was.
//   own_loop [steps]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>

#include "methods/common/label_noise.h"
#include "methods/robust/elr/elr.h"

using namespace plumb;

struct Mlp : nn::Module {
  nn::Linear up{this, "up", 64, 256};
  nn::Linear down{this, "down", 256, 10};
  Tensor operator()(const Tensor& x) const { return down(relu(up(flatten(x, 1)))); }
};

/// Trains on noisy labels, with ELR or with the cross-entropy alone (λ = 0), and gives the accuracy on clean test labels in percent.
double fit(const Tensor& images, const methods::NoisyLabels& labels, double lambda, int steps) {
  manual_seed(0);
  Mlp model;
  optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  methods::PerSampleEma targets(/*samples=*/images.size(0), /*classes=*/10, /*beta=*/0.9);
  auto batches = data::from_tensors({{"image", images}, {"label", labels.given}}).shuffle({.seed = 0}).batch(64);
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = batches.next();
    Tensor loss = methods::elr::elr_loss(model(batch.image), batch.label, batch.index, targets, {.lambda = lambda});
    if (step % 200 == 0 || step == steps - 1) std::printf("step %4d  loss %.4f\n", step, loss.item());
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  }
  NoGrad no_grad;
  data::Batch test = data::digits().test().batch(359).next();
  return 100 * mean(to(argmax(model(test.image), -1) == test.label, f32)).item();
}

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 1000;
  Generator generator(/*seed=*/0);
  data::Batch digits = data::digits().train().batch(2000).next();
  methods::NoisyLabels labels = methods::inject_symmetric(digits.label, 0.4, 10, generator);
  std::printf("cross-entropy alone\n");
  double plain = fit(digits.image, labels, /*lambda=*/0, steps);
  std::printf("with early-learning regularisation\n");
  double regularised = fit(digits.image, labels, /*lambda=*/3, steps);
  std::printf("%.0f %% wrong labels in training; of the test images, right without ELR: %.1f %%, with it: %.1f %%\n", 100 * labels.rate(),
              plain, regularised);
}
