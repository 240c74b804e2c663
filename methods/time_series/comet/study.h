// What the experiments on COMET have in common: windows of patients, pre-training without labels, and what is learned from few labels
// after.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "methods/time_series/comet/comet.h"
#include "models/nn/norm.h"

namespace plumb::methods::comet {

struct Windows {
  Tensor series;                    ///< f32 [n, T, C]
  Tensor labels, patients, trials;  ///< i64 [n]
  int64_t size() const { return labels.numel(); }
  Windows at(const std::vector<int64_t>& places) const;
};

/// How an encoder is trained without labels.
enum class Pretraining { none, comet, simclr };
struct PretrainOptions {
  Pretraining kind = Pretraining::comet;
  CometOptions comet;
  double simclr_temperature = 0.1;
  bool grouped = true;  ///< batches of whole recordings; else of windows in random order, which hold few of one recording
  int64_t epochs = 15, batch = 64;
  double lr = 1e-3;
  std::function<void(int64_t epoch, const temporal::DilatedEncoder& average)> each_epoch = {};  ///< after epoch 1, 2, …
};
/// The mean over training of the weights from the `encoder`'s on, by AdamW. SimCLR contrasts the windows' vectors, the largest over
/// time, of two views with hidden steps, by cosines (Chen et al., ICML 2020).
temporal::DilatedEncoder pretrained(temporal::DilatedEncoder encoder, const Windows& windows, const PretrainOptions& options,
                                    Generator& generator);

/// The encoder's vector of each window, the largest over time, in evaluation mode: [n, output].
Tensor vectors_of(const temporal::DilatedEncoder& encoder, const Tensor& series);

/// An encoder with a head: Linear – batch norm – relu – dropout – Linear, to logits [B, classes].
class SeriesClassifier : public nn::Module {
 public:
  SeriesClassifier(const temporal::DilatedEncoder& encoder, int64_t classes, int64_t width = 128);
  Tensor operator()(const Tensor& series) const;

  temporal::DilatedEncoder encoder;

 private:
  nn::Linear hidden_;
  nn::BatchNorm norm_;
  nn::Dropout dropout_;
  nn::Linear output_;
};

/// Per cent; means over classes. Ranks (the areas) are NaN where a class is missing.
struct Scores {
  double f1 = 0, auroc = 0, auprc = 0;
};
Scores scores_of(const Tensor& probabilities, const Tensor& labels);

struct FinetuneOptions {
  int64_t epochs = 50, batch = 32;
  double lr = 1e-3;
  std::function<void(int64_t epoch)> each_epoch = {};
};
/// All of a classifier trained on labelled windows; judged on `test` as it was after the epoch with the best macro-F1 on `validation` (the
/// last of equals), or after the last where that has no windows.
Scores finetuned(const temporal::DilatedEncoder& encoder, const Windows& labelled, const Windows& validation, const Windows& test,
                 int64_t classes, const FinetuneOptions& options, Generator& generator);
/// The frozen encoder's vectors, standardised, and a logistic regression on them.
Scores frozen(const temporal::DilatedEncoder& encoder, const Windows& labelled, const Windows& test, int64_t classes);

/// A random share of each class's windows, at least two: which labels are known. Throws ValueError unless 0 < share ≤ 1.
std::vector<int64_t> few_windows(const Windows& windows, double share, Generator& generator);

}  // namespace plumb::methods::comet
