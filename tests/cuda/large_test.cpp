// Tensors of more than 2³¹ elements: how their work is cut, everywhere; the work itself on a GPU that has room for it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "cuda/kernels/elementwise.h"
#include "engine/core/allocator.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

using Loop = cpu_kernels::StridedLoop<1>;

Loop loop_of(const std::vector<int64_t>& sizes) {
  Loop loop;
  loop.rank = static_cast<int>(sizes.size());
  loop.data[0] = nullptr;
  loop.count = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    loop.sizes[d] = sizes[d];
    loop.strides[d][0] = loop.count;
    loop.count *= sizes[d];
  }
  return loop;
}

struct Piece {
  int64_t begin, count;
};

std::vector<Piece> pieces_of(const Loop& loop) {
  std::vector<Piece> pieces;
  simulated_backend::detail::for_each_piece(loop, [&](const Loop& piece) {
    pieces.push_back({reinterpret_cast<int64_t>(piece.data[0]), piece.count});
    CHECK(piece.count < int64_t{1} << 31);
  });
  return pieces;
}

}  // namespace

TEST_CASE("large: work is cut into pieces below 2³¹ elements that follow each other without a gap") {
  const int64_t billion = 1'000'000'000;
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{5 * billion},
                                            {3, 2 * billion},
                                            {2, 3 * billion},
                                            {2, 5, billion / 2},
                                            {7 * billion / 2, 2},
                                            {int64_t{1} << 31}}) {
    Loop loop = loop_of(sizes);
    int64_t next = 0;
    for (const Piece& piece : pieces_of(loop)) {
      CHECK(piece.begin == next);
      CHECK(piece.begin % 16 == 0);  // packs stay aligned
      next = piece.begin + piece.count;
    }
    CHECK(next == loop.count);
  }
  CHECK(pieces_of(loop_of({1000})).size() == 1);
}

TEST_CASE("large: division by a multiplication and a shift is division, for all numbers below 2³¹") {
  for (uint32_t divisor : {1u, 2u, 3u, 5u, 7u, 10u, 255u, 256u, 641u, 65537u, 1u << 30, (1u << 30) + 1, 2147483647u}) {
    simulated_backend::Divider by(divisor);
    for (uint32_t n : {0u, 1u, divisor - 1, divisor, divisor + 1, 1000000007u, 2147483646u, 2147483647u})
      if (n < 1u << 31) CHECK_MESSAGE(by.divide(n) == n / divisor, n << " / " << divisor);
  }
}

TEST_CASE("large: every element of more than 2³¹ is computed") {
  if (!std::getenv("PLUMB_TEST_GPU")) {
    MESSAGE("skipped: needs a GPU with 12 GiB");
    return;
  }
  const int64_t n = (int64_t{1} << 31) + 12345;
  Tensor x = full({n}, 1, u8, kGpu), y = x + x;
  CHECK(all(y == 2).item<bool>());
  fill_(x, 3);
  CHECK(all(x == 3).item<bool>());
  Tensor wide = full({2, n / 2 + 1}, 1, bf16, kGpu), column = full({2, 1}, 0.5, bf16, kGpu);
  CHECK(all(wide * column == 0.5).item<bool>());
}
