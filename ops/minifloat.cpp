// Rounding to small floating-point formats.
#include "ops/minifloat.h"

#include <limits>
#include <string>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/minifloat.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {

static void check_format(const MinifloatFormat& f, bool saturate) {
  auto is = [](int value) { return ", it is " + std::to_string(value); };
  if (f.exponent_bits < 2 || f.exponent_bits > 8)
    throw ValueError("round_to_minifloat: exponent_bits must lie between 2 and 8" + is(f.exponent_bits));
  if (f.mantissa_bits < 1 || f.mantissa_bits > 10)
    throw ValueError("round_to_minifloat: mantissa_bits must lie between 1 and 10" + is(f.mantissa_bits));
  if (!saturate && f.specials == MinifloatSpecials::none)
    throw ValueError("round_to_minifloat: a format without infinity and NaN must saturate");
}

// dx = dy where |x| rounds to at most the largest number, else 0: up to half a step beyond it, where ties go to the even neighbour above
// if the largest is odd.
Tensor round_to_minifloat(const Tensor& x, const MinifloatFormat& format, bool saturate) {
  if (!is_floating(x.dtype())) unsupported_dtype("round_to_minifloat", x.dtype());
  check_format(format, saturate);
  double largest = format.largest(), beyond = saturate ? largest
                                              : format.specials == MinifloatSpecials::ieee ? std::numeric_limits<double>::infinity()
                                                                                           : std::numeric_limits<double>::quiet_NaN();
  Tensor y = empty(x.shape(), x.dtype(), x.device(), "round_to_minifloat");
  kernel::round_minifloat(x.device(), contiguous_data(x), format.mantissa_bits, 1 - format.bias(), largest, beyond, y);
  double half_step = std::ldexp(0.5, std::ilogb(largest) - format.mantissa_bits);
  bool odd = std::fmod(largest / (2 * half_step), 2) == 1;
  return record("round_to_minifloat", y, {x}, saving(x),
                [limit = largest + half_step, odd](const Grads& dy, const Saved& s, Needs) -> Grads {
                  Tensor size = abs(to(s[0].detach(), f64));
                  return {where(odd ? size < limit : size <= limit, dy[0], 0)};
                });
}

}  // namespace plumb
