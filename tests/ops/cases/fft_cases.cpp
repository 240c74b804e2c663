// Rows of Fourier transforms and of complex arithmetic.
#include "ops/fft.h"

#include "ops/complex.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> fft_cases() {
  using T = const Tensor&;
  const InputSpec complex = real({3, 4, 2}), plane = real({3, 4});
  return {
      {"fft",
       {complex},
       [](T x) {
         return std::vector<Tensor>{square(fft(x)), ifft(x, 0)};
       }},
      {"fft cut and filled",
       {complex},
       [](T x) {
         return std::vector<Tensor>{square(fft(x, 0, {.n = 2})), ifft(x, -1, {.n = 5, .norm = FftNorm::ortho})};
       }},
      {"fft of a prime length", {real({17, 2})}, [](T x) { return square(fft(x, 0, {.norm = FftNorm::forward})); }, false, 16},
      {"rfft",
       {plane},
       [](T x) {
         return std::vector<Tensor>{square(rfft(x)), square(rfft(x, 0)), rfft(x, -1, {.n = 6})};
       }},
      {"irfft",
       {complex},
       [](T x) {
         return std::vector<Tensor>{square(irfft(x)), square(irfft(x, 0, {.n = 5})), irfft(x, 1, {.n = 3})};
       }},
      {"fftn",
       {real({2, 3, 2, 2})},
       [](T x) {
         return std::vector<Tensor>{square(fftn(x)), ifftn(x, {.dims = {0, 2}, .norm = FftNorm::ortho})};
       },
       false,
       16},
      {"rfftn",
       {real({2, 3, 4})},
       [](T x) {
         return std::vector<Tensor>{square(rfftn(x)), rfftn(x, {.dims = {2, 1}})};
       },
       false,
       16},
      {"irfftn",
       {real({2, 3, 3, 2})},
       [](T x) {
         return std::vector<Tensor>{square(irfftn(x)), irfftn(x, {.dims = {0, 1}, .sizes = {2, 4}})};
       },
       false,
       16},
      {"fft2",
       {complex},
       [](T x) {
         return std::vector<Tensor>{square(fft2(x)), ifft2(x, FftNorm::forward)};
       },
       false,
       16},
      {"rfft2", {plane}, [](T x) { return square(rfft2(x)); }, false, 16},
      {"irfft2", {complex}, [](T x) { return square(irfft2(x)); }},
      {"fftshift",
       {plane},
       [](T x) {
         return std::vector<Tensor>{fftshift(x), ifftshift(x, {0})};
       }},
      {"complex_mul", {complex, real({4, 2})}, [](T x, T y) { return complex_mul(x, y); }},
      {"complex_mul_conj", {real({4, 2}), complex}, [](T x, T y) { return complex_mul_conj(x, y); }},
      {"complex_conj", {complex}, [](T x) { return square(complex_conj(x)); }},
      {"complex_abs", {within(0.3, 2, {3, 4, 2})}, [](T x) { return complex_abs(x); }},
  };
}

}  // namespace plumb::testing
