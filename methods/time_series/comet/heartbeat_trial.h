// One way of pre-training, judged on made-up heartbeats of patients never seen: with few labels, with labels of few patients, with all.
#pragma once
#include "methods/experiment.h"
#include "methods/time_series/comet/study.h"

namespace plumb::methods::comet {

/// The metrics that run_heartbeats measures, the first what the claim is about.
std::vector<Metric> heartbeat_metrics();
/// Pre-trains as `options` says (its epochs and batch are the budget's) and measures. What variants of a seed share: patients, labels,
/// initial weights.
void run_heartbeats(Cell& cell, PretrainOptions options);

}  // namespace plumb::methods::comet
