// Colours and flips, each example from its own place in a random stream.
#include "engine/data/colored_digits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace plumb::data {

namespace {

void check_probability(const char* what, double p) {
  if (!(p >= 0 && p <= 1)) throw ValueError(fmt::format("colored_digits: {} must lie in [0, 1], it is {}", what, p));
}

/// [2, h, w] with every stride-th element of image [1, H, W] in the channels whose flag is set.
Tensor colored(const Tensor& image, int64_t stride, std::array<bool, 2> channels) {
  if (image.rank() != 3 || image.size(0) != 1) throw ShapeError("colored_digits: takes images [1, H, W], got " + to_string(image.shape()));
  int64_t height = (image.size(1) + stride - 1) / stride, width = (image.size(2) + stride - 1) / stride;
  Tensor out = zeros({2, height, width}, f32);
  Tensor kept = view_of(image, {height, width}, {image.strides()[1] * stride, image.strides()[2] * stride}, 0);
  for (int64_t c = 0; c < 2; ++c) {
    if (!channels[static_cast<size_t>(c)]) continue;
    Tensor channel = view_of(out, {height, width}, {width, 1}, c * height * width);
    copy_data(kept, channel);
  }
  return out;
}

}  // namespace

Dataset colored_digits(const Dataset& digits, ColoredDigitsOptions o) {
  check_probability("the colour flip", o.color_flip);
  check_probability("the label flip", o.label_flip);
  if (o.stride < 1) throw ValueError(fmt::format("colored_digits: the stride must be at least 1, it is {}", o.stride));
  return digits.map([o](Sample s) {
    auto words = philox(o.seed, static_cast<uint64_t>(s.index));
    auto happens = [&](int word, double probability) { return words[static_cast<size_t>(word)] < probability * 0x1p32; };
    int64_t digit = s.label.item<int64_t>();
    int64_t label = (digit < 5) != happens(0, o.label_flip);
    int64_t color = (label == 1) != happens(1, o.color_flip);
    Sample out;
    out.index = s.index;
    out.image = colored(s.image, o.stride, {o.grey || color == 0, o.grey || color == 1});
    out.label = scalar_tensor(label, i64);
    out.set("digit", scalar_tensor(digit, i64));
    out.set("color", scalar_tensor(color, i64));
    return out;
  });
}

std::array<std::vector<int64_t>, 2> imbalanced_environments(const std::vector<int64_t>& digits, ImbalanceOptions o) {
  if (!(o.share >= 0.5 && o.share <= 1))
    throw ValueError(fmt::format("imbalanced_environments: the share must lie in [0.5, 1], it is {}", o.share));
  Generator generator(o.seed);
  std::array<std::vector<int64_t>, 2> halves, environments;  // of the digits: below 5, and others
  for (int64_t place : random_order(static_cast<int64_t>(digits.size()), generator))
    halves[digits[static_cast<size_t>(place)] < 5 ? 0 : 1].push_back(place);
  for (size_t half = 0; half < 2; ++half) {
    double of = static_cast<double>(o.as_released ? digits.size() : halves[half].size());
    auto first = static_cast<size_t>(std::llround((half == 0 ? o.share : 1 - o.share) * of));
    for (size_t i = 0; i < halves[half].size(); ++i) environments[i < first ? 0 : 1].push_back(halves[half][i]);
  }
  for (auto& environment : environments) std::ranges::sort(environment);
  return environments;
}

}  // namespace plumb::data
