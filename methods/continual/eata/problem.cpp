// Data, corruptions and the source network.
#include "methods/continual/eata/problem.h"

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/step_batches.h"
#include "methods/common/image_sets.h"
#include "models/augment/corruption.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/activation.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::methods::eata {

Tensor SmallNet::operator()(const Tensor& x) const {
  Tensor h = max_pool2d(relu(norm1(conv1(x))), 2);
  h = max_pool2d(relu(norm2(conv2(h))), 2);
  return head(flatten(h, 1));
}

namespace {

struct Images {
  std::string name;
  data::Dataset train, test;
};

Images load(bool small) {
  if (!small && images_there("fashion_mnist")) return {"Fashion-MNIST", data::fashion_mnist().train(), data::fashion_mnist().test()};
  if (!small && images_there("mnist")) return {"MNIST", data::mnist().train(), data::mnist().test()};
  return {"digits", data::digits().train(), data::digits().test()};
}

/// Up to `count` examples in a random order, from the one at place `first` of another random order on.
data::Dataset drawn(const data::Dataset& from, const std::vector<int64_t>& order, int64_t first, int64_t count) {
  int64_t n = from.size(), begin = std::min(first, n), end = std::min(first + count, n);
  return from.subset({order.begin() + begin, order.begin() + end});
}

Part part_of(const data::Dataset& from, const std::string& name) {
  std::vector<int64_t> order = data::random_order(from.size(), default_generator());
  data::Batch all = from.subset(std::move(order)).batch(from.size()).next();
  return {name, all.image, all.label};
}

SmallNet trained(const data::Dataset& images, int64_t side, int64_t steps, Cell& cell) {
  SmallNet net(side);
  optim::AdamW adamw(net.parameters(), {.lr = 3e-3, .weight_decay = 1e-4});
  optim::Schedule schedule = optim::cosine_with_warmup(steps / 10, steps);
  data::StepBatches batches(images, {.batch = 64, .seed = default_generator().next_u64()});
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    adamw.set_lr_scale(schedule(step));
    adamw.zero_grad();
    cross_entropy(net(batch.image), batch.label).backward();
    adamw.step();
    if (step % 10 == 0) cell.progress(0);
  }
  net.eval();
  return net;
}

/// The six corruptions of the stream, each at one strong severity; blocks and windows fit the image's side.
std::vector<Part> shifted(const data::Dataset& images, int64_t side, size_t kinds) {
  Generator& g = default_generator();
  int64_t window = side >= 16 ? 5 : 3, block = side >= 16 ? 4 : 2;
  std::vector<Part> parts;
  for (const char* name : {"Gaussian noise", "impulse noise", "contrast", "blur", "brightness", "pixelate"}) {
    if (parts.size() == kinds) break;
    Part part = part_of(images, name);
    switch (parts.size()) {
      case 0: part.images = augment::gaussian_noise(part.images, 0.5, g); break;
      case 1: part.images = augment::impulse_noise(part.images, 0.25, g); break;
      case 2: part.images = augment::reduce_contrast(part.images, 0.25); break;
      case 3: part.images = augment::box_blur(part.images, window); break;
      case 4: part.images = augment::brighten(part.images, 0.4); break;
      default: part.images = augment::pixelate(part.images, block);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

Problem make_problem(Cell& cell) {
  Images images = load(cell.budget() == Budget::smoke);
  Generator& g = default_generator();
  int64_t trains = cell.pick<int64_t>(768, 10'000, 50'000), tests = cell.pick<int64_t>(192, 2000, 10'000);
  int64_t held_out = cell.pick<int64_t>(128, 512, 4096), steps = cell.pick<int64_t>(60, 640, 4000);
  std::vector<int64_t> train_order = data::random_order(images.train.size(), g), test_order = data::random_order(images.test.size(), g);
  held_out = std::min(held_out, images.train.size() / 4);
  data::Dataset kept = drawn(images.train, train_order, 0, held_out), training = drawn(images.train, train_order, held_out, trains);
  data::Dataset test = drawn(images.test, test_order, 0, tests);
  int64_t side = images.train[0].image.size(1);

  SmallNet net = trained(training, side, steps, cell);
  SmallNet measured = net;
  Tensor clean = part_of(drawn(training, data::random_order(training.size(), g), 0, 512), "").images;
  FisherDiagonal fisher = eata_fisher(measured, [&](const Tensor& x) { return measured(x); }, clean);
  Part held_out_clean = part_of(kept, "clean"), held_out_shift = part_of(kept, "shot noise");
  held_out_shift.images = augment::shot_noise(held_out_shift.images, 3, g);
  return {images.name,
          std::move(net),
          std::move(fisher),
          part_of(test, "clean"),
          shifted(test, side, cell.pick<size_t>(3, 6, 6)),
          std::move(held_out_clean),
          std::move(held_out_shift)};
}

}  // namespace plumb::methods::eata
