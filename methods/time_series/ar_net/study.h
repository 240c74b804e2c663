// What the experiments on autoregressions have in common: a series cut in time, and the error of a forecast.
#pragma once
#include "engine/data/lag_windows.h"
#include "methods/time_series/ar_net/fit.h"

namespace plumb::methods::ar_net {

/// Windows of lags of one order: those whose targets lie before `end` (a step of the series), and those with targets from there on, which
/// may read lags from before. Windows with a missing value are left out. f32.
struct TimeSplit {
  Tensor train_lags, train_targets, test_lags, test_targets;
};
TimeSplit split_in_time(const Tensor& series, int64_t order, int64_t end, int64_t horizon = 1);

/// mean (ŷ − y)², in f64.
double squared_error(const Tensor& predicted, const Tensor& targets);

/// A network of the split's order trained on its first part; weights are drawn from the default generator, the order of batches too.
ArNet trained(const TimeSplit& split, const ArTraining& training, const std::vector<int64_t>& hidden = {});

}  // namespace plumb::methods::ar_net
