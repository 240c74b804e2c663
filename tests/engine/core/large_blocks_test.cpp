// Large blocks: best fit, joining, what is held and given back.
#include "engine/core/large_blocks.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <random>

using plumb::detail::LargeBlocks;

namespace {

constexpr size_t kMib = size_t{1} << 20;
constexpr int64_t kRoom = int64_t{1} << 40;

int64_t mib(int64_t n) { return n << 20; }

}  // namespace

TEST_CASE("large blocks: what neighbours leave serves a larger block, and takes nothing more from the system") {
  LargeBlocks blocks;
  void *a = blocks.allocate(3 * kMib, kRoom), *b = blocks.allocate(5 * kMib, kRoom), *c = blocks.allocate(2 * kMib, kRoom);
  CHECK(blocks.reserved() == mib(10));
  for (void* first : {a, b}) {  // in either order
    void* second = first == a ? b : a;
    blocks.deallocate(first);
    blocks.deallocate(second);
    void* both = blocks.allocate(8 * kMib, 0);
    CHECK(both == a);
    CHECK(blocks.reserved() == mib(10));
    blocks.deallocate(both);
    CHECK(blocks.allocate(3 * kMib, 0) == a);
    CHECK(blocks.allocate(5 * kMib, 0) == b);
  }
  for (void* block : {a, b, c}) blocks.deallocate(block);
  blocks.release();
  CHECK(blocks.reserved() == 0);
}

TEST_CASE("large blocks: the smallest that is large enough") {
  LargeBlocks blocks;
  void* parts[6];
  const size_t sizes[] = {4, 1, 2, 1, 3, 1};
  for (int i = 0; i < 6; ++i) parts[i] = blocks.allocate(sizes[i] * kMib, kRoom);
  for (int i : {0, 2, 4}) blocks.deallocate(parts[i]);
  CHECK(blocks.allocate(2 * kMib, 0) == parts[2]);
  CHECK(blocks.allocate(2 * kMib, 0) == parts[4]);  // the rest of it, 1 MiB, is free
  CHECK(blocks.allocate(kMib, 0) == static_cast<char*>(parts[4]) + 2 * kMib);
  CHECK(blocks.allocate(3 * kMib + 1, 0) == parts[0]);
  CHECK(blocks.reserved() == mib(12));
}

TEST_CASE("large blocks: no more than there is room for") {
  LargeBlocks blocks;
  CHECK(blocks.allocate(4 * kMib, mib(4) - 1) == nullptr);
  CHECK(blocks.reserved() == 0);
  void* a = blocks.allocate(4 * kMib, mib(4));
  REQUIRE(a != nullptr);
  CHECK(blocks.allocate(kMib, 0) == nullptr);
  blocks.deallocate(a);
  CHECK(blocks.allocate(5 * kMib, mib(1) - 1) == nullptr);
  CHECK(blocks.allocate(5 * kMib, mib(1)) == a);  // 4 MiB of it are held already
  CHECK(blocks.allocate(size_t{1} << 60, INT64_MAX) == nullptr);
  CHECK(blocks.reserved() == mib(5));
}

TEST_CASE("large blocks: what no block uses is given back, what one uses keeps its contents") {
  LargeBlocks blocks;
  void *a = blocks.allocate(2 * kMib, kRoom), *b = blocks.allocate(2 * kMib, kRoom), *c = blocks.allocate(300 * kMib, kRoom);
  std::memset(a, 1, 2 * kMib);
  std::memset(b, 2, 2 * kMib);
  blocks.deallocate(a);
  blocks.deallocate(c);
  CHECK(blocks.reserved() == mib(304));
  blocks.release();
  CHECK(blocks.reserved() == mib(2));
  CHECK(static_cast<char*>(b)[2 * kMib - 1] == 2);
  CHECK(blocks.allocate(2 * kMib, 0) == nullptr);
  CHECK(blocks.allocate(2 * kMib, mib(2)) == a);
  CHECK(static_cast<char*>(a)[5] == 0);  // new pages
}

TEST_CASE("large blocks: many sizes at random are aligned, apart from each other, and hold little more than was in use at once") {
  LargeBlocks blocks;
  std::mt19937 random(7);
  std::map<char*, size_t> used;
  int64_t live = 0, peak = 0;
  for (int i = 0; i < 20000; ++i) {
    if (used.size() < 60 || random() % 2) {
      const size_t bytes = (kMib << random() % 4) + random() % kMib;
      auto* at = static_cast<char*>(blocks.allocate(bytes, kRoom));
      REQUIRE(reinterpret_cast<uintptr_t>(at) % LargeBlocks::kGrain == 0);
      auto [place, fresh] = used.emplace(at, LargeBlocks::rounded(bytes));
      REQUIRE(fresh);
      if (auto next = std::next(place); next != used.end()) REQUIRE(at + place->second <= next->first);
      if (place != used.begin()) REQUIRE(std::prev(place)->first + std::prev(place)->second <= at);
      live += static_cast<int64_t>(place->second);
    } else {
      auto place = std::next(used.begin(), static_cast<std::ptrdiff_t>(random() % used.size()));
      blocks.deallocate(place->first);
      live -= static_cast<int64_t>(place->second);
      used.erase(place);
    }
    peak = std::max(peak, live);
    REQUIRE(blocks.reserved() >= live);
  }
  CHECK(blocks.reserved() <= peak * 5 / 4);
  for (auto [at, bytes] : used) blocks.deallocate(at);
  blocks.release();
  CHECK(blocks.reserved() == 0);
}
