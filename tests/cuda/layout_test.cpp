// How operands are told to the libraries, checked by computing with what was told: no GPU is needed.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <limits>

#include "cuda/layout/conv.h"
#include "cuda/layout/fft.h"
#include "cuda/layout/product.h"
#include "cuda/layout/tuned_choices.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/kernels/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::cuda_layout;

namespace {

// Element (i, j) of op(X) as a library that stores by columns reads it.
double at(const double* x, const StoredMatrix& m, int64_t i, int64_t j) { return m.transposed ? x[j + i * m.stride] : x[i + j * m.stride]; }

// What cuBLASLt computes from the plan: outᵀ by columns.
void multiply_by_columns(const ProductLayout& p, const double* first, const double* second, double* out) {
  for (int64_t q = 0; q < p.batch; ++q)
    for (int64_t j = 0; j < p.m; ++j)
      for (int64_t i = 0; i < p.n; ++i) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += at(first + q * p.first_batch, p.first, i, k) * at(second + q * p.second_batch, p.second, k, j);
        out[q * p.n * p.m + i + j * p.n] = sum;
      }
}

void check_product(const Tensor& a, const Tensor& b, bool copies_a, bool copies_b) {
  Tensor expected = empty({a.size(0), a.size(1), b.size(2)}, f64), out = empty_like(expected);
  kernel::matmul(cpu, a, b, {}, false, expected);
  ProductPlan plan = plan_product(a, b, false, false, out, false);
  CHECK(plan.copy_a == copies_a);
  CHECK(plan.copy_b == copies_b);
  Tensor x = plan.copy_a ? row_major_copy(a) : a, w = plan.copy_b ? row_major_copy(b) : b;
  plan = plan_product(x, w, false, false, out, false);
  REQUIRE_FALSE((plan.copy_a || plan.copy_b));
  // What the library demands of leading dimensions.
  const ProductLayout& p = plan.layout;
  CHECK(p.first.stride >= (p.first.transposed ? p.k : p.n));
  CHECK(p.second.stride >= (p.second.transposed ? p.m : p.k));
  multiply_by_columns(p, static_cast<const double*>(w.raw_data()), static_cast<const double*>(x.raw_data()), out.data<double>());
  CHECK(amax(abs(out - expected), {0, 1, 2}).item() <= 1e-12);
}

Tensor numbers(const Shape& shape) { return randn(shape, {.dtype = f64}); }

}  // namespace

TEST_CASE("product layout: what is told multiplies as the CPU does, for any strides") {
  manual_seed(3);
  Tensor a = numbers({1, 5, 7}), b = numbers({1, 7, 4});
  check_product(a, b, false, false);
  check_product(mT(numbers({1, 7, 5})), b, false, false);
  check_product(a, mT(numbers({1, 4, 7})), false, false);
  check_product(narrow(numbers({1, 5, 9}), 2, 1, 7), narrow(numbers({1, 7, 6}), 2, 2, 4), false, false);  // gaps between rows
  check_product(numbers({3, 5, 7}), numbers({3, 7, 4}), false, false);
  check_product(transpose(numbers({5, 3, 7}), 0, 1), expand(b, {3, 7, 4}), false, false);                // batches interleaved; one shared
  check_product(slice(numbers({1, 5, 14}), 2, 0, 14, 2), b, true, false);                                // every second column
  check_product(expand(numbers({1, 1, 7}), {1, 5, 7}), b, true, false);                                  // one row five times
  check_product(a, view_of(b, {1, 7, 4}, {28, 4, -1}, 3), false, true);  // columns from the last to the first
}

TEST_CASE("product layout: rows and columns of one, whose strides say nothing") {
  manual_seed(4);
  for (auto [m, k, n] : {std::array<int64_t, 3>{1, 1, 1}, {1, 6, 1}, {1, 1, 6}, {6, 1, 1}, {1, 5, 3}, {5, 1, 3}, {5, 3, 1}}) {
    check_product(numbers({1, m, k}), numbers({1, k, n}), false, false);
    check_product(mT(numbers({1, k, m})), mT(numbers({1, n, k})), false, false);
    check_product(numbers({2, m, k}), numbers({2, k, n}), false, false);
  }
}

TEST_CASE("product layout: keys tell apart what an algorithm may depend on, and nothing else") {
  Tensor a = zeros({1, 8, 16}, bf16), b = zeros({1, 16, 8}, bf16), out = zeros({1, 8, 8}, bf16);
  ProductLayout p = plan_product(a, b, true, false, out, true).layout, same = plan_product(a, b, true, false, out, true).layout;
  CHECK(p == same);
  CHECK(p.hash() == same.hash());
  CHECK(p.key() == same.key());
  CHECK_FALSE(p.tf32);  // of f32 alone
  for (auto change : std::vector<void (*)(ProductLayout&)>{
           [](auto& x) { x.type = f16; }, [](auto& x) { x.m = 9; }, [](auto& x) { x.first.transposed = true; },
           [](auto& x) { x.second.stride = 17; }, [](auto& x) { x.accumulate = true; }, [](auto& x) { x.bias = false; },
           [](auto& x) { x.out_alignment = 2; }, [](auto& x) { x.batch = 2; }, [](auto& x) { x.tf32 = true; },
           [](auto& x) { x.first_batch = 1; }, [](auto& x) { x.finish = Finish::gelu; }, [](auto& x) { x.before = true; },
           [](auto& x) { x.bias_alignment = 2; }}) {
    ProductLayout other = p;
    change(other);
    CHECK_FALSE(other == p);
    CHECK(other.key() != p.key());
  }
}

TEST_CASE("product layout: alignment is that of the address, up to 256") {
  auto address = [](uintptr_t a) { return reinterpret_cast<const void*>(a); };
  CHECK(alignment_of(address(4096)) == 256);
  CHECK(alignment_of(address(4096 + 16)) == 16);
  CHECK(alignment_of(address(4096 + 6)) == 2);
  CHECK(alignment_of(nullptr) == 256);
}

TEST_CASE("conv layout: where both ends are not padded alike, the frame gives the same windows") {
  ConvGeometry g{{2, 1}, {1, 2}, {1, 2}, 1};
  // Rows: 1 before; 7 rows, kernel 3, stride 2: with 3 places nothing is read behind row 5. Columns: 2 before, 3 behind.
  ConvSizes s{2, 3, 7, 6, 4, 3, 3, 3, 7, g};
  CHECK_FALSE(pads_evenly(s));
  ConvSizes even = s;
  even.y = 4, even.x = 6;
  CHECK(pads_evenly(even));
  ConvSizes f = framed(s);
  CHECK(pads_evenly(f));
  CHECK(f.h == 7);
  CHECK(f.w == 11);
  Tensor x = numbers({2, 3, 7, 6}), frame = zeros({2, 3, f.h, f.w}, f64);
  auto [from, into] = framing(s, x, frame);
  CHECK(from.shape() == Shape{2, 3, 6, 6});
  copy_data(from, into);
  for (int64_t r = 0; r < f.h; ++r)
    for (int64_t c = 0; c < f.w; ++c) {
      int64_t row = r - 1, column = c - 2;
      bool inside = row >= 0 && row < 7 && column >= 0 && column < 6;
      double expected = inside ? x.data<double>()[(1 * 3 + 2) * 42 + row * 6 + column] : 0;
      CHECK(frame.data<double>()[(1 * 3 + 2) * f.h * f.w + r * f.w + c] == expected);
    }
}

TEST_CASE("conv layout: padding that reaches past the frame leaves nothing inside") {
  ConvSizes s{1, 1, 2, 2, 1, 1, 1, 2, 2, {{1, 1}, {5, 5}, {1, 1}, 1}};
  Tensor x = numbers({1, 1, 2, 2}), frame = zeros({1, 1, framed(s).h, framed(s).w}, f64);
  CHECK(framing(s, x, frame).inside_images.numel() == 0);
}

TEST_CASE("conv layout: images are split where their elements exceed 31 bits") {
  ConvSizes s{64, 64, 1024, 1024, 128, 3, 3, 1024, 1024, {}};
  CHECK(images_at_once(s) == 15);  // of 2²⁷ elements
  CHECK(15 * (int64_t{1} << 27) < std::numeric_limits<int32_t>::max());
  s.n = 4;
  CHECK(images_at_once(s) == 4);
}

TEST_CASE("conv layout: few channels get others beside them, unless they form groups") {
  ConvSizes s{2, 3, 5, 5, 64, 3, 3, 5, 5, {{1, 1}, {1, 1}, {1, 1}, 1}};
  ConvSizes w = widened(s, 8);
  CHECK(w.c == 8);
  CHECK(w.o == 64);
  CHECK(w.words()[3] == s.words()[3]);
  s.geometry.groups = 3;
  CHECK(widened(s, 8).words() == s.words());
}

TEST_CASE("fft layout: calls, lines and strides reach every element once") {
  for (auto [outer, n, inner] : {std::array<int64_t, 3>{1, 5, 1}, {4, 5, 1}, {1, 5, 3}, {4, 5, 3}}) {
    FftLines l = fft_lines(outer, n, inner);
    std::vector<int> seen(static_cast<size_t>(outer * n * inner));
    for (int64_t c = 0; c < l.calls; ++c)
      for (int64_t i = 0; i < l.batch; ++i)
        for (int64_t j = 0; j < n; ++j) {
          int64_t place = c * l.call_distance + i * l.distance + j * l.stride;
          REQUIRE(place < outer * n * inner);
          ++seen[static_cast<size_t>(place)];
          CHECK(place / inner % n == j);
        }
    CHECK(seen == std::vector<int>(seen.size(), 1));
  }
  CHECK_FALSE(fft_transposes(100, 1, true));
  CHECK_FALSE(fft_transposes(1, 100, true));
  CHECK(fft_transposes(2, 2, true));
  CHECK_FALSE(fft_transposes(2, 2, false));
  CHECK(fft_transposes(9, 2, false));
}

TEST_CASE("tuned choices: what was added is found again, also by the next run; the last line of a key wins") {
  plumb_test::Scratch scratch;
  std::string path = scratch.path("choices.txt");
  {
    TunedChoices choices(path);
    CHECK(choices.tuning());
    CHECK_FALSE(choices.find("bf16 1x2x3").has_value());
    choices.add("bf16 1x2x3", {1, 0xdeadbeefcafe, 0, 0, 0, 0, 0, 7});
    choices.add("f32 = odd key", {2});
    choices.add("bf16 1x2x3", {3});
  }
  TunedChoices again(path);
  CHECK(again.find("bf16 1x2x3") == Choice{3});
  CHECK(again.find("f32 = odd key") == Choice{2});
  CHECK_FALSE(TunedChoices("").tuning());
}

TEST_CASE("tuned choices: a line that cannot be read is named") {
  plumb_test::Scratch scratch;
  std::string path = scratch.path("choices.txt");
  std::ofstream(path) << "bf16 = 1 2 3\n";
  CHECK_THROWS_WITH_AS(TunedChoices{path}, ("tuned choices: " + path + ": line 1 is not `key = eight words`: bf16 = 1 2 3").c_str(),
                       IoError);
}
