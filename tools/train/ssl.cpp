// `plumb train ssl`: an image classifier from a few labelled images and many without labels, by any of the semi-supervised methods.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "tools/cli/heeded_options.h"
#include "tools/image_classifier.h"
#include "tools/ssl_model.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

struct Options {
  SslRun run;
  std::string views = "photos";
  std::optional<double> threshold;
};

// The part of the labelled images that settings are chosen by is the same at every seed.
struct Parts {
  data::Dataset train, validation;
};
Parts split(const SslRun& run, const SslImages& images) {
  if (run.validation == 0) return {images.labelled, {}};
  std::vector<data::Dataset> parts = images.labelled.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
  return {parts[0].renumber(), parts[1]};
}

// What a step reads depends on its number alone; views are drawn from the default generator, which checkpoints hold.
class Batches {
 public:
  Batches(const SslRun& run, const data::Dataset& labelled, const SslImages& images)
      : views_(methods::image_views(run.views, std::min(images.shape[1], images.shape[2]))),
        labelled_(labelled, {.batch = run.training.batch, .seed = run.training.seed}) {
    if (run.uses_unlabelled())
      unlabelled_.emplace(images.unlabelled,
                          data::StepBatchOptions{.batch = run.ratio * run.training.batch, .seed = data::mix(run.training.seed, 1)});
  }

  methods::SemiBatch operator()(const train::Part& part) {
    Generator& generator = default_generator();
    data::Batch few = labelled_(part.step, part.index, part.count);
    methods::SemiBatch batch;
    batch.labelled = views_.weak(few.image, generator);
    batch.labels = few.label;
    batch.labelled_index = few.index;
    if (!unlabelled_) return batch;
    data::Batch many = (*unlabelled_)(part.step, part.index, part.count);
    batch.weak = views_.weak(many.image, generator);
    batch.strong.push_back(views_.strong(many.image, generator));
    batch.unlabelled_index = many.index;
    return batch;
  }

 private:
  methods::ImageViews views_;
  data::StepBatches labelled_;
  std::optional<data::StepBatches> unlabelled_;
};

train::Measures measures(const SslNetwork& network, const data::Dataset& images, const std::string& part) {
  Scores scores = measure([&](const Tensor& x) { return network(x); }, images);
  return {{part + "_loss", scores.loss}, {part + "_accuracy", scores.accuracy}};
}

int train_run(const train::RunDirectory& directory, const SslRun& run, const SslImages& images) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  Parts parts = split(run, images);
  SslModel model(run, parts.train.size());
  settings.prepare(model);
  fmt::print(stderr,
             "ssl: {}, {} parameters, {} classes, images {}, {} labelled and {} unlabelled to train on, {} to validate, {} to test\n",
             run.method, model.student.num_parameters(), run.classes(), to_string(images.shape), parts.train.size(),
             run.uses_unlabelled() ? images.unlabelled.size() : 0, run.validation > 0 ? parts.validation.size() : 0,
             images.has_test ? images.test.size() : 0);
  Batches batches(run, parts.train, images);
  train::Training training{.loss = [&](const train::Part& part) {
    return model.loss(run, batches(part), {part.step, part.index, part.count, parts.train});
  }};
  if (run.validation > 0) training.validate = [&] { return measures(model.student, parts.validation, "val"); };
  if (images.has_test) training.test = [&] { return measures(model.student, images.test, "test"); };
  int64_t seen = settings.batch * (run.uses_unlabelled() ? 1 + run.ratio : 1);
  return settings.train_model(directory, model, training, static_cast<double>(seen), "images");
}

// Where a folder stays when the run is gone on with from elsewhere.
std::string lasting(const std::string& folder) { return folder.empty() ? folder : lasting_names({folder})[0]; }

int start(Options& o, const CommandLine& line, const std::string& out) {
  SslRun& run = o.run;
  const std::vector<std::string>& kinds = words_of(run.views);
  auto kind = std::ranges::find(kinds, o.views);
  require(kind != kinds.end(), "--views " + o.views + " is unknown; choose photos or marks");
  run.views = static_cast<methods::ImageKind>(kind - kinds.begin());
  run.threshold = o.threshold.value_or(own_threshold(run.method));
  run.check();  // before images are read, which takes its time
  refuse_unheeded(line,
                  {{{"--ratio", "--threshold", "--weight"}, run.uses_unlabelled(), "--method supervised learns from labelled images alone"},
                   {{"--threshold"}, run.method != "semixup", "--method semixup counts every image"},
                   {{"--width", "--features"}, run.model == "cnn", "only --model cnn has it, this is " + run.model},
                   {{"--depth", "--widen"}, run.model == "wide-resnet", "only --model wide-resnet has it, this is " + run.model}});
  require(!run.labelled.empty(), "--labelled is missing: give a folder with a subfolder of images for each class");
  require(!run.unlabelled.empty() || !run.uses_unlabelled(),
          "--unlabelled is missing: give a folder of images; only --method supervised does without");
  run.labelled = lasting(run.labelled), run.unlabelled = lasting(run.unlabelled), run.test = lasting(run.test);
  SslImages images = load_ssl_images(run);
  run.data_sha256 = images.sha256;
  run.class_names = images.class_names;
  run.image.assign(images.shape.begin(), images.shape.end());
  Parts parts = split(run, images);
  require(
      run.validation == 0 || (parts.validation.size() > 0 && parts.train.size() > 0),
      fmt::format("--validation {} of {} labelled images leaves no images in one of the parts", run.validation, images.labelled.size()));
  std::vector<int64_t> left = parts.train.labels();
  for (int64_t c = 0; c < run.classes(); ++c)
    require(std::ranges::find(left, c) != left.end(),
            fmt::format("--validation {} leaves no labelled image of the class \"{}\" to train on", run.validation,
                        run.class_names[static_cast<size_t>(c)]));
  channel_statistics(images.has_unlabelled ? data::concat({parts.train, images.unlabelled}) : parts.train, run.mean, run.std);
  return train_run(train::RunDirectory::create(out, run.to_json()), run, images);
}

int resume(const train::RunDirectory& directory) {
  SslRun run = SslRun::from_json(directory.config());
  run.check();
  SslImages images = load_ssl_images(run);
  if (images.sha256 != run.data_sha256)
    throw ConfigError(
        run.labelled +
        " or another folder has changed since the run began; a resumed run would not be the same. Restore the images, or start a new run");
  return train_run(directory, run, images);
}

// `plumb eval RUN`: on the run's own test images, or on those that are given.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& names) {
  SslRun run = SslRun::from_json(directory.config());
  require(!names.empty() || !run.test.empty(), directory.path() + " has no test images of its own: give --data");
  data::Dataset test;
  if (names.empty()) {
    SslImages images = load_ssl_images(run);
    require(images.sha256 == run.data_sha256, run.test + " or another folder has changed since the run began; give --data");
    test = images.test;
  } else {
    LabelledImages images = images_to_measure(names, {}, "", Shape(run.image));
    require(images.classes <= run.classes(), fmt::format("{}: has {} classes, the run {}", names[0], images.classes, run.classes()));
    test = labelled_as(images, run.class_names, names[0]);
  }
  SslNetwork network(run);
  network.load_state(train::without_prefix(directory.load_model(), "student."));
  network.eval();
  Scores scores = measure([&](const Tensor& x) { return network(x); }, test);
  fmt::print("{{\"accuracy\": {}, \"loss\": {}, \"images\": {}}}\n", scores.accuracy, scores.loss, test.size());
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  SslRun& r = o->run;
  line.option("--method", r.method, ssl_method_names());
  line.option("--labelled", r.labelled, "a folder with a subfolder of images for each class");
  line.option("--unlabelled", r.unlabelled, "a folder of images of the same size, in no subfolders; supervised does without");
  line.option("--test", r.test, "labelled images to measure on in the end, in subfolders of the same names");
  line.option("--views", o->views, "what may be done to images: photos may be mirrored; marks (digits, letters, signs) may not");
  line.option("--ratio", r.ratio, "unlabelled images for each labelled one of a step");
  line.option("--threshold", o->threshold,
              "confidence from which an unlabelled image counts; others by default: uda and simmatchv2 0.8, the rest 0.95");
  line.option("--weight", r.weight, "weight of what unlabelled images add to the loss");
  line.option("--model", r.model, "cnn (three convolutions) or wide-resnet");
  line.option("--width", r.width, "channels of the cnn's first convolution");
  line.option("--features", r.features, "width of the cnn's last layer but one");
  line.option("--depth", r.depth, "layers of a wide-resnet, 6n + 4");
  line.option("--widen", r.widen, "a wide-resnet's width, times 16");
  line.option("--validation", r.validation, "share of the labelled images to choose settings by; 0: none");
  r.training.define(line, "labelled images");
  return start_or_resume(line, "ssl", [o, line](const std::string& out) { return start(*o, line, out); }, resume);
}

}  // namespace

extern const TrainingKind ssl_kind;
const TrainingKind ssl_kind{{"ssl", "an image classifier, from few labelled images and many without labels", define}, evaluate};

}  // namespace plumb::tools
