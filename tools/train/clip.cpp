// `plumb train clip`: a dual encoder of images and their captions, trained from scratch.
#include <fmt/format.h>

#include <memory>

#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "engine/io/file.h"
#include "models/augment/augment.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/clip_model.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

// A training image as it is seen: moved, enlarged and noisy. Drawn by the step, so that a resumed run sees the same.
Tensor view(const ClipAugment& a, const Tensor& images, Generator& random) {
  Tensor x = a.crop > 0 ? augment::random_crop(images, a.crop, random, PadMode::replicate) : images;
  if (a.zoom > 0) x = augment::random_affine(x, {.scale = a.zoom}, random);
  return a.noise > 0 ? x + randn(x.shape(), {.generator = &random}) * a.noise : x;
}

Generator luck_of(uint64_t seed, int64_t step, int64_t part) {
  return Generator(seed * 0x9e3779b97f4a7c15ull + static_cast<uint64_t>(step) * 1'000'003 + static_cast<uint64_t>(part));
}

int train_run(const train::RunDirectory& directory, const ClipRun& run, const Tokenizer& tokenizer, const CaptionedParts& parts) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  ClipModel model(run.model, tokenizer);
  settings.prepare(model.module());
  fmt::print(stderr, "clip: {} parameters, vocabulary {}, {} images to train on, {} to validate, {} to test\n",
             model.module().num_parameters(), run.model.vocab, parts.train.images.size(), parts.validation.images.size(),
             parts.test.images.size());
  data::StepBatches batches(parts.train.images, {.batch = settings.batch, .seed = settings.seed});
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            model.module().limit_scale();  // what the last step did
            data::Batch batch = batches(part.step, part.index, part.count);
            Generator random = luck_of(settings.seed, part.step, part.index);
            return contrastive::symmetric_cross_entropy(
                model.logits(view(run.augment, batch.image, random), captions_of(parts.train, batch)));
          },
      .validate = [&] { return measures_of(model, parts.validation, "val_"); },
      .test = [&] { return measures_of(model, parts.test, "test_"); },
  };
  return settings.train_model(directory, model.module(), training, static_cast<double>(settings.batch), "images");
}

int start(ClipRun& run, const CommandLine& line, const std::string& out) {
  run.check();
  refuse_unheeded(line, {{{"--channels"}, run.data != kDigitPairsData || run.model.channels == 1, "digit-pairs are grey, of one channel"}});
  if (run.data == kDigitPairsData) run.model.channels = 1;
  CaptionedParts parts = load_captioned(run.data, run.model.channels);
  run.data = lasting_captioned_name(run.data);
  run.data_sha256 = parts.sha256;
  run.model.image_height = parts.image[1], run.model.image_width = parts.image[2];
  Tokenizer tokenizer = caption_tokenizer(run, parts.train);
  run.model.vocab = 3 + tokenizer.vocab_size();
  run.model.check();
  ClipModel(run.model, tokenizer).texts(parts.train.captions);  // refused before the directory is made, if one is too long
  auto directory = train::RunDirectory::create(out, run.to_json());
  tokenizer.save(directory.file("tokenizer.json"));
  return train_run(directory, run, tokenizer, parts);
}

int resume(const train::RunDirectory& directory) {
  ClipRun run = ClipRun::from_json(directory.config());
  run.check();
  CaptionedParts parts = same_captioned(run.data, run.model.channels, run.data_sha256);
  std::string path = directory.file("tokenizer.json");
  if (!path_exists(path)) caption_tokenizer(run, parts.train).save(path);  // killed between the files of a new run
  return train_run(directory, run, Tokenizer::load(path), parts);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<ClipRun>();
  auto width = std::make_shared<int64_t>(48);
  line.option("--data", o->data, "CSV file with the columns image (a path beside it) and caption; digit-pairs: two digits, carried inside");
  line.option("--channels", o->model.channels, "1: grey, 3: colours");
  line.option("--vocab", o->vocab, "words of captions, the most frequent");
  line.option("--min-count", o->min_count, "rarer words are spelt by letters");
  line.option("--context", o->model.context, "tokens of a caption, with the marks at its ends");
  line.option("--patch", o->model.patch, "side of an image's patches");
  line.option("--layers", o->model.layers, "blocks of each encoder");
  line.option("--heads", o->model.heads, "attention heads a block");
  line.option("--width", *width, "width of both encoders and of the space that they share");
  line.option("--crop", o->augment.crop, "training images are moved by up to so many pixels");
  line.option("--zoom", o->augment.zoom, "and enlarged or reduced by up to this share");
  line.option("--noise", o->augment.noise, "deviation of the noise on them");
  o->training.define(line, "images");
  return start_or_resume(
      line, "clip",
      [o, width, line](const std::string& out) {
        o->model.vision_width = o->model.text_width = o->model.width = *width;
        return start(*o, line, out);
      },
      resume);
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  require(data.size() <= 1, "--data: give one CSV file; all its rows are measured");
  ClipRun run = ClipRun::from_json(directory.config());
  ClipModel model = load_clip(directory);
  run.training.prepare(model.module());
  data::CaptionedImages set = !data.empty() && data[0] != kDigitPairsData
                                  ? data::captioned_images(data[0], run.model.channels)
                                  : (data.empty() ? same_captioned(run.data, run.model.channels, run.data_sha256)
                                                  : load_captioned(data[0], run.model.channels))
                                        .test;
  RetrievalScores scores = measure(model, set);
  fmt::print("{{\"loss\": {}, \"recall_1\": {}, \"recall_5\": {}, \"images\": {}, \"captions\": {}}}\n", scores.loss, scores.recall_1,
             scores.recall_5, set.images.size(), scores.captions);
  return 0;
}

}  // namespace

extern const TrainingKind clip_kind;
const TrainingKind clip_kind{{"clip", "a dual encoder, on images with captions", define}, evaluate};

}  // namespace plumb::tools
