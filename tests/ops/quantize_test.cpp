// Fake quantisation against plain loops. Differences do not see a gradient that passes straight through rounding: it is tested against its
// definition, element by element.
#include "ops/quantize.h"

#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// Halves to even, by hand.
double nearest(double v) {
  double low = std::floor(v), part = v - low;
  if (part != 0.5) return part < 0.5 ? low : low + 1;
  return std::fmod(low, 2) == 0 ? low : low + 1;
}

// Computed in double from values that the type holds; f32 and below divide in f32.
double ratio_of(double x, double s, DType t) {
  return t == f64 ? x / s : static_cast<double>(static_cast<float>(x) / static_cast<float>(s));
}
double plus(double a, double b, DType t) { return t == f64 ? a + b : static_cast<double>(static_cast<float>(a) + static_cast<float>(b)); }

struct Grid {
  int64_t low, high;
};

// y and the mask of fake quantisation; channel(i) gives an element's scale and zero point.
struct Expected {
  std::vector<double> y, mask;
};
template <typename Channel>
Expected expected(const Tensor& x, Grid grid, Channel&& channel) {
  Expected e;
  std::vector<double> v = to_vector(x);
  for (size_t i = 0; i < v.size(); ++i) {
    auto [s, z] = channel(i);
    double q = nearest(plus(ratio_of(v[i], s, x.dtype()), z, x.dtype()));
    e.mask.push_back(q >= static_cast<double>(grid.low) && q <= static_cast<double>(grid.high));
    q = std::min(std::max(q, static_cast<double>(grid.low)), static_cast<double>(grid.high));
    e.y.push_back((q - z) * s);
  }
  return e;
}

double precision(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == bf16 ? 0x1p-8 : 0x1p-11; }

struct Channel {
  double scale, zero;
};

}  // namespace

TEST_CASE("round_ste: rounds halves to even, and is the identity to the derivative") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor x = tensor({-2.5, -1.5, -0.5, 0.5, 0.75, 1.5, 2.5}, t).requires_grad_();
    Tensor y = round_ste(x);
    CHECK(y.dtype() == t);
    CHECK(to_vector(y) == std::vector<double>{-2, -2, 0, 0, 1, 2, 2});
    Tensor dy = sample({7}, 1, t);
    CHECK(same_bits(grad({y}, {x}, {}, {dy})[0], dy));
  }
  Tensor x = tensor({1.3, -0.2}, f64).requires_grad_();  // d(round(x)²) = 2 round(x), and again 2
  Tensor first = grad({square(round_ste(x))}, {x}, {.create_graph = true}, {ones({2}, f64)})[0];
  CHECK(to_vector(first) == std::vector<double>{2, 0});
  CHECK(to_vector(grad({first}, {x}, {}, {ones({2}, f64)})[0]) == std::vector<double>{2, 2});
  CHECK_THROWS_AS(round_ste(tensor({1, 2})), DTypeError);
}

TEST_CASE("fake_quantize_per_tensor_affine: values and gradients by the definition, in every type, for any strides") {
  for (DType t : {f64, f32, bf16, f16})
    for (Channel c : {Channel{0.125, 0}, Channel{0.1, 3}, Channel{0.037, -20}})
      for (Grid grid : {Grid{-8, 7}, Grid{0, 15}, Grid{-128, 127}}) {
        c.zero = std::min(std::max(c.zero, static_cast<double>(grid.low)), static_cast<double>(grid.high));
        double s = t == f64 ? c.scale : static_cast<double>(static_cast<float>(c.scale));
        Tensor x = strided(sample({37, 53}, 3, t)).detach().requires_grad_();
        Expected e = expected(x, grid, [&](size_t) { return Channel{s, c.zero}; });
        Tensor y = fake_quantize_per_tensor_affine(x, c.scale, static_cast<int64_t>(c.zero), grid.low, grid.high);
        CHECK(y.dtype() == t);
        CHECK(difference(y, from_vector(e.y, x.shape())) <= precision(t));
        Tensor dy = sample(x.shape(), 4, t), expected_dx = dy * to(from_vector(e.mask, x.shape()), t);
        CHECK(difference(grad({y}, {x}, {.retain_graph = true}, {dy})[0], expected_dx) == 0);
        CHECK(difference(grad({y}, {x}, {.create_graph = true}, {dy})[0], expected_dx) == 0);
      }
}

TEST_CASE("fake_quantize_per_channel_affine: each place along the axis has its own scale and zero point") {
  const Grid grid{-8, 7};
  for (DType t : {f64, f32, bf16, f16})
    for (int axis : {0, 1, -1}) {
      Tensor x = sample({4, 5, 6}, 7, t).requires_grad_();
      int64_t n = x.size(axis), inner = axis == 0 ? 30 : axis == 1 ? 6 : 1;
      Tensor scale = sample({n}, 8, f32, 0.05, 0.4), zero = to(round(sample({n}, 9, f64, -3, 3)), axis == 0 ? i32 : i64);
      std::vector<double> s = to_vector(scale), z = to_vector(zero);
      Expected e = expected(x, grid, [&](size_t i) {
        size_t c = i / static_cast<size_t>(inner) % static_cast<size_t>(n);
        return Channel{s[c], z[c]};
      });
      Tensor y = fake_quantize_per_channel_affine(x, scale, zero, axis, grid.low, grid.high);
      CHECK(difference(y, from_vector(e.y, x.shape())) <= precision(t));
      Tensor dy = sample(x.shape(), 4, t), expected_dx = dy * to(from_vector(e.mask, x.shape()), t);
      CHECK(difference(grad({y}, {x}, {.retain_graph = true}, {dy})[0], expected_dx) == 0);
      CHECK(difference(grad({y}, {x}, {.create_graph = true}, {dy})[0], expected_dx) == 0);
    }
}

TEST_CASE("fake_quantize: second derivatives, NaN, infinities, zero sizes") {
  Tensor x = tensor({0.3, 0.7, 5.0}, f64).requires_grad_();  // on the grid of halves up to 1: 0.5, 0.5, 1
  Tensor dy = tensor({1.0, 2.0, 3.0}, f64).requires_grad_();
  Tensor dx = grad({fake_quantize_per_tensor_affine(x, 0.5, 0, -2, 2)}, {x}, {.create_graph = true}, {dy})[0];
  CHECK(to_vector(dx) == std::vector<double>{1, 2, 0});
  auto second = grad({dx}, {dy, x}, {.allow_unused = true}, {ones({3}, f64)});
  CHECK(to_vector(second[0]) == std::vector<double>{1, 1, 0});
  CHECK(!second[1].defined());  // the mask is constant
  std::vector<double> y = to_vector(fake_quantize_per_tensor_affine(tensor({NAN, INFINITY, -INFINITY}), 0.5, 0, -2, 2));
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == 1);
  CHECK(y[2] == -1);
  Tensor none = zeros({0, 3}).requires_grad_();
  sum(fake_quantize_per_channel_affine(none, ones({3}), zeros({3}, i64), 1, 0, 15)).backward();
  CHECK(none.grad().shape() == Shape{0, 3});
  CHECK(fake_quantize_per_tensor_affine(scalar_tensor(0.4, f32), 0.25, 0, 0, 15).item() == 0.5);
}

namespace {

// Learned step size by its definition: y, dx, and ds for each step, given dy.
struct Lsq {
  std::vector<double> y, dx, ds;
};
Lsq lsq(const Tensor& x, const std::vector<double>& steps, size_t inner, const Tensor& gradient, Grid grid, double gradient_scale) {
  std::vector<double> v = to_vector(x), dy = to_vector(gradient);
  double low = static_cast<double>(grid.low), high = static_cast<double>(grid.high);
  Lsq e{{}, {}, std::vector<double>(steps.size())};
  for (size_t i = 0; i < v.size(); ++i) {
    size_t c = i / inner % steps.size();
    double r = ratio_of(v[i], steps[c], x.dtype());
    bool inside = r > low && r < high;
    e.y.push_back(nearest(std::min(std::max(r, low), high)) * steps[c]);
    e.dx.push_back(inside ? dy[i] : 0);
    e.ds[c] += gradient_scale * dy[i] * (inside ? nearest(r) - r : r <= low ? low : high);
  }
  return e;
}

}  // namespace

TEST_CASE("learned_step_quantize: values and gradients by the definition, per tensor and per channel") {
  const Grid grids[] = {{-4, 3}, {0, 7}};
  for (DType t : {f64, f32, bf16, f16})
    for (Grid grid : grids)
      for (int axis : {-9, 0, 1})  // −9: one step
        for (bool scaled : {true, false}) {
          Tensor x = strided(sample({30, 700}, 5, t)).detach().requires_grad_(), dy = sample({30, 700}, 6, t);
          Tensor step = axis == -9 ? scalar_tensor(0.3, t == f64 ? f64 : f32) : sample({x.size(axis)}, 7, t == f64 ? f64 : f32, 0.1, 0.5);
          step.requires_grad_();
          double sharing = static_cast<double>(x.numel() / step.numel()),
                 scale = scaled ? 1 / std::sqrt(sharing * static_cast<double>(grid.high)) : 1;
          Lsq e = lsq(x, to_vector(step), axis == 0 ? 700 : 1, dy, grid, scale);
          Tensor y = learned_step_quantize(
              x, step, {.quant_min = grid.low, .quant_max = grid.high, .axis = std::max(axis, 0), .scale_gradient = scaled});
          CHECK(y.dtype() == t);
          CHECK(difference(y, from_vector(e.y, x.shape())) <= precision(t));
          for (bool graph : {false, true}) {
            auto g = grad({y}, {x, step}, {.create_graph = graph, .retain_graph = true}, {dy});
            CHECK(difference(g[0], from_vector(e.dx, x.shape())) == 0);
            CHECK(g[1].dtype() == step.dtype());
            // products of size up to 14, summed in the step's type
            double terms = scale * std::sqrt(sharing) * 14;
            CHECK(difference(g[1], from_vector(e.ds, step.shape())) <= 8 * (t == f64 ? 0x1p-52 : 0x1p-23) * std::max(1.0, terms));
          }
        }
}

TEST_CASE("learned_step_quantize: what stands on the edge of the range, N of the user's choice, and second derivatives") {
  Tensor x = tensor({-0.5, -0.25, 0.1, 0.25, 0.5}, f64).requires_grad_(), step = scalar_tensor(0.25, f64).requires_grad_();
  Tensor y = learned_step_quantize(x, step, {.quant_min = -1, .quant_max = 1, .scale_gradient = false});
  CHECK(to_vector(y) == std::vector<double>{-0.25, -0.25, 0, 0.25, 0.25});
  Tensor dy = tensor({1.0, 10.0, 100.0, 1000.0, 10000.0}, f64).requires_grad_();
  auto first = grad({y}, {x, step}, {.create_graph = true}, {dy});
  CHECK(to_vector(first[0]) == std::vector<double>{0, 0, 100, 0, 0});
  CHECK(first[1].item() == doctest::Approx(-1 - 10 - 40 + 1000 + 10000).epsilon(1e-14));
  auto second = grad({first[0], first[1]}, {dy, x, step}, {.allow_unused = true}, {ones({5}, f64), scalar_tensor(2.0, f64)});
  CHECK(difference(second[0], tensor({-2.0, -2.0, 1 - 0.8, 2.0, 2.0}, f64)) < 1e-15);
  CHECK(!second[1].defined());
  CHECK(!second[2].defined());
  Tensor wide = learned_step_quantize(x, step, {.quant_min = -1, .quant_max = 4, .elements = 9});
  double plain =
      grad({learned_step_quantize(x, step, {.quant_min = -1, .quant_max = 4, .scale_gradient = false})}, {step}, {}, {ones({5}, f64)})[0]
          .item();
  CHECK(grad({wide}, {step}, {}, {ones({5}, f64)})[0].item() == doctest::Approx(plain / 6).epsilon(1e-14));
  Tensor none = zeros({2, 0}).requires_grad_(), steps = ones({2}).requires_grad_();
  sum(learned_step_quantize(none, steps)).backward();
  CHECK(to_vector(steps.grad()) == std::vector<double>{0, 0});
}

TEST_CASE("learned_step_quantize: descent finds a good step") {
  // Numbers spread evenly over [−1, 1] on 8 places −4 s … 3 s: they fit best where the ends −4.5 s and 3.5 s reach a little beyond.
  Tensor x = sample({4096}, 11, f64, -1, 1), step = scalar_tensor(0.05, f64).requires_grad_();
  auto loss_at = [&] {
    return mean(square(learned_step_quantize(x, step, {.quant_min = -4, .quant_max = 3, .scale_gradient = false}) - x));
  };
  double start = loss_at().item();
  for (int i = 0; i < 300; ++i) {
    Tensor g = grad({loss_at()}, {step})[0];
    NoGrad off;
    sub_(step, g * 0.05);
  }
  CHECK(loss_at().item() < start / 20);
  CHECK(step.item() == doctest::Approx(2.0 / 7.5).epsilon(0.1));
}

TEST_CASE("learned_step_quantize: the same bits for any number of threads") {
  int before = num_threads();
  for (int axis : {-1, 0, 2}) {
    Tensor x = sample({3, 70, 1030}, 1, f32).requires_grad_(),
           step = axis < 0 ? scalar_tensor(0.2, f32) : sample({x.size(axis)}, 2, f32, 0.1, 0.3);
    step.requires_grad_();
    Tensor dx, ds;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      auto g = gradients(learned_step_quantize(x, step, {.quant_min = -8, .quant_max = 7, .axis = std::max(axis, 0)}), {x, step}, false);
      if (threads == 1) dx = g[0], ds = g[1];
      CHECK(same_bits(g[0], dx));
      CHECK(same_bits(g[1], ds));
    }
  }
  set_num_threads(before);
}

TEST_CASE("quantize: bad input is named") {
  Tensor x = zeros({2, 3}), scale = ones({3}), zero = zeros({3}, i64);
  CHECK_THROWS_WITH_AS(fake_quantize_per_tensor_affine(x, 0, 0, 0, 255),
                       "fake_quantize_per_tensor_affine: the scale is 0, not positive and finite", ValueError);
  CHECK_THROWS_AS(fake_quantize_per_tensor_affine(x, -1, 0, 0, 255), ValueError);
  CHECK_THROWS_AS(fake_quantize_per_tensor_affine(x, 1e-60, 0, 0, 255), ValueError);  // 0 in f32
  CHECK_THROWS_AS(fake_quantize_per_tensor_affine(x, NAN, 0, 0, 255), ValueError);
  CHECK_THROWS_WITH_AS(fake_quantize_per_tensor_affine(x, 1, 0, 7, 7),
                       "fake_quantize_per_tensor_affine: quant_min 7 is not below quant_max 7", ValueError);
  CHECK_THROWS_WITH_AS(fake_quantize_per_tensor_affine(x, 1, 256, 0, 255),
                       "fake_quantize_per_tensor_affine: the zero point 256 is outside [0, 255]", ValueError);
  CHECK_THROWS_AS(fake_quantize_per_tensor_affine(zero, 1, 0, 0, 255), DTypeError);
  const char* sizes = "fake_quantize_per_channel_affine: the scale [3] must be a vector of x's size along dimension 0 of [2, 3]";
  CHECK_THROWS_WITH_AS(fake_quantize_per_channel_affine(x, scale, zero, 0, 0, 15), sizes, ShapeError);
  CHECK_THROWS_AS(fake_quantize_per_channel_affine(x, scale, zeros({2}, i64), 1, 0, 15), ShapeError);
  CHECK_THROWS_AS(fake_quantize_per_channel_affine(x, scale, zero, 2, 0, 15), IndexError);
  CHECK_THROWS_WITH_AS(fake_quantize_per_channel_affine(x, scale, scale, 1, 0, 15),
                       "fake_quantize_per_channel_affine: zero points are i64 or i32, not f32", DTypeError);
  CHECK_THROWS_WITH_AS(fake_quantize_per_channel_affine(x, tensor({1.0, -0.5, 1.0}), zero, 1, 0, 15),
                       "fake_quantize_per_channel_affine: the scale of channel 1 is -0.5, not positive and finite", ValueError);
  CHECK_THROWS_AS(fake_quantize_per_channel_affine(x, scale, zero, 1, 1, 15), ValueError);  // the zero point 0 is not on the grid
  CHECK_THROWS_WITH_AS(learned_step_quantize(x, scalar_tensor(-1.0, f32)),
                       "learned_step_quantize: the step is -1, not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(learned_step_quantize(x, scale),
                       "learned_step_quantize: the step [3] must be a vector of x's size along dimension 0 of [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(learned_step_quantize(x, ones({}), {.quant_min = 1, .quant_max = 3}),
                       "learned_step_quantize: 0 must be on the grid and below its end, which is [1, 3]", ValueError);
  CHECK_THROWS_AS(learned_step_quantize(x, ones({}), {.quant_min = 3, .quant_max = 1}), ValueError);
  CHECK_THROWS_AS(learned_step_quantize(x, ones({}), {.elements = -1}), ValueError);
  CHECK_THROWS_AS(learned_step_quantize(x, ones({}, i64)), DTypeError);
}
