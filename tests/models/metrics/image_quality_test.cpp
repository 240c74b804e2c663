// PSNR, SSIM and normalised error against plain loops, and their derivatives.
#include "models/metrics/image_quality.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::metrics;

namespace {

// SSIM of one channel of one image by its definition.
double reference(const std::vector<double>& a, const std::vector<double>& b, int height, int width, int window, double sigma,
                 double range) {
  double total = 0, c1 = std::pow(0.01 * range, 2), c2 = std::pow(0.03 * range, 2);
  int places = 0, n = window * window;
  for (int r = 0; r + window <= height; ++r)
    for (int c = 0; c + window <= width; ++c, ++places) {
      double weights = 0, ma = 0, mb = 0, va = 0, vb = 0, vab = 0;
      auto each = [&](auto&& f) {
        for (int i = 0; i < window; ++i)
          for (int j = 0; j < window; ++j) {
            double di = i - window / 2, dj = j - window / 2, w = sigma > 0 ? std::exp(-(di * di + dj * dj) / (2 * sigma * sigma)) : 1;
            f(w, a[static_cast<size_t>((r + i) * width + c + j)], b[static_cast<size_t>((r + i) * width + c + j)]);
          }
      };
      each([&](double w, double x, double y) { weights += w, ma += w * x, mb += w * y; });
      ma /= weights, mb /= weights;
      each([&](double w, double x, double y) {
        va += w * (x - ma) * (x - ma), vb += w * (y - mb) * (y - mb), vab += w * (x - ma) * (y - mb);
      });
      double divisor = sigma > 0 ? weights : n - 1;
      va /= divisor, vb /= divisor, vab /= divisor;
      total += (2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
  return total / places;
}

}  // namespace

TEST_CASE("ssim: the definition in plain loops, with equal and with Gaussian weights, over channels and images") {
  Tensor a = test::sample({2, 3, 12, 9}, 1, f64, 0, 2), b = a + test::sample({2, 3, 12, 9}, 2, f64, -0.3, 0.3);
  for (double sigma : {0.0, 1.5}) {
    SsimOptions o{.range = 2, .window = sigma > 0 ? 9 : 7, .sigma = sigma};
    std::vector<double> found = to_vector(ssim(a, b, o));
    REQUIRE(found.size() == 2);
    for (int64_t i = 0; i < 2; ++i) {
      double expected = 0;
      for (int64_t c = 0; c < 3; ++c)
        expected += reference(to_vector(select(select(a, 0, i), 0, c)), to_vector(select(select(b, 0, i), 0, c)), 12, 9,
                              static_cast<int>(o.window), sigma, 2) /
                    3;
      CHECK(found[static_cast<size_t>(i)] == doctest::Approx(expected).epsilon(1e-10));
    }
  }
}

TEST_CASE("ssim: 1 for equal images, symmetric, f32 near f64, one image without batch") {
  Tensor a = test::sample({10, 11}, 3, f64, 0, 1), b = test::sample({10, 11}, 4, f64, 0, 1);
  CHECK(ssim(a, a).item() == doctest::Approx(1).epsilon(1e-12));
  CHECK(ssim(a, b).item() == doctest::Approx(ssim(b, a).item()).epsilon(1e-12));
  CHECK(ssim(a, b).item() < 0.5);
  CHECK(ssim(to(a, f32), to(b, f32)).item() == doctest::Approx(ssim(a, b).item()).epsilon(1e-4));
  CHECK(ssim(full({8, 8}, 0.5), full({8, 8}, 0.25)).item() ==
        doctest::Approx((0.25 + 1e-4) / (0.3125 + 1e-4)).epsilon(3e-4));  // constant images
}

TEST_CASE("ssim: differentiable") {
  Tensor a = test::sample({1, 1, 8, 8}, 5, f64, 0, 1), b = test::sample({1, 1, 8, 8}, 6, f64, 0, 1);
  CHECK(test::derivative_error([&](const Tensor& x) { return ssim(x, b); }, a) < 1e-5);
}

TEST_CASE("psnr and nmse: one number an image") {
  Tensor b = ones({2, 1, 4, 4});
  CHECK(to_vector(psnr(b, b)) == std::vector<double>{INFINITY, INFINITY});
  Tensor c = b + reshape(tensor({0.1, 0.01}, f64), {2, 1, 1, 1});
  CHECK(to_vector(psnr(c, to(b, f64)))[0] == doctest::Approx(20));
  CHECK(to_vector(psnr(c, to(b, f64)))[1] == doctest::Approx(40));
  CHECK(to_vector(psnr(c, to(b, f64), 255))[0] == doctest::Approx(20 + 20 * std::log10(255.0)));
  CHECK(to_vector(nmse(c, to(b, f64)))[0] == doctest::Approx(0.01));
  CHECK(nmse(full({3, 3}, 3), full({3, 3}, 2)).item() == doctest::Approx(0.25));
}

TEST_CASE("image quality: bad input is named") {
  CHECK_THROWS_WITH_AS(psnr(zeros({4, 4}), zeros({4, 5})), "psnr: takes two sets of images [B, C, H, W] or [H, W], got [4, 4] and [4, 5]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(psnr(zeros({4, 4}), zeros({4, 4}), 0), "psnr: the range must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(ssim(zeros({4, 9}), zeros({4, 9})), "ssim: images [4, 9] are smaller than the window of 7", ShapeError);
  CHECK_THROWS_WITH_AS(ssim(zeros({9, 9}), zeros({9, 9}), {.window = 4}), "ssim: the window must be odd, it is 4", ValueError);
}
