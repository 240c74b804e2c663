// Coloured digits: environments in which colour predicts the label better than the shape does, until the test turns the colours around.
#pragma once
#include <array>

#include "engine/data/dataset.h"

namespace plumb::data {

struct ColoredDigitsOptions {
  double color_flip = 0.1;   ///< e: how often the colour contradicts the label
  double label_flip = 0.25;  ///< how often the label contradicts the digit
  bool grey = false;         ///< the image in both channels: no colour to go by
  int64_t stride = 1;        ///< every stride-th row and column is kept
  uint64_t seed = 0;
};

/// Colored-MNIST (Arjovsky et al., "Invariant Risk Minimization", 2019) of any grey digits: y₀ = [digit < 5], the label y is y₀ turned with
/// probability label_flip, the colour is y turned with probability color_flip, and image [2, ⌈H/stride⌉, ⌈W/stride⌉] holds the digit in the
/// channel of its colour, zeros in the other. Fields: image, label (0 or 1, i64), "digit" and "color" (i64). An example's draws depend on
/// the seed and its Sample::index alone. Throws ValueError for a probability outside [0, 1] or a stride below 1, and, when examples are
/// read, ShapeError for images other than [1, H, W].
Dataset colored_digits(const Dataset& digits, ColoredDigitsOptions options = {});

struct ImbalanceOptions {
  double share = 0.97;       ///< of the digits below 5 that go to the first environment, and of the others to the second
  bool as_released = false;  ///< the split that the released code makes: see below
  uint64_t seed = 0;
};

/// Places of two environments with opposite classes in the majority (Hemati et al., ICCV 2023): the first has `share` of the digits below 5
/// and 1 − share of the others, the second the rest; which ones is random. The released code cuts at share·n and (1 − share)·n with n all
/// digits, not those of a half: its first environment has all digits below 5 (for share ≥ their part) and (1 − share)·n others, its second
/// the rest. Throws ValueError unless 0.5 ≤ share ≤ 1.
std::array<std::vector<int64_t>, 2> imbalanced_environments(const std::vector<int64_t>& digits, ImbalanceOptions options = {});

}  // namespace plumb::data
