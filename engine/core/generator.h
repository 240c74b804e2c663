// Counter-based random numbers: Philox 4×32-10 (Salmon et al., SC 2011). A number depends on the seed and its place alone,
// so that it is the same on every device and with any number of threads.
#pragma once
#include <array>
#include <cstdint>
#include <utility>

namespace plumb {

/// The four 32-bit words at `counter` of the stream `seed`: ten Philox rounds.
constexpr std::array<uint32_t, 4> philox(uint64_t seed, uint64_t counter, uint64_t stream = 0) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

/// The place in a Philox stream. A draw takes as many places as it needs (take); copying a Generator copies its place.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0) : seed_(seed) {}
  uint64_t seed() const { return seed_; }
  uint64_t offset() const { return offset_; }
  void set_state(uint64_t seed, uint64_t offset) {
    seed_ = seed;
    offset_ = offset;
  }
  /// Takes `counters` counters (four words each) and returns the first.
  uint64_t take(uint64_t counters) { return std::exchange(offset_, offset_ + counters); }
  /// The next 32 or 64 random bits, or a number in [0, 1) with 53 of them.
  uint32_t next_u32() { return philox(seed_, take(1))[0]; }
  uint64_t next_u64() {
    auto w = philox(seed_, take(1));
    return (uint64_t{w[0]} << 32) | w[1];
  }
  double next_double() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }
  /// An integer in [0, n), without bias.
  uint64_t next_below(uint64_t n) {
    uint64_t limit = n * (UINT64_MAX / n), r;
    do r = next_u64();
    while (r >= limit);
    return r % n;
  }

 private:
  uint64_t seed_, offset_ = 0;
};

/// The calling thread's generator, which random operations use unless given one.
Generator& default_generator();
/// Restarts the calling thread's generator.
void manual_seed(uint64_t seed);

}  // namespace plumb
