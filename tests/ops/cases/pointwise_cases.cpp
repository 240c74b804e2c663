// Rows of arithmetic, selection and clamping.
#include "ops/pointwise.h"

#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

using T = const Tensor&;
static const Shape kShape{2, 3};

std::vector<OpCase> pointwise_cases() {
  Tensor mask = tensor({{true, false, true}, {false, false, true}});
  // Two inputs that are never equal: below and above a half.
  InputSpec low = within(-2, 0.4, kShape), high = within(0.6, 2, kShape);
  return {
      {"add", {real(kShape), real(kShape)}, [](T a, T b) { return add(a, b); }, true},
      {"add number", {real(kShape)}, [](T a) { return add(a, 1.5); }, true},
      {"sub", {real(kShape), real(kShape)}, [](T a, T b) { return sub(a, b); }, true},
      {"sub number", {real(kShape)}, [](T a) { return a - 0.75; }, true},
      {"number sub", {real(kShape)}, [](T a) { return 0.75 - a; }, true},
      {"mul", {real(kShape), real(kShape)}, [](T a, T b) { return mul(a, b); }, true},
      {"mul number", {real(kShape)}, [](T a) { return mul(a, -2.5); }, true},
      {"mul by itself", {real(kShape)}, [](T a) { return a * a; }, true},
      {"div", {real(kShape), positive(kShape)}, [](T a, T b) { return div(a, b); }, true},
      {"div number", {real(kShape)}, [](T a) { return div(a, 3.0); }, true},
      {"number div", {positive(kShape)}, [](T a) { return 3.0 / a; }, true},
      {"neg", {real(kShape)}, [](T a) { return neg(a); }, true},
      {"operators",
       {real(kShape), positive(kShape)},
       [](T a, T b) { return -(a + b) * (a - b) / b + (2.0 - a) * (1.5 + b) - (a * 0.5 - 1.0) / 3.0 - (0.25 * b + 1.0); },
       true,
       16},
      {"remainder", {within(4.1, 4.4, kShape), within(1.1, 1.3, kShape)}, [](T a, T b) { return remainder(a, b); }, true},
      {"remainder of negatives", {within(-4.4, -4.1, kShape), within(1.1, 1.3, kShape)}, [](T a, T b) { return remainder(a, b); }, true},
      {"floor_divide", {within(4.1, 4.4, kShape), within(1.1, 1.3, kShape)}, [](T a, T b) { return floor_divide(a, b); }, true},
      {"pow", {positive(kShape), real(kShape)}, [](T a, T b) { return pow(a, b); }, true, 16},
      {"pow 3", {real(kShape)}, [](T a) { return pow(a, 3); }, true},
      {"pow 2", {real(kShape)}, [](T a) { return pow(a, 2); }, true},
      {"pow 1", {real(kShape)}, [](T a) { return pow(a, 1); }, true},
      {"pow 0", {real(kShape)}, [](T a) { return pow(a, 0); }, true},
      {"pow -1.5", {positive(kShape)}, [](T a) { return pow(a, -1.5); }, true},
      {"number pow", {real(kShape)}, [](T a) { return pow(1.7, a); }, true},
      {"maximum", {low, high}, [](T a, T b) { return maximum(a, b) + maximum(b, a * 0.5); }, true},
      {"minimum", {low, high}, [](T a, T b) { return minimum(a, b) + minimum(b, a * 0.5); }, true},
      {"atan2", {positive(kShape), real(kShape)}, [](T a, T b) { return atan2(a, b); }, true},
      {"hypot", {positive(kShape), real(kShape)}, [](T a, T b) { return hypot(a, b); }, true},
      {"xlogy", {real(kShape).away_from({0}), positive(kShape)}, [](T a, T b) { return xlogy(a, b); }, true},
      {"logaddexp", {real(kShape), real(kShape)}, [](T a, T b) { return logaddexp(a, b); }, true},
      {"lerp number", {real(kShape), real(kShape)}, [](T a, T b) { return lerp(a, b, 0.3); }, true},
      {"lerp", {real(kShape), real(kShape), within(0, 1, kShape)}, [](T a, T b, T w) { return lerp(a, b, w); }, true},
      {"where", {fixed(mask), real(kShape), real(kShape)}, [](T c, T a, T b) { return where(c, a, b); }, true},
      {"where number", {fixed(mask), real(kShape)}, [](T c, T a) { return where(c, a, 0.5) + where(c, -1.5, a); }, true},
      {"clamp", {real(kShape).away_from({-0.5, 1})}, [](T a) { return clamp(a, -0.5, 1.0); }, true},
      {"clamp tensors",
       {real(kShape).away_from({-0.5, 1}, 0.2), within(-0.6, -0.4, kShape), within(0.9, 1.1, kShape)},
       [](T a, T l, T h) { return clamp(a, l, h); },
       true},
      {"clamp_min", {real(kShape).away_from({0.25})}, [](T a) { return clamp_min(a, 0.25); }, true},
      {"clamp_max", {real(kShape).away_from({0.25})}, [](T a) { return clamp_max(a, 0.25); }, true},
      {"sum_to",
       {real({2, 2, 3})},
       [](T a) {
         return sum_to(a, {2, 1});
       }},
      {"in place",
       {real(kShape), real(kShape), positive(kShape)},
       [](T a, T b, T c) {
         Tensor y = a * 1.0;
         add_(y, b);
         mul_(y, a);
         sub_(y, c);
         div_(y, c);
         mul_(y, 0.5);
         add_(y, -1.25);
         return y;
       }},
      {"masked_fill_",
       {fixed(mask), real(kShape)},
       [](T c, T a) {
         Tensor y = a * a;
         masked_fill_(y, c, 0.5);
         return y * a;
       }},
  };
}

}  // namespace plumb::testing
