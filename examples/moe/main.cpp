// A mixture of experts reads digits: a gate sends each image to two of eight small networks, and a second loss keeps them evenly busy.
//   moe [steps]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>

using namespace plumb;

struct Classifier : nn::Module {
  nn::Linear up{this, "up", 64, 64};
  nn::LayerNorm norm{this, "norm", 64};
  moe::MoeFeedForward experts{this, "experts", 64, {.experts = 8, .top_k = 2, .inner = 64}};
  nn::Linear classes{this, "classes", 64, 10};

  struct Output {
    Tensor logits;
    moe::Routing routing;  // which expert saw which image, and what the gate said
  };
  Output operator()(const Tensor& images) const {
    Tensor x = up(flatten(images, 1)), y = norm(x);
    moe::Routing routing = experts.router(y);
    return {classes(x + experts.forward(y, routing)), routing};
  }
};

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 400;
  manual_seed(0);
  Classifier model;
  optim::AdamW adamw(model.parameters(), {.lr = 3e-3});
  auto batches = data::digits().train().shuffle({.seed = 0}).batch(64);
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = batches.next();
    auto [logits, routing] = model(batch.image);
    Tensor loss = cross_entropy(logits, batch.label);
    if (step % 50 == 0 || step == steps - 1) std::printf("step %3d  loss %.4f\n", step, loss.item());
    adamw.zero_grad();
    (loss + 0.01 * moe::load_balance_loss(routing)).backward();
    adamw.step();
  }

  NoGrad no_grad;
  data::Batch test = data::digits().test().batch(359).next();
  auto [logits, routing] = model(test.image);
  std::printf("%.1f %% of the test images read right\nshares of the experts:",
              100 * mean(to(argmax(logits, -1) == test.label, f32)).item());
  for (double share : moe::statistics(routing).share) std::printf(" %.1f %%", 100 * share);
  std::printf("\n");
}
