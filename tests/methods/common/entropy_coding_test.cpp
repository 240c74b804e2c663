// Codes of variable length: worked lengths, what is written is read, and known costs.
#include "methods/common/entropy_coding.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "engine/core/generator.h"

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;

TEST_CASE("entropy_coding: numbers with signs and their code lengths have their worked values") {
  struct Row {
    int64_t k;
    uint64_t u;
    std::array<int64_t, 3> bits;  // of orders 0, 1, 2
  };
  for (const Row& row : {Row{0, 0, {1, 2, 3}}, Row{1, 1, {3, 2, 3}}, Row{-1, 2, {3, 4, 3}}, Row{2, 3, {5, 4, 3}}, Row{-2, 4, {5, 4, 5}},
                         Row{3, 5, {5, 4, 5}}, Row{-5, 10, {7, 6, 5}}, Row{10, 19, {9, 8, 7}}, Row{-100, 200, {15, 14, 13}}}) {
    CAPTURE(row.k);
    CHECK(fold_sign(row.k) == row.u);
    CHECK(unfold_sign(row.u) == row.k);
    for (int order : {0, 1, 2}) CHECK(exp_golomb_bits(row.u, order) == row.bits[static_cast<size_t>(order)]);
  }
}

TEST_CASE("entropy_coding: what is written with an exponential Golomb code is read again, in as many bits as it should take") {
  Generator random(2);
  for (int order : {0, 1, 3}) {
    ExpGolombWriter writer(order);
    std::vector<int64_t> numbers{0, 1, -1, 1'000'000'007};
    for (int i = 0; i < 500; ++i) numbers.push_back(static_cast<int64_t>(random.next_below(uint64_t{1} << random.next_below(20))) - 50);
    int64_t bits = 0;
    for (int64_t k : numbers) {
      writer.put(fold_sign(k));
      bits += exp_golomb_bits(fold_sign(k), order);
      CHECK(writer.bits() == bits);
    }
    CHECK(static_cast<int64_t>(writer.bytes().size()) == (bits + 7) / 8);
    ExpGolombReader reader(writer.bytes(), order);
    for (int64_t k : numbers) CHECK(unfold_sign(reader.next()) == k);
  }
  ExpGolombWriter four;
  four.put(4);  // q = 5: 00 101
  CHECK(four.bytes() == std::vector<uint8_t>{0b00101000});
}

TEST_CASE("entropy_coding: known distributions cost what they should") {
  Counts halves{{0, 8}, {1, 4}, {-1, 2}, {5, 2}};  // probabilities that are powers of 2: Huffman reaches the entropy
  CHECK(mean_bits(halves, Coder::entropy) == Approx(1.75).epsilon(1e-14));
  CHECK(mean_bits(halves, Coder::huffman) == Approx(1.75).epsilon(1e-14));
  CHECK(mean_bits(halves, Coder::fixed) == 3);  // −1 … 5
  CHECK(mean_bits(halves, Coder::exp_golomb) == Approx((8 * 1 + 4 * 3 + 2 * 3 + 2 * 7) / 16.0).epsilon(1e-14));
  CHECK(share_of_zeros(halves) == 0.5);
  Counts three{{0, 1}, {1, 1}, {2, 1}};
  CHECK(mean_bits(three, Coder::huffman) == Approx(5.0 / 3).epsilon(1e-14));
  CHECK(mean_bits(three, Coder::entropy) == Approx(std::log2(3.0)).epsilon(1e-14));
  CHECK(mean_bits({{7, 3}}, Coder::huffman) == 1);
  CHECK(mean_bits({{7, 3}}, Coder::entropy) == 0);
}

TEST_CASE("entropy_coding: weights go to the nearest place of the grid, halves to even, over all tensors") {
  std::vector<Tensor> w{tensor({0.26, -0.25, 0.125}), tensor({{-1.0, 0.375}})};
  CHECK(grid_integers(w, 0.25) == std::vector<int64_t>{1, -1, 0, -4, 2});
  CHECK(bits_per_parameter(w, 0.25) == Approx((3 + 3 + 1 + 7 + 5) / 5.0).epsilon(1e-14));
}

TEST_CASE("entropy_coding: bad input is told by its values") {
  CHECK_THROWS_WITH_AS(exp_golomb_bits(3, -1), "exp_golomb: the order must be in [0, 30], it is -1", ValueError);
  CHECK_THROWS_WITH_AS(ExpGolombWriter(31), "exp_golomb: the order must be in [0, 30], it is 31", ValueError);
  std::vector<uint8_t> cut{0b00010000};
  CHECK_THROWS_WITH_AS(ExpGolombReader(cut, 4).next(), "exp_golomb: the bytes end within a number", IoError);
  CHECK_THROWS_WITH_AS(grid_integers({tensor({1.0})}, 0), "grid_integers: the step must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(grid_integers({}, 1), "grid_integers: there are no weights", ValueError);
  CHECK_THROWS_WITH_AS(grid_integers({tensor({1.0, std::nan("")})}, 1), "grid_integers: nan has no place on the grid", ValueError);
  CHECK_THROWS_WITH_AS(mean_bits({}, Coder::entropy), "mean_bits: nothing was counted", ValueError);
}
