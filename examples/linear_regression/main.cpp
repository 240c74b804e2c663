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

  Tensor w = zeros({2, 1}).requires_grad_(), b = zeros({1}).requires_grad_();
  for (int step = 0; step < 200; ++step) {
    Tensor loss = mean(square(matmul(x, w) + b - y));
    if (step % 40 == 0) std::printf("step %3d  loss %.6f\n", step, loss.item());
    w.zero_grad();
    b.zero_grad();
    loss.backward();
    NoGrad no_grad;
    sub_(w, 0.5 * w.grad());
    sub_(b, 0.5 * b.grad());
  }
  std::vector<double> weights = to_vector(w);
  std::printf("y = %.2f x0 %+.2f x1 %+.2f\n", weights[0], weights[1], b.item());
}
