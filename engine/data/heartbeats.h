// Made-up heartbeats: windows within recordings within patients of two classes, as electrocardiograms are nested.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::data {

struct HeartbeatOptions {
  int64_t patients = 20;  ///< of which every second is ill
  int64_t trials = 4;     ///< recordings a patient
  int64_t windows = 8;    ///< of each recording, one after the other
  int64_t length = 128;   ///< steps of a window
  double beats = 3;       ///< in a window: a patient's own number lies within a fifth of it
  double effect = 0.15;   ///< how far the stretch behind the beat is raised in the ill, in heights of the beat
  uint64_t seed = 0;
};

/// All n = patients · trials · windows of them. A beat is a sum of five Gaussian bumps (P, Q, R, S, T), whose sizes, places and widths are
/// the patient's, and so is the time between beats. A recording has a drift, a noise level and a gain of its own, and is standardised as a
/// whole. The stretch between S and T lies at N(0, 0.05²), in the ill `effect` higher.
struct Heartbeats {
  Tensor series;            ///< f32 [n, length, 1]
  Tensor labels;            ///< i64 [n]: 1 for the ill
  Tensor patients, trials;  ///< i64 [n]; a trial's number is its own, not the patient's
};
/// Throws ValueError for a size below 1, a length below 8, or beats that are not positive.
Heartbeats heartbeats(const HeartbeatOptions& options);

}  // namespace plumb::data
