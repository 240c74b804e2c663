// Splits in time and errors of forecasts.
#include "methods/time_series/ar_net/study.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net {

TimeSplit split_in_time(const Tensor& series, int64_t order, int64_t end, int64_t horizon) {
  Tensor y = to(series, f32);
  data::LagMatrix train = data::complete_lag_matrix(y, order, horizon, 0, end), test = data::complete_lag_matrix(y, order, horizon, end);
  return {train.inputs, train.targets, test.inputs, test.targets};
}

double squared_error(const Tensor& predicted, const Tensor& targets) {
  return mean(square(to(predicted.detach(), f64) - to(targets, f64))).item();
}

ArNet trained(const TimeSplit& split, const ArTraining& training, const std::vector<int64_t>& hidden) {
  ArNet net({.order = split.train_lags.size(1), .horizon = split.train_targets.size(1), .hidden = hidden});
  train_ar_net(net, split.train_lags, split.train_targets, training, default_generator());
  return net;
}

}  // namespace plumb::methods::ar_net
