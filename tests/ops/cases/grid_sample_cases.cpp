// Rows of reading at places: coordinates keep away from the places themselves, where the slope has corners.
#include "ops/grid_sample.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> grid_sample_cases() {
  using T = const Tensor&;
  // Corners lie where (g + 1) L / 2 − ½ is a whole number: for L = 4 at odd multiples of ¼, for L = 3 at multiples of ⅔; with aligned
  // corners at multiples of ⅔ − ⅓ and of 1. Mirrors are at ±1.
  auto places = [](const Shape& shape) {
    return within(-1.6, 1.6, shape)
        .away_from({-1.5, -1.33333, -1.25, -1, -0.75, -0.66667, -0.33333, -0.25, 0, 0.25, 0.33333, 0.66667, 0.75, 1, 1.25, 1.33333, 1.5},
                   0.02);
  };
  const InputSpec image = real({2, 2, 3, 4}), grid = places({2, 3, 2, 2});
  auto row = [](const char* name, std::vector<InputSpec> inputs, TensorFunction f) {
    return OpCase{name, std::move(inputs), std::move(f), false, 16};
  };
  return {
      row("grid_sample", {image, grid}, [](T x, T g) { return grid_sample(x, g); }),
      row("grid_sample, aligned corners", {image, grid}, [](T x, T g) { return grid_sample(x, g, {.align_corners = true}); }),
      row("grid_sample, border", {image, grid}, [](T x, T g) { return grid_sample(x, g, {.padding = GridPadding::border}); }),
      row("grid_sample, reflection", {image, grid}, [](T x, T g) { return grid_sample(x, g, {.padding = GridPadding::reflection}); }),
      row("grid_sample, nearest", {image},
          [](T x) {
            return grid_sample(x, full({2, 3, 2, 2}, 0.3, x.dtype(), x.device()), {.mode = Interpolation::nearest});
          }),
      row("grid_sample, bicubic", {image, grid}, [](T x, T g) { return grid_sample(x, g, {.mode = Interpolation::bicubic}); }),
      row("grid_sample, bicubic, reflection", {image, grid},
          [](T x, T g) { return grid_sample(x, g, {.mode = Interpolation::bicubic, .padding = GridPadding::reflection}); }),
      row("grid_sample of volumes", {real({1, 2, 3, 4, 3}), places({1, 2, 2, 2, 3})}, [](T x, T g) { return grid_sample(x, g); }),
      row("affine_grid", {real({2, 2, 3})},
          [](T t) {
            return affine_grid(t, {3, 4});
          }),
      row("affine_grid of volumes", {real({1, 3, 4})},
          [](T t) {
            return affine_grid(t, {2, 3, 4}, true);
          }),
  };
}

}  // namespace plumb::testing
