// A small convolutional network learns to read handwritten digits: MNIST's, or without its files the 1,797 that the library carries.
//   mnist [steps] [directory with MNIST's files, from `plumb data fetch mnist`]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>

using namespace plumb;

struct Cnn : nn::Module {
  nn::Conv2d first{this, "first", 1, 16, 3, {.padding = 1}};
  nn::Conv2d second{this, "second", 16, 32, 3, {.padding = 1}};
  nn::Linear classes;

  /// For images [B, 1, side, side]; each pooling halves the side.
  explicit Cnn(int64_t side) : classes(this, "classes", 32 * (side / 4) * (side / 4), 10) {}

  Tensor operator()(const Tensor& x) const {
    Tensor h = max_pool2d(relu(first(x)), 2);
    h = max_pool2d(relu(second(h)), 2);
    return classes(flatten(h, 1));
  }
};

/// The share of right answers, in percent.
double accuracy(const Cnn& model, const data::Dataset& images) {
  NoGrad no_grad;
  double right = 0;
  for (const auto& batch : images.batch(500)) right += sum(to(argmax(model(batch.image), -1) == batch.label, f32)).item();
  return 100 * right / static_cast<double>(images.size());
}

int main(int argc, char** argv) try {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 300;
  data::DatasetParts digits = argc > 2 ? data::mnist(argv[2]) : data::digits();
  data::Dataset train = digits.train();

  manual_seed(0);
  Cnn model(train[0].image.size(-1));
  optim::AdamW adamw(model.parameters(), {.lr = 2e-3});
  auto batches = train.shuffle({.seed = 0}).batch(64, {.workers = 1});
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = batches.next();  // goes on with the next epoch after the last batch
    Tensor loss = cross_entropy(model(batch.image), batch.label);
    if (step % 50 == 0 || step == steps - 1) std::printf("step %3d  loss %.4f\n", step, loss.item());
    adamw.zero_grad();
    loss.backward();
    adamw.step();
  }
  std::printf("%.1f %% of the test images read right\n", accuracy(model, digits.test()));
} catch (const Error& e) {
  std::fprintf(stderr, "mnist: %s\n", e.what());
  return 2;
}
