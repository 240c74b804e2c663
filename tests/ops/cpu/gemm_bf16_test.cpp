// Products of bf16 by dot products of pairs: against sums in double, and to the bit against the plain loop that the instruction stands for.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/gemm/kernels.h"

using namespace plumb;

namespace {

// Scopes in which products run on dot products of pairs, on some threads.
struct Pairs {
  Pairs() { gemm::use_instruction_set(gemm::InstructionSet::avx512bf16); }
  ~Pairs() {
    gemm::use_instruction_set(before);
    set_num_threads(threads);
  }
  gemm::InstructionSet before = gemm::instruction_set();
  int threads = num_threads();
};

// Runs the test where the machine has the instruction, and says why not elsewhere.
template <typename F>
void with_pairs(const F& test) {
  gemm::InstructionSet before = gemm::instruction_set();
  try {
    gemm::use_instruction_set(gemm::InstructionSet::avx512bf16);
  } catch (const ConfigError& e) {
    MESSAGE("skipped: ", std::string(e.what()));
    return;
  }
  gemm::use_instruction_set(before);
  Pairs scope;
  test();
}

// A matrix of random bf16 of sizes 2^-8 to 1, so that no product or sum of them is subnormal.
struct Matrix {
  Matrix(int64_t rows, int64_t columns, bool transposed, uint32_t seed)
      : rows(rows), columns(columns), row(transposed ? 1 : columns), column(transposed ? rows : 1), values(rows * columns) {
    for (bfloat16& x : values) {
      seed = seed * 1664525u + 1013904223u;
      x.bits = static_cast<uint16_t>((seed >> 16 & 0x807f) | (119 + (seed >> 8) % 8) << 7);
    }
  }
  gemm::MatrixView<bfloat16> view() const { return {values.data(), row, column}; }
  float at(int64_t i, int64_t j) const { return static_cast<float>(values[static_cast<size_t>(i * row + j * column)]); }
  int64_t rows, columns, row, column;
  std::vector<bfloat16> values;
};

std::vector<bfloat16> product(const Matrix& a, const Matrix& b) {
  std::vector<bfloat16> c(a.rows * b.columns, bfloat16(std::numeric_limits<float>::quiet_NaN()));
  gemm::multiply<bfloat16>(a.rows, b.columns, a.columns, a.view(), b.view(), c.data(), b.columns);
  return c;
}

// What the header promises of an element: a sum over blocks of k; in a block, pairs from the first to the last, the odd step of each
// first, one rounding a step.
float plain_element(const Matrix& a, const Matrix& b, int64_t i, int64_t j) {
  int64_t k = a.columns, depth = 2 * gemm::block_depth((k + 1) / 2);
  float total = 0;
  for (int64_t begin = 0; begin < k; begin += depth) {
    float sum = 0;
    for (int64_t p = begin; p < std::min(k, begin + depth); p += 2) {
      if (p + 1 < k) sum = std::fma(a.at(i, p + 1), b.at(p + 1, j), sum);
      sum = std::fma(a.at(i, p), b.at(p, j), sum);
    }
    total = begin > 0 ? total + sum : sum;
  }
  return total;
}

bool same_bits(const std::vector<bfloat16>& x, const std::vector<bfloat16>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof x[0]) == 0;
}

}  // namespace

TEST_CASE("gemm of bf16 pairs: the bits of the plain loop, for all layouts, tails and odd k") {
  with_pairs([] {
    for (int64_t m : {1, 5, 12, 13, 50})
      for (int64_t n : {1, 3, 16, 31, 32, 65})
        for (int64_t k : {1, 2, 3, 7, 8, 37, 767, 769, 1601})
          for (int layout = 0; layout < 4; layout++) {
            const Matrix a(m, k, layout & 1, 1), b(k, n, layout & 2, 2);
            const std::vector<bfloat16> c = product(a, b);
            int64_t wrong = 0;
            for (int64_t i = 0; i < m; i += 3)
              for (int64_t j = 0; j < n; j++) wrong += c[i * n + j].bits != bfloat16(plain_element(a, b, i, j)).bits;
            INFO(m, " x ", k, " x ", n, " layout ", layout);
            CHECK(wrong == 0);
          }
  });
}

// Products of bf16 are exact in float, so a sum of k errs by at most k roundings of its terms, and is rounded to bf16 once.
TEST_CASE("gemm of bf16 pairs: agrees with sums in double as closely as k roundings allow") {
  with_pairs([] {
    const Matrix a(70, 1500, false, 3), b(1500, 90, true, 4);
    const std::vector<bfloat16> c = product(a, b);
    double worst = 0;
    for (int64_t i = 0; i < a.rows; i++)
      for (int64_t j = 0; j < b.columns; j++) {
        double sum = 0, size = 0;
        for (int64_t p = 0; p < a.columns; p++) sum += double(a.at(i, p)) * b.at(p, j), size += std::abs(double(a.at(i, p)) * b.at(p, j));
        worst = std::max(
            worst, std::abs(static_cast<float>(c[i * b.columns + j]) - sum) / (1500 * 0x1p-24 * size + 1.01 * 0x1p-8 * std::abs(sum)));
      }
    CHECK(worst <= 1);
  });
}

TEST_CASE("gemm of bf16 pairs: the bits do not depend on threads, on the other rows and columns, or on packing") {
  with_pairs([] {
    for (int64_t k : {64, 385, 1601})
      for (auto [m, n] : {std::pair<int64_t, int64_t>{200, 70}, {61, 150}, {13, 3}}) {
        const Matrix a(m, k, k % 2, 5), b(k, n, k % 3, 6);
        set_num_threads(1);
        const std::vector<bfloat16> one = product(a, b);
        INFO(m, " x ", k, " x ", n);
        for (int threads : {2, 3, 8}) {
          set_num_threads(threads);
          CHECK(same_bits(product(a, b), one));
          std::vector<bfloat16> c(one.size());
          gemm::multiply<bfloat16>(m, a.view(), gemm::PackedMatrix<bfloat16>(k, n, b.view()), c.data(), n);
          CHECK(same_bits(c, one));
        }
        for (int64_t i : {int64_t{0}, m / 2, m - 1}) {
          std::vector<bfloat16> row(n);
          gemm::multiply<bfloat16>(1, n, k, {a.values.data() + i * a.row, a.row, a.column}, b.view(), row.data(), n);
          CHECK(same_bits(row, {one.begin() + i * n, one.begin() + (i + 1) * n}));
        }
      }
  });
}

TEST_CASE("gemm of bf16 pairs: NaN and infinity come through, and what lies beyond an odd k is not read") {
  with_pairs([] {
    Matrix a(20, 31, false, 7), b(31, 40, false, 8);
    a.values[7 * 31 + 30] = bfloat16(std::numeric_limits<float>::infinity());
    b.values[30 * 40 + 39] = bfloat16(0.0f);
    a.values[3 * 31 + 2] = bfloat16(std::numeric_limits<float>::quiet_NaN());
    const std::vector<bfloat16> c = product(a, b);
    int64_t wrong = 0;
    for (int64_t i = 0; i < 20; i++)
      for (int64_t j = 0; j < 40; j++) {
        const float x = static_cast<float>(c[i * 40 + j]);
        wrong += i == 3 || (i == 7 && j == 39) ? !std::isnan(x) : i == 7 ? !std::isinf(x) : !std::isfinite(x);
      }
    CHECK(wrong == 0);
  });
}
