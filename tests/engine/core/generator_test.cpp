// The generator: Philox against the published known answers, places in the stream.
#include "engine/core/generator.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace plumb;

using Words = std::array<uint32_t, 4>;

TEST_CASE("philox: the known answers of Philox 4x32-10 (Salmon et al. 2011)") {
  // counter = (c0, c1, c2, c3), key = (k0, k1)
  CHECK(philox(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e) == Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Generator: numbers are those of the stream, and the state can be kept and put back") {
  Generator g(42);
  CHECK(g.next_u32() == philox(42, 0)[0]);
  CHECK(g.next_u64() == (uint64_t{philox(42, 1)[0]} << 32 | philox(42, 1)[1]));
  CHECK(g.take(10) == 2);
  CHECK(g.offset() == 12);
  Generator copy = g;
  double next = g.next_double();
  CHECK(copy.next_double() == next);
  copy.set_state(g.seed(), 12);
  CHECK(copy.next_double() == next);
  CHECK(next >= 0);
  CHECK(next < 1);
}

TEST_CASE("Generator: next_below stays below and reaches every value") {
  Generator g(1);
  std::vector<int> seen(7, 0);
  for (int i = 0; i < 700; ++i) ++seen.at(g.next_below(7));
  for (int count : seen) CHECK(count > 50);
  for (int i = 0; i < 20; ++i) CHECK(g.next_below(1) == 0);
}

TEST_CASE("default_generator: one a thread, restarted by manual_seed") {
  manual_seed(3);
  uint32_t first = default_generator().next_u32();
  std::thread([] {
    CHECK(default_generator().offset() == 0);
    default_generator().take(100);
  }).join();
  CHECK(default_generator().offset() == 1);
  manual_seed(3);
  CHECK(default_generator().next_u32() == first);
}
