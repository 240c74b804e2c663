// Heartbeats, splits by patient, and the regimes of labels.
#include "methods/time_series/comet/heartbeat_trial.h"

#include "engine/data/heartbeats.h"
#include "methods/time_series/comet/sampling.h"

namespace plumb::methods::comet {
namespace {

constexpr double kEffect = 0.15;                      // of the illness
constexpr double kFew = 0.1;                          // share of labels that are known
constexpr double kRate = 1e-3, kFinetuneRate = 1e-3;  // of pre-training and of fine-tuning, the same for all variants
constexpr int64_t kPatients[3] = {20, 6, 60};         // to train, to validate, to test
constexpr int64_t kFewEpochs = 40, kAllEpochs = 10;   // of fine-tuning

constexpr const char* kChart = "macro-F1 of the frozen encoder on validation patients (%)";

struct Problem {
  Windows train, validation, test;
  Windows few_labels, few_patients;
  temporal::DilatedEncoder start;
};

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  std::vector<int64_t> patients(std::begin(kPatients), std::end(kPatients));
  if (cell.budget() == Budget::smoke) patients = {4, 2, 4};
  data::Heartbeats h = data::heartbeats({.patients = patients[0] + patients[1] + patients[2],
                                         .trials = cell.pick<int64_t>(2, 4, 4),
                                         .windows = cell.pick<int64_t>(4, 8, 8),
                                         .length = cell.pick<int64_t>(32, 64, 128),
                                         .beats = cell.pick<double>(1, 1.5, 3),
                                         .effect = kEffect,
                                         .seed = g.next_u64()});
  Windows all{h.series, h.labels, h.patients, h.trials};
  auto parts = patient_split(all.patients, all.labels, patients, g);
  Windows train = all.at(parts[0]);
  int64_t few = std::max<int64_t>(2, static_cast<int64_t>(kFew * static_cast<double>(patients[0])));
  return {train,
          all.at(parts[1]),
          all.at(parts[2]),
          train.at(few_windows(train, kFew, g)),
          train.at(patient_split(train.patients, train.labels, {few}, g)[0]),
          temporal::DilatedEncoder({.channels = 1,
                                    .depth = cell.pick<int64_t>(2, 3, 4),
                                    .hidden = cell.pick<int64_t>(8, 16, 32),
                                    .output = cell.pick<int64_t>(8, 32, 64)})};
}

}  // namespace

std::vector<Metric> heartbeat_metrics() {
  return {{"macro-F1, 10 % of labels (%)", Better::higher},
          {"AUROC, 10 % of labels (%)", Better::higher},
          {"AUPRC, 10 % of labels (%)", Better::higher},
          {"macro-F1, 10 % of patients (%)", Better::higher},
          {"macro-F1, all labels (%)", Better::higher},
          {"AUROC, all labels (%)", Better::higher},
          {"macro-F1, frozen, 10 % of labels (%)", Better::higher},
          {"macro-F1, frozen, all labels (%)", Better::higher},
          {"AUROC, frozen, all labels (%)", Better::higher}};
}

void run_heartbeats(Cell& cell, PretrainOptions options) {
  auto p = cell.shared("heartbeats", [&] { return make_problem(cell); });
  options.epochs = cell.pick<int64_t>(1, 15, 40);
  options.batch = cell.pick<int64_t>(16, 64, 64);
  options.lr = kRate;
  auto probe = [&](int64_t epoch, const temporal::DilatedEncoder& encoder) {
    cell.point(kChart, "epoch of pre-training", static_cast<double>(epoch), frozen(encoder, p->train, p->validation, 2).f1);
  };
  probe(0, p->start);
  int64_t every = std::max<int64_t>(1, options.epochs / 5);
  options.each_epoch = [&](int64_t epoch, const temporal::DilatedEncoder& average) {
    cell.progress(0.6 * static_cast<double>(epoch) / static_cast<double>(options.epochs));
    if (epoch % every == 0) probe(epoch, average);
  };
  Generator g(cell.seed() + 1);
  temporal::DilatedEncoder encoder = pretrained(p->start, p->train, options, g);
  double done = 0.6;
  auto tuned = [&](const Windows& labelled, int64_t epochs, uint64_t stream) {
    // The same head and the same batches for every variant.
    manual_seed(cell.seed() * 16 + stream);
    Generator order(cell.seed() * 16 + stream);
    FinetuneOptions o{.epochs = cell.pick<int64_t>(2, epochs, 50), .batch = 32, .lr = kFinetuneRate};
    o.each_epoch = [&](int64_t epoch) { cell.progress(done + 0.13 * static_cast<double>(epoch) / static_cast<double>(o.epochs)); };
    Scores s = finetuned(encoder, labelled, p->validation, p->test, 2, o, order);
    done += 0.13;
    return s;
  };
  Scores few = tuned(p->few_labels, kFewEpochs, 1), scarce = tuned(p->few_patients, kFewEpochs, 2), all = tuned(p->train, kAllEpochs, 3);
  Scores frozen_few = frozen(encoder, p->few_labels, p->test, 2), frozen_all = frozen(encoder, p->train, p->test, 2);
  cell.metric("macro-F1, 10 % of labels (%)", few.f1);
  cell.metric("AUROC, 10 % of labels (%)", few.auroc);
  cell.metric("AUPRC, 10 % of labels (%)", few.auprc);
  cell.metric("macro-F1, 10 % of patients (%)", scarce.f1);
  cell.metric("macro-F1, all labels (%)", all.f1);
  cell.metric("AUROC, all labels (%)", all.auroc);
  cell.metric("macro-F1, frozen, 10 % of labels (%)", frozen_few.f1);
  cell.metric("macro-F1, frozen, all labels (%)", frozen_all.f1);
  cell.metric("AUROC, frozen, all labels (%)", frozen_all.auroc);
}

}  // namespace plumb::methods::comet
