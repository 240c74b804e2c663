// Digits in six colours, and queries that ask for another digit or another colour: many images fit a query, one is called right.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "engine/data/dataset.h"

namespace plumb::methods::cir_uncertainty {

inline constexpr int64_t kColours = 6, kDigits = 10;
/// Tokens: "digit" and "colour", then the ten digits and the six colours. A text is two of them: "digit 7", "colour 2".
inline constexpr int64_t kTokens = 2 + kDigits + kColours;

/// An image of a digit in a colour.
struct Tinted {
  int64_t image = 0, colour = 0;
};

struct DigitImages {
  Tensor grey;                 ///< [n, 1, H, W] in [0, 1]
  std::vector<int64_t> digit;  ///< of each
  int64_t size() const { return static_cast<int64_t>(digit.size()); }
  /// digit · 6 + colour, in [0, 60).
  int64_t group(const Tinted& t) const { return digit[static_cast<size_t>(t.image)] * kColours + t.colour; }
  /// [B, 3, H, W]: grey level times red, green, blue, yellow, magenta or cyan.
  Tensor tint(const std::vector<Tinted>& which) const;
};
/// All of a data set of digits [1, H, W].
DigitImages digit_images(const data::Dataset& set);

/// A reference image, what is to change, and the image that is called right, drawn from the group of the right ones.
struct Triplets {
  std::vector<Tinted> reference, target;
  std::vector<int64_t> tokens;  ///< two a triplet
  std::vector<int64_t> group;   ///< that a right image belongs to
  int64_t size() const { return static_cast<int64_t>(reference.size()); }
  Tensor text(const std::vector<int64_t>& which) const;  ///< i64 [B, 2]
};
/// `count` triplets: any image in any colour; another digit or, as likely, another colour; any image of the group that results. Throws
/// ValueError if a digit has no image.
Triplets draw_triplets(const DigitImages& images, int64_t count, Generator& generator);

/// Images to be searched, and queries whose reference and target are among them.
struct Gallery {
  std::vector<Tinted> items;
  Triplets queries;
  std::vector<int64_t> reference, target;  ///< places of the queries' images in `items`
};
/// `size` different pairs of an image and a colour, and `queries` queries. Throws ValueError if there are fewer pairs, or a group is empty.
Gallery draw_gallery(const DigitImages& images, int64_t size, int64_t queries, Generator& generator);

}  // namespace plumb::methods::cir_uncertainty
