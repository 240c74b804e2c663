// Image classifiers fine-tuned on labelled images.
#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tools/finetune/finetune_run.h"

namespace plumb::tools {
namespace {

LabelledImages same_images(const std::vector<std::string>& names, const std::string& sha) {
  LabelledImages images = load_labelled_images(names);
  if (fingerprint(images) != sha)
    throw ConfigError(names[0] +
                      " has changed since the run began; a resumed run would not be the same. Restore the images, or start a new run");
  return images;
}

void check_fit(const LabelledImages& images, const ClassifierRun& base, const std::string& name) {
  require(images.shape == Shape(base.image),
          fmt::format("{}: images are {}, the base takes {}", name, to_string(images.shape), to_string(Shape(base.image))));
  require(images.classes <= base.classes(), fmt::format("{}: has {} classes, the base {}", name, images.classes, base.classes()));
}

}  // namespace

void describe_images(FinetuneRun& run, const Base& base) {
  ClassifierRun classifier = base.classifier_run();
  auto describe = [&](std::vector<std::string>& names, std::string& sha) {
    if (names.empty()) return;
    LabelledImages images = load_labelled_images(names);
    check_fit(images, classifier, names[0]);
    sha = fingerprint(images);
    names = lasting_names(names);
  };
  describe(run.data, run.data_sha256);
  describe(run.keep, run.keep_sha256);
}

int tune_images(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  std::unique_ptr<ImageClassifier> classifier = base.classifier(), inherited;
  check_base(run, classifier->module());
  if (run.adapter.is("ba-lora")) {
    inherited = base.classifier();
    settings.prepare(inherited->module());
  }
  settings.prepare(classifier->module());
  LabelledImages images = same_images(run.data, run.data_sha256);
  std::vector<data::Dataset> parts = images.train.split({0.9, 0.1}, {.seed = 0, .stratified = true});
  require(parts[0].size() > 0 && parts[1].size() > 0,
          fmt::format("{}: {} training images leave none to train on or to validate", run.data[0], images.train.size()));
  KeptLosses kept = [&](const std::function<void(const Tensor&)>& f) {
    LabelledImages keep = same_images(run.keep, run.keep_sha256);
    Tensor batch = keep.train.batch(std::min(run.adapter.keep_samples, keep.train.size())).next().image;
    Generator luck(settings.seed);
    methods::visit_fisher_losses(
        [&](const Tensor& x) { return (*classifier)(x); }, batch, {},
        {.labels = methods::FisherLabels::sampled, .unit = methods::FisherUnit::sample, .batch = 1, .generator = &luck},
        [&](const Tensor& loss, double, bool) { f(loss); });
  };
  Tuning tuning(classifier->module(), run.adapter, kept);
  fmt::print(stderr, "finetune: {} of {} parameters of {}, {} images to train on, {} to validate, {} to test\n",
             tuning.part().num_parameters(), classifier->module().num_parameters() - tuning.part().num_parameters(), run.base,
             parts[0].size(), parts[1].size(), images.test.size());
  data::StepBatches batches(parts[0], {.batch = settings.batch, .seed = settings.seed});
  auto loss_of = [&](const Tensor& x, const Tensor& label) {
    Tensor logits = (*classifier)(x);
    if (!inherited) return tuning.guarded(cross_entropy(logits, label));
    Tensor before;
    {
      NoGrad off;
      before = (*inherited)(x);
    }
    return methods::ba_lora::classification_loss(logits, before, label, run.adapter.penalties);
  };
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = batches(part.step, part.index, part.count);
            return loss_of(to(batch.image, settings.place()), to(batch.label, settings.place()));
          },
      .validate =
          [&] {
            Scores scores = measure(*classifier, parts[1]);
            return train::Measures{{"val_loss", scores.loss}, {"val_accuracy", scores.accuracy}};
          },
      .test =
          [&] {
            Scores scores = measure(*classifier, images.test);
            return train::Measures{{"test_loss", scores.loss}, {"test_accuracy", scores.accuracy}};
          },
  };
  return train_adapters(directory, run, tuning, training, static_cast<double>(settings.batch), "images");
}

}  // namespace plumb::tools
