// What each of COMET's levels gives: one after the other left out, and the weights as the released code uses them.
#include "methods/experiment.h"
#include "methods/time_series/comet/heartbeat_trial.h"

namespace plumb::methods::comet_levels {
namespace {

using namespace comet;

constexpr double kThird = 1.0 / 3;  // of each level that is left

CometWeights weights_of(const Cell& cell) {
  if (cell.is("without patient")) return {0, kThird, kThird, kThird};
  if (cell.is("without trial")) return {kThird, 0, kThird, kThird};
  if (cell.is("without sample")) return {kThird, kThird, 0, kThird};
  if (cell.is("without observation")) return {kThird, kThird, kThird, 0};
  return {.as_released = cell.is("as released")};
}

void run(Cell& cell) { run_heartbeats(cell, {.comet = {.weights = weights_of(cell), .own_views = false}}); }

}  // namespace

Experiment experiment() {
  return {
      .title = "COMET's levels",
      .paper = "Wang, Han, Wang and Zhang, Contrast Everything: A Hierarchical Contrastive Framework for Medical Time-Series, NeurIPS 2023",
      .claim = "every level counts",
      .metrics = heartbeat_metrics(),
      .variants = {{"without patient", "recordings, windows and steps"},
                   {"without trial", "patients, windows and steps"},
                   {"without sample", "patients, recordings and steps"},
                   {"without observation", "patients, recordings and windows"},
                   {"as released", "the two upper levels with weight 1"},
                   {"COMET", "all four levels alike"}},
      .baseline = "without patient",
      .method = "COMET",
      .run = run,
  };
}

}  // namespace plumb::methods::comet_levels
