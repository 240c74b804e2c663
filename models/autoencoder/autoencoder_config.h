// What an autoencoder is made of.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/shape.h"

namespace plumb::autoencoder {

/// How pixels in [0, 1] are distributed around what the decoder says.
enum class Likelihood : uint8_t {
  bernoulli,  ///< x log p + (1 − x) log(1 − p) with p the sigmoid of its output
  gaussian,   ///< N(x; (y + 1)/2, σ²), y its output
};

struct AutoencoderConfig {
  int64_t channels = 1;                   ///< of the images
  int64_t side = 28;                      ///< of the images: a multiple of 2^(levels − 1)
  int64_t width = 32;                     ///< channels of the first level, before its multiplier
  std::vector<int64_t> multipliers{1, 2}; ///< one a level; every further level halves the image
  int64_t blocks = 1;                     ///< residual blocks a level of the encoder; the decoder has one more
  bool attention = true;                  ///< among all places, in the middle
  int64_t groups = 8;                     ///< of group norms; must divide the channels of every level
  double dropout = 0;
  int64_t latent = 4;                     ///< channels of the latent map, or numbers of a latent vector
  bool vector = false;                    ///< the latent is a vector, through one fully connected layer each way, instead of a map
  Likelihood likelihood = Likelihood::bernoulli;
  double sigma = 0;                       ///< of the Gaussian likelihood; 0: learned, one for all pixels

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static AutoencoderConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;

  int64_t levels() const { return static_cast<int64_t>(multipliers.size()); }
  int64_t channels_at(int64_t level) const { return width * multipliers[static_cast<size_t>(level)]; }
  /// Side of the innermost maps.
  int64_t inner_side() const { return side >> (levels() - 1); }
  /// [latent, h, w], or [latent] of a vector.
  Shape latent_shape() const { return vector ? Shape{latent} : Shape{latent, inner_side(), inner_side()}; }
};

}  // namespace plumb::autoencoder
