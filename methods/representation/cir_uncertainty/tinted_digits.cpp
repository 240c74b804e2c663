// Colouring digits and drawing what is asked for.
#include "methods/representation/cir_uncertainty/tinted_digits.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::cir_uncertainty {
namespace {

constexpr float kShares[kColours][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}};

int64_t below(Generator& g, size_t n) { return static_cast<int64_t>(g.next_below(n)); }

/// Another number of [0, n) than `old`.
int64_t another(int64_t old, int64_t n, Generator& g) {
  int64_t drawn = below(g, static_cast<size_t>(n - 1));
  return drawn < old ? drawn : drawn + 1;
}

/// Draws a change to the image and adds the triplet; its target is left to the caller. Returns the group that results.
int64_t add_query(Triplets& t, const DigitImages& images, const Tinted& reference, Generator& g) {
  int64_t digit = images.digit[static_cast<size_t>(reference.image)], colour = reference.colour;
  const bool changes_digit = g.next_below(2) == 0;
  if (changes_digit) digit = another(digit, kDigits, g);
  else colour = another(colour, kColours, g);
  t.reference.push_back(reference);
  t.tokens.push_back(changes_digit ? 0 : 1);
  t.tokens.push_back(changes_digit ? 2 + digit : 2 + kDigits + colour);
  t.group.push_back(digit * kColours + colour);
  return t.group.back();
}

}  // namespace

Tensor DigitImages::tint(const std::vector<Tinted>& which) const {
  std::vector<int64_t> image;
  std::vector<float> share;
  for (const Tinted& t : which) {
    image.push_back(t.image);
    share.insert(share.end(), kShares[t.colour], kShares[t.colour] + 3);
  }
  return index_select(grey, 0, from_vector(image)) * from_vector(share, {static_cast<int64_t>(which.size()), 3, 1, 1});
}

DigitImages digit_images(const data::Dataset& set) {
  data::Batch all = set.batch(set.size()).next();
  return {all.image, to_vector<int64_t>(all.label)};
}

Tensor Triplets::text(const std::vector<int64_t>& which) const {
  std::vector<int64_t> chosen;
  for (int64_t i : which) {
    chosen.push_back(tokens[static_cast<size_t>(2 * i)]);
    chosen.push_back(tokens[static_cast<size_t>(2 * i + 1)]);
  }
  return from_vector(chosen, {static_cast<int64_t>(which.size()), 2});
}

Triplets draw_triplets(const DigitImages& images, int64_t count, Generator& g) {
  std::vector<std::vector<int64_t>> of_digit(kDigits);
  for (int64_t i = 0; i < images.size(); ++i) of_digit[static_cast<size_t>(images.digit[static_cast<size_t>(i)])].push_back(i);
  for (int64_t d = 0; d < kDigits; ++d)
    if (of_digit[static_cast<size_t>(d)].empty()) throw ValueError(fmt::format("draw_triplets: there is no image of digit {}", d));
  Triplets t;
  for (int64_t i = 0; i < count; ++i) {
    int64_t image = below(g, images.digit.size());
    int64_t group = add_query(t, images, {image, below(g, kColours)}, g);
    const auto& right = of_digit[static_cast<size_t>(group / kColours)];
    t.target.push_back({right[g.next_below(right.size())], group % kColours});
  }
  return t;
}

Gallery draw_gallery(const DigitImages& images, int64_t size, int64_t queries, Generator& g) {
  int64_t pairs = images.size() * kColours;
  if (size < 1 || size > pairs) throw ValueError(fmt::format("draw_gallery: {} different ones of {} coloured images", size, pairs));
  Gallery gallery;
  std::vector<std::vector<int64_t>> places(kDigits * kColours);
  std::vector<int64_t> order = data::random_order(pairs, g);
  for (int64_t i = 0; i < size; ++i) {
    int64_t pair = order[static_cast<size_t>(i)];
    gallery.items.push_back({pair / kColours, pair % kColours});
    places[static_cast<size_t>(images.group(gallery.items.back()))].push_back(i);
  }
  for (size_t group = 0; group < places.size(); ++group)
    if (places[group].empty())
      throw ValueError(fmt::format("draw_gallery: none of {} images is a {} in colour {}", size, group / kColours, group % kColours));
  for (int64_t q = 0; q < queries; ++q) {
    gallery.reference.push_back(below(g, gallery.items.size()));
    int64_t group = add_query(gallery.queries, images, gallery.items[static_cast<size_t>(gallery.reference.back())], g);
    const auto& right = places[static_cast<size_t>(group)];
    gallery.target.push_back(right[g.next_below(right.size())]);
    gallery.queries.target.push_back(gallery.items[static_cast<size_t>(gallery.target.back())]);
  }
  return gallery;
}

}  // namespace plumb::methods::cir_uncertainty
