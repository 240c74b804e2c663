// An operation of one's own, with its derivative: log cosh, a loss that is square for small errors and absolute for large ones. gradcheck
// compares the derivative with finite differences; a line is then fitted to points of which a tenth lie far off.
//   custom_op [steps]
#include <plumb/plumb.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

using namespace plumb;

/// log cosh x = |x| + log(1 + e^(−2|x|)) − log 2, which does not overflow;  d/dx = tanh x. Written in operations, the derivative can
/// itself be differentiated.
Tensor log_cosh(const Tensor& x) {
  return apply(
      "log_cosh", {x}, [](const std::vector<Tensor>& in) { return abs(in[0]) + log1p(exp(-2.0 * abs(in[0]))) - std::log(2.0); },
      [](const BackwardContext& c) -> Grads { return c.gradient() * tanh(c.input()); }, Keep::inputs);
}

int main(int argc, char** argv) try {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 200;
  manual_seed(0);
  Tensor points = randn({20}, {.dtype = f64}) * 3.0;
  gradcheck(log_cosh, {points}).throw_if_failed();
  gradgradcheck(log_cosh, {points}).throw_if_failed();
  std::printf("first and second derivative agree with finite differences\n");

  Tensor x = uniform({200, 1}, -1, 1);
  Tensor y = 2.0 * x + 0.5 + 0.05 * randn({200, 1}) + 20.0 * to(bernoulli({200, 1}, 0.1), f32);  // y = 2x + ½, every tenth 20 too high
  nn::Linear line(1, 1);
  optim::Adam adam(line.parameters(), {.lr = 0.05});
  for (int step = 0; step < steps; ++step) {
    Tensor loss = mean(log_cosh(line(x) - y));
    if (step % 40 == 0 || step == steps - 1) std::printf("step %3d  loss %.4f\n", step, loss.item());
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  std::printf("y = %.2f x %+.2f\n", line.weight.item(), line.bias.item());
} catch (const Error& e) {
  std::fprintf(stderr, "custom_op: %s\n", e.what());
  return 2;
}
