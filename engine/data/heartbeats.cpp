// Beats as sums of bumps, recordings as beats with drift and noise.
#include "engine/data/heartbeats.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/data/source.h"

namespace plumb::data {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

class Draws {
 public:
  explicit Draws(uint64_t seed) : generator_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * generator_.next_double(); }
  double normal(double mean, double deviation) {
    double radius = std::sqrt(-2 * std::log(1 - generator_.next_double()));
    return mean + deviation * radius * std::cos(kTurn * generator_.next_double());
  }

 private:
  Generator generator_;
};

struct Bump {
  double height, place, width;  // in heights of a beat, in shares of the time from beat to beat
};

struct Patient {
  std::array<Bump, 6> bumps;
  double period;  // steps from beat to beat
};

Patient patient_of(const HeartbeatOptions& o, int64_t number) {
  Draws d(mix(o.seed, static_cast<uint64_t>(number) + 1));
  double raised = d.normal(0, 0.05) + (number % 2 == 1 ? o.effect : 0);
  Patient p;
  p.bumps = {Bump{d.normal(0.15, 0.04), d.normal(0.20, 0.015), d.uniform(0.025, 0.035)},
             Bump{-std::abs(d.normal(0.12, 0.04)), d.normal(0.345, 0.005), 0.02},
             Bump{1, 0.40, d.uniform(0.024, 0.03)},
             Bump{-std::abs(d.normal(0.2, 0.06)), d.normal(0.46, 0.005), 0.022},
             Bump{raised, 0.555, 0.045},
             Bump{d.normal(0.3, 0.08), d.normal(0.70, 0.02), d.uniform(0.045, 0.06)}};
  p.period = d.uniform(0.8, 1.2) * static_cast<double>(o.length) / o.beats;
  return p;
}

// Beats from a random place on, each a little shorter or longer than the last.
std::vector<double> recording(const HeartbeatOptions& o, const Patient& p, Draws& d) {
  std::vector<double> y(static_cast<size_t>(o.windows * o.length));
  double drift = d.uniform(0.05, 0.3), slow = d.uniform(2, 5) * static_cast<double>(o.length), phase = d.uniform(0, kTurn),
         noise = d.uniform(0.03, 0.12);
  double beat = -p.period * d.uniform(0, 1), period = p.period;
  for (size_t t = 0; t < y.size(); ++t) {
    auto now = static_cast<double>(t);
    if (now - beat >= period) beat += period, period = p.period * d.uniform(0.96, 1.04);
    double place = (now - beat) / period;
    y[t] = drift * std::sin(kTurn * now / slow + phase) + d.normal(0, noise);
    for (const Bump& b : p.bumps) y[t] += b.height * std::exp(-0.5 * (place - b.place) * (place - b.place) / (b.width * b.width));
  }
  return y;
}

void standardise(std::vector<double>& y) {
  double mean = 0, squares = 0;
  for (double v : y) mean += v / static_cast<double>(y.size());
  for (double v : y) squares += (v - mean) * (v - mean) / static_cast<double>(y.size());
  for (double& v : y) v = (v - mean) / std::sqrt(squares);
}

}  // namespace

Heartbeats heartbeats(const HeartbeatOptions& o) {
  if (o.patients < 1 || o.trials < 1 || o.windows < 1 || o.length < 8 || !(o.beats > 0))
    throw ValueError(
        fmt::format("heartbeats: needs patients, trials, windows and beats, and a length of 8 or more; they are {}, {}, {}, {} and {}",
                    o.patients, o.trials, o.windows, o.beats, o.length));
  int64_t n = o.patients * o.trials * o.windows;
  Heartbeats all{empty({n, o.length, 1}, f32, cpu, "heartbeats"), empty({n}, i64, cpu, "heartbeats"), empty({n}, i64, cpu, "heartbeats"),
                 empty({n}, i64, cpu, "heartbeats")};
  float* out = all.series.data<float>();
  int64_t window = 0;
  for (int64_t p = 0; p < o.patients; ++p) {
    Patient patient = patient_of(o, p);
    for (int64_t trial = 0; trial < o.trials; ++trial) {
      Draws d(mix(mix(o.seed, static_cast<uint64_t>(p) + 1), static_cast<uint64_t>(trial) + 1));
      std::vector<double> y = recording(o, patient, d);
      standardise(y);
      for (double v : y) *out++ = static_cast<float>(v);
      for (int64_t w = 0; w < o.windows; ++w, ++window) {
        all.labels.data<int64_t>()[window] = p % 2;
        all.patients.data<int64_t>()[window] = p;
        all.trials.data<int64_t>()[window] = p * o.trials + trial;
      }
    }
  }
  return all;
}

}  // namespace plumb::data
