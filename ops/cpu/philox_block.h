// Many Philox counters at once: the rounds of engine/core/generator.h, four counters a register where there are 256-bit integers.
#pragma once
#include <algorithm>
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "engine/core/generator.h"
#include "ops/kernels/random.h"

namespace plumb::cpu_kernels {

inline constexpr int64_t kWords = 128;  ///< words a block, of 32 counters

/// words[4 c + j]: word j of counter first + c.
struct alignas(64) WordBlock {
  uint32_t words[kWords];
};

#if defined(__AVX2__)

/// Sixteen words, of counters first … first + 3. Each 64-bit lane holds one counter's word in its low half; what is in the high half
/// is never looked at, because the multiplication takes low halves only.
inline void philox_four(uint64_t seed, uint64_t first, uint32_t* out) {
  __m256i counter = _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first)), _mm256_set_epi64x(3, 2, 1, 0));
  __m256i c0 = counter, c1 = _mm256_srli_epi64(counter, 32), c2 = _mm256_setzero_si256(), c3 = c2;
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    __m256i p0 = _mm256_mul_epu32(c0, m0), p1 = _mm256_mul_epu32(c2, m1);
    c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), _mm256_set1_epi64x(k0));
    c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), _mm256_set1_epi64x(k1));
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  __m256i words01 = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xAA),
          words23 = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xAA);
  __m256i even = _mm256_unpacklo_epi64(words01, words23), odd = _mm256_unpackhi_epi64(words01, words23);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(even, odd, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}

#else

inline void philox_four(uint64_t seed, uint64_t first, uint32_t* out) {
  for (uint64_t c = 0; c < 4; ++c) std::ranges::copy(philox(seed, first + c), out + 4 * c);
}

#endif

inline void philox_block(uint64_t seed, uint64_t first, WordBlock& block) {
  for (uint64_t c = 0; c < kWords / 4; c += 4) philox_four(seed, first + c, block.words + 4 * c);
}

/// The two words of number i of a draw that takes two words a number.
struct WordPair {
  uint32_t high, low;
};
inline WordPair word_pair(RandomPlace place, int64_t i) {
  auto words = philox(place.seed, place.offset + static_cast<uint64_t>(i) / 2);
  return i % 2 == 0 ? WordPair{words[0], words[1]} : WordPair{words[2], words[3]};
}

}  // namespace plumb::cpu_kernels
