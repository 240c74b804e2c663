// Dual encoders fine-tuned on images with captions.
#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/finetune/finetune_run.h"

namespace plumb::tools {
namespace {

int64_t channels_of(const ClipModel& model) { return model.module().clip_config().channels; }

const std::string& one_name(const std::vector<std::string>& names, const char* option) {
  require(names.size() == 1, fmt::format("{}: give one CSV file, or digit-pairs", option));
  return names[0];
}

void check_fit(const CaptionedParts& parts, const ClipModel& model, const std::string& name) {
  const contrastive::PromptedClipConfig& c = model.module().clip_config();
  Shape taken{c.channels, c.image_height, c.image_width};
  require(parts.image == taken, fmt::format("{}: images are {}, the base takes {}", name, to_string(parts.image), to_string(taken)));
  for (const data::CaptionedImages* set : {&parts.train, &parts.validation, &parts.test}) model.texts(set->captions);
}

// ½ (rows + columns) of what BA-LoRA's loss is of a batch's logits [n, n], image i belonging to text i.
Tensor inherited_loss(const Tensor& logits, const Tensor& before, const methods::ba_lora::Penalties& penalties) {
  Tensor own = arange(logits.size(0), i64, logits.device());
  return (methods::ba_lora::classification_loss(logits, before, own, penalties) +
          methods::ba_lora::classification_loss(mT(logits), mT(before), own, penalties)) *
         0.5;
}

}  // namespace

void describe_pairs(FinetuneRun& run, const Base& base) {
  std::unique_ptr<ClipModel> model = base.dual_encoder();
  auto describe = [&](std::vector<std::string>& names, std::string& sha, const char* option) {
    if (names.empty()) return;
    std::string name = one_name(names, option);
    CaptionedParts parts = load_captioned(name, channels_of(*model));
    check_fit(parts, *model, name);
    sha = parts.sha256;
    names = {lasting_captioned_name(name)};
  };
  describe(run.data, run.data_sha256, "--data");
  describe(run.keep, run.keep_sha256, "--keep");
}

int tune_pairs(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  std::unique_ptr<ClipModel> model = base.dual_encoder(), inherited;
  check_base(run, model->module());
  if (run.adapter.is("ba-lora")) {
    inherited = base.dual_encoder();
    settings.prepare(inherited->module());
  }
  settings.prepare(model->module());
  CaptionedParts parts = same_captioned(run.data[0], channels_of(*model), run.data_sha256);
  KeptLosses kept = [&](const std::function<void(const Tensor&)>& f) {  // of each kept image among the captions of all of them
    CaptionedParts keep = same_captioned(run.keep[0], channels_of(*model), run.keep_sha256);
    data::Batch batch = keep.train.images.batch(std::min(run.adapter.keep_samples, keep.train.images.size())).next();
    std::vector<std::string> captions = captions_of(keep.train, batch);
    Generator luck(settings.seed);
    methods::visit_fisher_losses(
        [&](const Tensor& x) { return model->logits(x, captions); }, batch.image, {},
        {.labels = methods::FisherLabels::sampled, .unit = methods::FisherUnit::sample, .batch = 1, .generator = &luck},
        [&](const Tensor& loss, double, bool) { f(loss); });
  };
  Tuning tuning(model->module(), run.adapter, kept);
  fmt::print(stderr, "finetune: {} of {} parameters of {}, {} images to train on, {} to validate, {} to test\n",
             tuning.part().num_parameters(), model->module().num_parameters() - tuning.part().num_parameters(), run.base,
             parts.train.images.size(), parts.validation.images.size(), parts.test.images.size());
  data::StepBatches batches(parts.train.images, {.batch = settings.batch, .seed = settings.seed});
  auto loss_of = [&](const Tensor& images, const std::vector<std::string>& captions) {
    Tensor logits = model->logits(images, captions);
    if (!inherited) return tuning.guarded(contrastive::symmetric_cross_entropy(logits));
    Tensor before;
    {
      NoGrad off;
      before = inherited->logits(images, captions);
    }
    return inherited_loss(logits, before, run.adapter.penalties);
  };
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = batches(part.step, part.index, part.count);
            return loss_of(batch.image, captions_of(parts.train, batch));
          },
      .validate = [&] { return measures_of(*model, parts.validation, "val_"); },
      .test = [&] { return measures_of(*model, parts.test, "test_"); },
  };
  return train_adapters(directory, run, tuning, training, static_cast<double>(settings.batch), "images");
}

}  // namespace plumb::tools
