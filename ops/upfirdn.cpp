// Filtering between sampling rates: along each dimension an output place reads the input places that fall under the filter (resample.h).
#include <string>

#include "ops/resample.h"
#include "ops/vision.h"

namespace plumb {
namespace {

// Output i stands at i · down − before of the input with up − 1 zeros behind every element; the filter is turned round, as in a
// convolution.
AxisMap filter_map(const std::vector<double>& taps, const UpfirdnOptions& o, int64_t size, int64_t outputs, Device device) {
  detail::AxisMapBuilder builder(size);
  const auto length = static_cast<int64_t>(taps.size());
  for (int64_t i = 0; i < outputs; ++i) {
    for (int64_t k = 0; k < length; ++k) {
      const int64_t at = i * o.down - o.before + k;
      if (at >= 0 && at % o.up == 0 && at / o.up < size) builder.read(at / o.up, o.gain * taps[static_cast<size_t>(length - 1 - k)]);
    }
    builder.finish_output();
  }
  return builder.build(device);
}

int64_t outputs_of(const UpfirdnOptions& o, int64_t size, int64_t taps) {
  const int64_t room = size * o.up + o.before + o.after - taps;
  return room < 0 ? 0 : room / o.down + 1;
}

}  // namespace

Tensor upfirdn2d(const Tensor& input, const std::vector<double>& taps, const UpfirdnOptions& o) {
  Tensor x = detail::with_height("upfirdn2d", input, 2);
  if (taps.empty()) throw ValueError("upfirdn2d: the filter has no taps");
  if (o.up < 1 || o.down < 1)
    throw ValueError("upfirdn2d: up and down must be at least 1, they are " + std::to_string(o.up) + " and " + std::to_string(o.down));
  const auto length = static_cast<int64_t>(taps.size());
  const int64_t height = outputs_of(o, x.size(-2), length), width = outputs_of(o, x.size(-1), length);
  if (height < 1 || width < 1)
    throw ShapeError("upfirdn2d: nothing is left of " + to_string(x.shape()) + " under " + std::to_string(length) + " taps with padding " +
                     std::to_string(o.before) + " and " + std::to_string(o.after));
  return detail::resample("upfirdn2d", x, filter_map(taps, o, x.size(-2), height, x.device()),
                          filter_map(taps, o, x.size(-1), width, x.device()));
}

}  // namespace plumb
