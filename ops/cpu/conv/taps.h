// Convolution over a list of taps: what both a convolution and its adjoint in the input come down to.
#pragma once
#include "ops/cpu/conv/window.h"

namespace plumb::conv {

/// Output place (y, x) of channel m = Σ over channels c and taps t of weight[m, c, t] · input[c, y · step_h + t.y, x · step_w + t.x].
/// It is written to row y · out_step_h + out_y and column x · out_step_w + out_x of the output: the adjoint of a strided convolution
/// falls apart into one such sum for each residue of the stride.
struct TapConvolution {
  TapGrid grid;
  int64_t batch, groups;
  int64_t channels, m;        ///< of a group: read, written
  int64_t height, width;      ///< output places
  int64_t out_step_h = 1, out_step_w = 1, out_y = 0, out_x = 0;
};

/// weight [groups, m, channels, taps] row-major; bias [groups · m] or null; out is row-major [batch, groups · m, ·, ·].
/// An output is a sum in an order fixed by channels and taps alone: it depends on neither threads nor tiles.
template <typename T>
void convolve_taps(const TapConvolution& p, const Source<T>& in, const T* weight, const T* bias, Tensor& out);

}  // namespace plumb::conv
