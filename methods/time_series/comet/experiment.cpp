// COMET against its lower half, its upper level alone, SimCLR and no pre-training, on heartbeats of patients never seen.
#include "methods/experiment.h"

#include "methods/time_series/comet/heartbeat_trial.h"

namespace plumb::methods::comet {
namespace {

// Weights of the levels: patient, trial, sample, observation.
constexpr CometWeights kAll{0.25, 0.25, 0.25, 0.25}, kSteps{0, 0, 0.5, 0.5}, kPatient{1, 0, 0, 0};
constexpr double kTau = 0.1;  // of the upper levels
constexpr double kSimclrTemperature = 0.1;

void run(Cell& cell) {
  PretrainOptions o{.comet = {.weights = kAll, .tau = kTau, .own_views = false}, .simclr_temperature = kSimclrTemperature};
  if (cell.is("no pre-training")) o.kind = Pretraining::none;
  if (cell.variant().starts_with("SimCLR")) o.kind = Pretraining::simclr;
  if (cell.variant().starts_with("sample + observation")) o.comet.weights = kSteps;
  o.grouped = !cell.variant().ends_with(", random batches");
  if (cell.is("patient")) o.comet.weights = kPatient;
  run_heartbeats(cell, o);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "COMET",
      .paper = "Wang, Han, Wang and Zhang, Contrast Everything: A Hierarchical Contrastive Framework for Medical Time-Series, NeurIPS 2023",
      .claim = "contrast at all four levels of nested series gives the best classifier of new patients from few labels",
      .metrics = heartbeat_metrics(),
      .variants = {{"no pre-training", "the same encoder, fine-tuned from its random start"},
                   {"SimCLR", "windows' vectors of two views contrasted by cosines"},
                   {"patient", "the patient level alone, as CLOCS"},
                   {"sample + observation", "the two lower levels, as TS2Vec"},
                   {"SimCLR, random batches", "in which few windows are of one recording"},
                   {"sample + observation, random batches", "the same batches for the two lower levels"},
                   {"COMET, random batches", "the same for all four: few have a partner in their recording"},
                   {"COMET", "all four levels alike, in batches of whole recordings"}},
      .baseline = "sample + observation",
      .method = "COMET",
      .run = run,
  };
}

}  // namespace plumb::methods::comet
