// Two digits side by side and captions of them: images with texts that are always there.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "engine/data/captioned_images.h"

namespace plumb::data {

/// Pair 10 l + r is digit l left of digit r.
inline constexpr int64_t kDigitPairs = 100;
/// Ways to say it.
inline constexpr int64_t kDigitPairForms = 6;

/// The caption of a pair in one of the forms: "a photo of a seven left of three ." is form 0 of pair 73. Throws IndexError outside
/// [0, 100) and [0, 6).
std::string digit_pair_caption(int64_t pair, int64_t form);
/// All words of all captions, those of the digits first, then in the order in which they occur.
std::vector<std::string> digit_pair_words();

/// Single digits, by which pairs are drawn.
class DigitPairs {
 public:
  /// `digits` has images [1, H, W] and labels 0 … 9. Throws ValueError if one of the ten has no image.
  explicit DigitPairs(const Dataset& digits);
  /// A random left and a random right digit for each pair, one after the other: [n, 1, H, 2 W]. Throws IndexError for a pair outside
  /// [0, 100).
  Tensor draw(const std::vector<int64_t>& pairs, Generator& generator) const;

 private:
  Tensor images_;
  std::array<std::vector<int64_t>, 10> places_;
};

/// `count` images of random pairs with captions: in the form `form`, or in random ones if it is −1. Throws ValueError for count < 1.
CaptionedImages digit_pairs(const Dataset& digits, int64_t count, int64_t form, uint64_t seed);

}  // namespace plumb::data
