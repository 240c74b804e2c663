// Fits y = x · w + b to noisy points by gradient descent: the smallest whole training program.
#include <plumb/plumb.h>

#include <cstdio>

using namespace plumb;

/// [rows, columns] of numbers spread evenly over [−1, 1).
Tensor uniform_points(int64_t rows, int64_t columns, Generator& generator) {
  std::vector<float> values(rows * columns);
  for (float& v : values) v = static_cast<float>(2 * generator.next_double() - 1);
  return from_vector(values, {rows, columns});
}

int main() {
  Generator generator(/*seed=*/0);
  Tensor x = uniform_points(256, 2, generator);
  Tensor noise = uniform_points(256, 1, generator);
  Tensor y = matmul(x, tensor({{2.0}, {-3.0}})) + 0.5 + 0.05 * noise;

  nn::Linear line(2, 1);
  optim::SGD sgd(line.parameters(), {.lr = 0.5, .momentum = 0.5});
  for (int step = 0; step < 200; ++step) {
    Tensor loss = mean(square(line(x) - y));
    if (step % 40 == 0) std::printf("step %3d  loss %.6f\n", step, loss.item());
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  }
  std::vector<double> weight = to_vector(line.weight);
  std::printf("y = %.2f x0 %+.2f x1 %+.2f\n", weight[0], weight[1], line.bias.item());
}
