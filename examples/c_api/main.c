/* Fits y = x · w + b to points by gradient descent, in C. The first argument is the number of steps. */
#include <plumb/capi/plumb.h>
#include <stdio.h>
#include <stdlib.h>

enum { kPoints = 64 };

/* Every call that can fail gives a status; what was wrong is said by plumb_last_error. */
static void check(plumb_status status) {
  if (status == PLUMB_OK) return;
  fprintf(stderr, "c_api: %s\n", plumb_last_error());
  exit(2);
}

static double item(const plumb_tensor* x) {
  double value;
  check(plumb_item(x, &value));
  return value;
}

/* One weight's step against its gradient. */
static void descend(plumb_tensor* weight, double rate) {
  plumb_tensor* gradient;
  check(plumb_grad(weight, &gradient));
  check(plumb_add_scaled(weight, -rate, gradient));
  check(plumb_zero_grad(weight));
  plumb_free(gradient);
}

int main(int argc, char** argv) {
  int steps = argc > 1 ? atoi(argv[1]) : 200, step, i;
  float xs[2 * kPoints], ys[kPoints];
  int64_t points[] = {kPoints, 2}, column[] = {kPoints, 1}, weights[] = {2, 1}, one[] = {1};
  plumb_tensor *x, *y, *w, *b;
  for (i = 0; i < kPoints; ++i) {
    xs[2 * i] = (float)(i % 8) / 4 - 1;
    xs[2 * i + 1] = (float)(i / 8) / 4 - 1;
    ys[i] = 2 * xs[2 * i] - 3 * xs[2 * i + 1] + 0.5f;
  }
  check(plumb_from_data(xs, 2, points, PLUMB_F32, &x));
  check(plumb_from_data(ys, 2, column, PLUMB_F32, &y));
  check(plumb_zeros(2, weights, PLUMB_F32, &w));
  check(plumb_zeros(1, one, PLUMB_F32, &b));
  check(plumb_requires_grad(w, 1));
  check(plumb_requires_grad(b, 1));

  for (step = 0; step < steps; ++step) {
    plumb_tensor *product, *line, *error, *square, *loss;
    check(plumb_matmul(x, w, &product));
    check(plumb_add(product, b, &line));
    check(plumb_sub(line, y, &error));
    check(plumb_square(error, &square));
    check(plumb_mean(square, &loss));
    check(plumb_backward(loss));
    if (step % (steps / 5 > 0 ? steps / 5 : 1) == 0) printf("step %3d  loss %.6f\n", step, item(loss));
    descend(w, 0.5);
    descend(b, 0.5);
    plumb_free(product), plumb_free(line), plumb_free(error), plumb_free(square), plumb_free(loss);
  }
  {
    void* found;
    check(plumb_data(w, &found));
    printf("y = %.2f x0 %+.2f x1 %+.2f\n", ((float*)found)[0], ((float*)found)[1], item(b));
  }
  plumb_free(x), plumb_free(y), plumb_free(w), plumb_free(b);
  return 0;
}
