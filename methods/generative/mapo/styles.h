// Digits in other styles, as targets of preferences, and the classifiers that judge what a model makes of them.
#pragma once
#include "engine/core/generator.h"
#include "models/mlp/mlp.h"

namespace plumb::methods::mapo {

/// plain: as they are; thick: each pixel the brightest of its 2 × 2 neighbourhood; negative: light and dark exchanged.
enum class Style : uint8_t { plain, thick, negative };

/// Rows [n, 64] of 8 × 8 pixels in [−1, 1] in another style. Throws ShapeError for another width.
Tensor in_style(const Tensor& rows, Style style);
/// As pictures, [n, 1, 8, 8] in [0, 1].
Tensor images(const Tensor& rows);

/// The digits of engine/data as rows [n, 64] in [−1, 1].
struct PlainDigits {
  PlainDigits();
  Tensor rows, labels;
};

/// Two perceptrons, one for the digit and one for the style, trained on real digits in all three styles with a little noise.
class StyleJudge {
 public:
  /// About a second. Draws from the default generator.
  StyleJudge(const PlainDigits& digits, int64_t steps = 800);

  /// Share of rows that are in this style.
  double in_style(const Tensor& rows, Style style) const;
  /// Share of rows that show the digit asked for, i64 [n].
  double right_digit(const Tensor& rows, const Tensor& labels) const;
  /// Share of rows for which both hold.
  double both(const Tensor& rows, const Tensor& labels, Style style) const;
  /// Both, on real digits in all styles that it was not trained on.
  double accuracy() const { return accuracy_; }

 private:
  Tensor digits_of(const Tensor& rows) const;
  Tensor styles_of(const Tensor& rows) const;
  mlp::Mlp digit_, style_;
  double accuracy_ = 0;
};

}  // namespace plumb::methods::mapo
