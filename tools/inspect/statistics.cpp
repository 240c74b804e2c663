// Two passes in f64, a piece of the tensor at a time, so that a large file needs no second copy in memory.
#include "tools/inspect/statistics.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/shape.h"

namespace plumb::tools {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;

template <typename F>
void for_each_element(const Tensor& flat, F&& f) {
  for (int64_t start = 0; start < flat.numel(); start += kPiece) {
    Tensor piece = to(to(slice(flat, 0, start, std::min(start + kPiece, flat.numel())), cpu), f64);
    const double* x = piece.data<double>();
    for (int64_t i = 0; i < piece.numel(); ++i) f(x[i]);
  }
}

void count(const Tensor& flat, TensorStatistics& s) {
  double sum = 0;
  for_each_element(flat, [&](double v) {
    if (std::isnan(v)) return void(++s.nans);
    if (std::isinf(v)) return void(++s.infinities);
    s.min = s.finite ? std::min(s.min, v) : v;
    s.max = s.finite ? std::max(s.max, v) : v;
    s.zeros += v == 0;
    ++s.finite;
    sum += v;
  });
  if (s.finite) s.mean = sum / static_cast<double>(s.finite);
}

// Widths are halved before they are subtracted: the largest f64 less the smallest is infinite.
void spread(const Tensor& flat, TensorStatistics& s) {
  double squares = 0, half_width = s.max / 2 - s.min / 2;
  for_each_element(flat, [&](double v) {
    if (!std::isfinite(v)) return;
    squares += (v - s.mean) * (v - s.mean);
    double place = half_width > 0 ? (v / 2 - s.min / 2) / half_width * TensorStatistics::kBins : 0;
    ++s.histogram[static_cast<size_t>(std::min(place, TensorStatistics::kBins - 1.0))];
  });
  s.std = std::sqrt(squares / static_cast<double>(s.finite));
}

}  // namespace

TensorStatistics statistics_of(const Tensor& x) {
  NoGrad off;
  TensorStatistics s;
  Tensor flat = reshape(x, {-1});
  count(flat, s);
  if (s.finite) spread(flat, s);
  return s;
}

std::string bars(const TensorStatistics& s) {
  constexpr const char* kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  int64_t most = std::max<int64_t>(1, *std::ranges::max_element(s.histogram));
  std::string text;
  for (int64_t n : s.histogram) text += kBars[(8 * n + most - 1) / most];
  return text;
}

}  // namespace plumb::tools
