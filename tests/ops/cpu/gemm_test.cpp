// The matrix product: values against sums in double, bits against other threads, tilings and instruction sets.
#include "ops/cpu/gemm/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "ops/cpu/gemm/ahead.h"
#include "ops/cpu/gemm/kernels.h"

using namespace plumb;

namespace {

struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};

struct Instructions {
  explicit Instructions(gemm::InstructionSet set) { gemm::use_instruction_set(set); }
  ~Instructions() { gemm::use_instruction_set(before); }
  gemm::InstructionSet before = gemm::instruction_set();
};

// A matrix of random values in [−1, 1), in row-major order or, transposed, in column-major order, with unused elements between.
template <typename T>
struct Matrix {
  Matrix(int64_t rows, int64_t columns, bool transposed, int64_t gap, uint32_t seed)
      : row(transposed ? 1 : columns + gap), column(transposed ? rows + gap : 1) {
    values.resize((transposed ? columns : rows) * std::max(row, column) + 1, T(std::numeric_limits<float>::quiet_NaN()));
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) values[i * row + j * column] = T(static_cast<float>(next(seed)));
  }
  static double next(uint32_t& state) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int32_t>(state) * 0x1p-31;
  }
  double at(int64_t i, int64_t j) const { return static_cast<double>(static_cast<gemm::Accumulator<T>>(values[i * row + j * column])); }
  gemm::MatrixView<T> view() const { return {values.data(), row, column}; }
  int64_t row, column;
  std::vector<T> values;
};

template <typename T>
double unit_roundoff() {
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-8;
  if constexpr (std::is_same_v<T, half>) return 0x1p-11;
  return static_cast<double>(std::numeric_limits<gemm::Accumulator<T>>::epsilon()) / 2;
}

// The largest error of c against sums in double, in units of its bound: a sum of k products rounded at each step errs by at most
// about k·u·Σ|terms| (here √k would do, but a bound cannot fail by bad luck), plus one rounding of the result for a 16-bit type.
template <typename T>
double worst_error(const Matrix<T>& a, const Matrix<T>& b, int64_t k, const Matrix<T>& before, const Matrix<T>& c, int64_t m, int64_t n,
                   bool accumulate) {
  const double step = unit_roundoff<gemm::Accumulator<T>>(), last = unit_roundoff<T>();
  double worst = 0;
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = accumulate ? before.at(i, j) : 0, size = std::abs(sum);
      for (int64_t p = 0; p < k; p++) sum += a.at(i, p) * b.at(p, j), size += std::abs(a.at(i, p) * b.at(p, j));
      const double bound = (static_cast<double>(k) + 2) * step * size + 1.01 * last * std::abs(sum) + 1e-300;
      const double error = std::abs(c.at(i, j) - sum) / bound;
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
    }
  return worst;
}

template <typename T>
void check_product(int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed, bool accumulate) {
  const Matrix<T> a(m, k, a_transposed, 3, 1), b(k, n, b_transposed, 2, 2), before(m, n, false, 5, 3);
  Matrix<T> c = before;
  if (!accumulate)
    for (T& x : c.values) x = T(std::numeric_limits<float>::quiet_NaN());  // must not be read
  gemm::multiply<T>(m, n, k, a.view(), b.view(), c.values.data(), c.row, accumulate);
  INFO(m, " x ", k, " x ", n, a_transposed ? " A^T" : "", b_transposed ? " B^T" : "", accumulate ? " +=" : "");
  CHECK(worst_error(a, b, k, before, c, m, n, accumulate) <= 1);
  bool untouched = true;  // what lies between the rows
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = n; j < c.row; j++) untouched &= std::isnan(c.at(i, j));
  CHECK(untouched);
}

template <typename T>
std::vector<T> product(int64_t m, int64_t n, int64_t k, bool a_transposed = false, bool b_transposed = false) {
  const Matrix<T> a(m, k, a_transposed, 0, 1), b(k, n, b_transposed, 0, 2);
  std::vector<T> c(m * n);
  gemm::multiply<T>(m, n, k, a.view(), b.view(), c.data(), n);
  return c;
}

template <typename T>
bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

struct Shape {
  int64_t m, n, k;
};

// Odd shapes: every kind of tail in m, n and k, thin and flat ones, one and several blocks of k.
std::vector<Shape> odd_shapes() {
  std::vector<Shape> shapes;
  for (int64_t m : {1, 2, 5, 6, 7, 13, 48, 97})
    for (int64_t n : {1, 3, 8, 15, 16, 17, 33, 65, 130})
      for (int64_t k : {1, 2, 3, 7, 16, 65, 385, 801}) shapes.push_back({m, n, k});
  for (Shape s : {Shape{257, 255, 513}, {300, 20, 900}, {20, 300, 900}, {511, 129, 65}, {129, 511, 65}, {1, 1000, 1000}, {1000, 1, 1000}})
    shapes.push_back(s);
  return shapes;
}

}  // namespace

TEST_CASE_TEMPLATE("gemm: agrees with sums in double, for all layouts and tails", T, float, double, bfloat16, half) {
  for (gemm::InstructionSet set : {gemm::InstructionSet::plain, gemm::instruction_set()}) {
    Instructions scope(set);
    for (int64_t m : {1, 3, 6, 7, 37})
      for (int64_t n : {1, 2, 9, 16, 31, 101})
        for (int64_t k : {1, 4, 37, 400})
          for (int layout = 0; layout < 8; layout++) check_product<T>(m, n, k, layout & 1, layout & 2, layout & 4);
  }
}

TEST_CASE("gemm: agrees with sums in double on shapes that take several blocks and slabs") {
  check_product<float>(200, 150, 900, false, true, false);
  check_product<float>(150, 200, 900, true, false, true);
  check_product<double>(230, 70, 500, false, false, false);
  check_product<float>(3, 5, 20000, false, false, true);
  check_product<bfloat16>(120, 90, 800, false, false, true);
}

TEST_CASE("gemm: the bits do not depend on the number of threads") {
  const std::vector<Shape> shapes = odd_shapes();
  REQUIRE(shapes.size() >= 500);
  for (const Shape& s : shapes) {
    const bool a_transposed = (s.m + s.k) % 2, b_transposed = (s.n + s.k) % 3 == 0;
    std::vector<float> expected;
    for (int threads : {1, 2, 3, 8}) {
      Threads scope(threads);
      const std::vector<float> c = product<float>(s.m, s.n, s.k, a_transposed, b_transposed);
      if (threads == 1) expected = c;
      INFO(s.m, " x ", s.k, " x ", s.n, " on ", threads, " threads");
      CHECK(same_bits(c, expected));
    }
  }
}

TEST_CASE_TEMPLATE("gemm: the bits of an element depend on its row, its column and k alone", T, float, double, bfloat16) {
  const int64_t m = 61, n = 75, k = 500;
  const Matrix<T> a(m, k, false, 0, 1), b(k, n, false, 0, 2), bt(n, k, true, 0, 2);
  const std::vector<T> whole = product<T>(m, n, k);
  for (int64_t i : {0, 17, 60})
    for (int64_t width : {1, 7, 40}) {
      std::vector<T> part(width);
      gemm::multiply<T>(1, width, k, {a.values.data() + i * k, k, 1}, {b.values.data() + n - width, n, 1}, part.data(), width);
      CHECK(same_bits(part, {whole.begin() + i * n + n - width, whole.begin() + (i + 1) * n}));
    }
  Matrix<T> b_columns(k, n, true, 0, 0);
  for (int64_t p = 0; p < k; p++)
    for (int64_t j = 0; j < n; j++) b_columns.values[p + j * k] = b.values[p * n + j];
  b_columns.row = 1, b_columns.column = k;
  std::vector<T> c(m * n);
  gemm::multiply<T>(m, n, k, a.view(), b_columns.view(), c.data(), n);
  CHECK(same_bits(c, whole));
}

TEST_CASE("gemm: every instruction set with fused multiply-add gives the same bits") {
#ifdef __FP_FAST_FMA
  const std::vector<float> f32 = product<float>(61, 75, 500);
  const std::vector<double> f64 = product<double>(61, 75, 500);
  for (gemm::InstructionSet set :
       {gemm::InstructionSet::plain, gemm::InstructionSet::avx2, gemm::InstructionSet::avx512, gemm::InstructionSet::avx512bf16}) try {
      Instructions scope(set);
      CHECK(same_bits(product<float>(61, 75, 500), f32));
      CHECK(same_bits(product<double>(61, 75, 500), f64));
    } catch (const ConfigError& e) { MESSAGE("skipped: ", std::string(e.what())); }
#else
  MESSAGE("skipped: this build's target has no fused multiply-add");
#endif
}

TEST_CASE("gemm: empty sums are zero, empty results are not touched") {
  std::vector<float> c = {1, 2, 3, 4, 5, 6}, bias = {10, 20, 30};
  gemm::multiply<float>(2, 3, 0, {nullptr, 0, 1}, {nullptr, 3, 1}, c.data(), 3, true);
  CHECK(c == std::vector<float>{1, 2, 3, 4, 5, 6});
  gemm::multiply<float>(0, 3, 4, {nullptr, 4, 1}, {nullptr, 3, 1}, c.data(), 3);
  gemm::multiply<float>(2, 0, 4, {nullptr, 4, 1}, {nullptr, 0, 1}, c.data(), 3);
  gemm::multiply_batched<float>(0, 2, 3, 4, {nullptr, 4, 1}, 8, {nullptr, 3, 1}, 12, c.data(), 3, 6);
  CHECK(c == std::vector<float>{1, 2, 3, 4, 5, 6});
  gemm::multiply<float>(2, 3, 0, {nullptr, 0, 1}, {nullptr, 3, 1}, c.data(), 3, false, {.bias = bias.data()});
  CHECK(c == std::vector<float>{10, 20, 30, 10, 20, 30});
}

TEST_CASE("gemm: zero strides broadcast an operand") {
  const float a = 2, b[] = {1, 2, 3};
  std::vector<float> c(6);
  gemm::multiply<float>(2, 3, 5, {&a, 0, 0}, {b, 0, 1}, c.data(), 3);
  CHECK(c == std::vector<float>{10, 20, 30, 10, 20, 30});
}

TEST_CASE_TEMPLATE("gemm: the epilogue adds the bias, keeps the value before the activation, and applies it", T, float, double, bfloat16) {
  using Value = gemm::Accumulator<T>;
  for (const Shape& s : {Shape{1, 1, 1}, {4, 4, 4}, {50, 3, 40}, {70, 40, 30}, {40, 70, 30}, {65, 65, 700}, {200, 190, 64}}) {
    const Matrix<T> a(s.m, s.k, false, 0, 1), b(s.k, s.n, true, 0, 2), bias(1, s.n, false, 0, 3), c0(s.m, s.n, false, 0, 4);
    for (bool accumulate : {false, true}) {
      Matrix<T> plain = c0, c = c0, before = c0;
      gemm::multiply<T>(s.m, s.n, s.k, a.view(), b.view(), plain.values.data(), s.n, accumulate);
      const auto relu = [](Value* x, int64_t n) {
        for (int64_t j = 0; j < n; j++) x[j] = x[j] > 0 ? x[j] : Value(0);
      };
      gemm::multiply<T>(s.m, s.n, s.k, a.view(), b.view(), c.values.data(), s.n, accumulate,
                        {.bias = bias.values.data(), .activation = relu, .before_activation = before.values.data()});
      const double u = std::is_same_v<T, Value> ? 0 : 1.01 * unit_roundoff<T>();  // `plain` and z are rounded to 16 bits, and only they
      double worst = 0;
      for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) {
          const double z = static_cast<double>(static_cast<Value>(plain.at(i, j)) + static_cast<Value>(bias.at(0, j)));
          const double bound = u * (std::abs(plain.at(i, j)) * (1 + u) + std::abs(z));
          worst = std::max({worst, std::abs(before.at(i, j) - z) - bound, std::abs(c.at(i, j) - std::max(0.0, before.at(i, j)))});
        }
      INFO(s.m, " x ", s.k, " x ", s.n, accumulate ? " +=" : "");
      CHECK(worst <= 0);
    }
  }
}

TEST_CASE_TEMPLATE("gemm: a batch gives what its products give one by one", T, float, double, half) {
  for (int threads : {1, 2, 3}) {
    Threads scope(threads);
    for (const Shape& s : {Shape{4, 4, 4}, {33, 20, 17}, {130, 140, 120}})
      for (int64_t batch : {1, 3, 20})
        for (bool shared : {false, true}) {
          const Matrix<T> a(batch * s.m, s.k, false, 0, 1), b(shared ? s.n : batch * s.n, s.k, false, 0, 2);
          const int64_t b_batch = shared ? 0 : s.n * s.k;
          std::vector<T> c(batch * s.m * s.n), expected(c.size());
          gemm::multiply_batched<T>(batch, s.m, s.n, s.k, a.view(), s.m * s.k, {b.values.data(), 1, s.k}, b_batch, c.data(), s.n,
                                    s.m * s.n);
          for (int64_t q = 0; q < batch; q++)
            gemm::multiply<T>(s.m, s.n, s.k, {a.values.data() + q * s.m * s.k, s.k, 1}, {b.values.data() + q * b_batch, 1, s.k},
                              expected.data() + q * s.m * s.n, s.n);
          CHECK(same_bits(c, expected));
        }
  }
}

TEST_CASE_TEMPLATE("gemm: a packed right operand gives the same bits, and is a copy", T, float, double, bfloat16) {
  for (const Shape& s : {Shape{1, 1, 1}, {3, 50, 20}, {70, 5, 500}, {1, 130, 801}, {90, 65, 900}, {4, 4, 0}}) {
    const Matrix<T> a(s.m, s.k, false, 0, 1);
    Matrix<T> b(s.k, s.n, true, 0, 2);
    std::vector<T> expected(s.m * s.n), c(s.m * s.n), bias(s.n, T(0.5f));
    gemm::multiply<T>(s.m, s.n, s.k, a.view(), b.view(), expected.data(), s.n, false, {.bias = bias.data()});
    const gemm::PackedMatrix<T> packed(s.k, s.n, b.view());
    CHECK(packed.k() == s.k);
    CHECK(packed.n() == s.n);
    std::fill(b.values.begin(), b.values.end(), T(0.0f));
    for (int threads : {1, 3}) {
      Threads scope(threads);
      gemm::multiply<T>(s.m, a.view(), packed, c.data(), s.n, false, {.bias = bias.data()});
      INFO(s.m, " x ", s.k, " x ", s.n);
      CHECK(same_bits(c, expected));
    }
  }
}

TEST_CASE("gemm: NaN and infinity come through, from whole panels and from tails") {
  const float inf = std::numeric_limits<float>::infinity();
  for (int64_t n : {5, 16, 40}) {
    Matrix<float> a(20, 30, false, 0, 1), b(30, n, false, 0, 2);
    a.values[7 * 30 + 3] = inf;
    b.values[3 * n + n - 1] = 0;
    std::vector<float> c(20 * n);
    gemm::multiply<float>(20, n, 30, a.view(), b.view(), c.data(), n);
    CHECK(std::isnan(c[7 * n + n - 1]));
    CHECK(std::isinf(c[7 * n]));
    CHECK(std::isfinite(c[6 * n]));
  }
}

TEST_CASE("gemm: tiles call for every line of the block that is packed next, and for nothing if none of its sides is contiguous") {
  alignas(64) static const float x[1 << 16] = {};
  auto lines_called_for = [](const gemm::Ahead& ahead, int64_t steps) {
    std::set<int64_t> lines;
    for (int64_t tile = 0; tile < ahead.tiles; ++tile)
      for (int64_t p = 0; p < steps; ++p)
        lines.insert((ahead.at + tile * ahead.next + p * ahead.step - reinterpret_cast<const char*>(x)) / 64);
    return lines;
  };
  auto lines_of = [](int64_t lanes, int64_t k, gemm::Strided<float> block) {
    std::set<int64_t> lines;
    for (int64_t l = 0; l < lanes; ++l)
      for (int64_t p = 0; p < k; ++p) lines.insert((block.data + l * block.lane + p * block.k - x) / 16);
    return lines;
  };
  for (gemm::Strided<float> block : {gemm::Strided<float>{x + 32, 1000, 1}, {x + 32, 1, 160}}) {
    CAPTURE(block.lane);
    CHECK(lines_called_for(gemm::ahead_of(32, 1, block), 48) == lines_of(32, 48, block));
  }
  CHECK(lines_called_for(gemm::ahead_of(12, 2, gemm::Strided<float>{x, 1000, 1}), 24) == lines_of(12, 48, {x, 1000, 1}));
  CHECK(gemm::ahead_of(32, 1, gemm::Strided<float>{x, 160, 2}).tiles == 0);
  CHECK(gemm::ahead_of(0, 1, gemm::Strided<float>{x, 1000, 1}).tiles == 0);

  gemm::Ahead ahead = gemm::ahead_of(32, 1, gemm::Strided<float>{x, 1000, 1});
  ahead.skip(20);
  CHECK(ahead.at == reinterpret_cast<const char*>(x + 20 * 1000));
  CHECK(ahead.tiles == 12);
  ahead.skip(20);
  CHECK(ahead.tiles == 0);
}
