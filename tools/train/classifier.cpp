// `plumb train classifier` and `plumb train vit`: an MLP, ResNet, WideResNet or vision transformer trained on labelled images.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "methods/common/mix_objective.h"
#include "models/augment/augment.h"
#include "ops/loss.h"
#include "tools/cli/heeded_options.h"
#include "tools/classifier_objective.h"
#include "tools/image_classifier.h"
#include "tools/train/kinds.h"
#include "tools/train/settings.h"

namespace plumb::tools {
namespace {

constexpr int64_t kMostEpochs = 1'000'000;  // steps are counted in 64 bits

struct Options {
  ClassifierRun run;
  int64_t depth = 8, width = 16, widen = 2, epochs = 0;
  bool imagenet = false, no_test = false;
  std::string norm = "batch";
  int64_t groups = 8;
  double dropout = 0;
  std::optional<double> loss_parameter;
};

// The part of the training images that settings are chosen by is the same at every seed.
struct Parts {
  data::Dataset train, validation;
};
Parts split(const ClassifierRun& run, const LabelledImages& images) {
  if (run.validation == 0) return {images.train, {}};
  std::vector<data::Dataset> parts = images.train.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
  return {parts[0], parts[1]};
}

augment::Mixed augmented(const ClassifierRun& run, const data::Batch& batch, int64_t classes) {
  const AugmentSettings& a = run.augment;
  Generator& generator = default_generator();
  Tensor x = batch.image;
  if (a.rotate > 0 || a.shift > 0 || a.zoom > 0 || a.shear > 0)
    x = augment::random_affine(x, {.degrees = a.rotate, .translate = a.shift, .scale = a.zoom, .shear = a.shear}, generator);
  if (a.crop > 0) x = augment::random_crop(x, a.crop, generator);
  if (a.flip) x = augment::random_flip(x, generator);
  if (a.jitter > 0) x = augment::colour_jitter(x, {a.jitter, a.jitter, a.jitter}, generator);
  if (a.cutout > 0) x = augment::cutout(x, a.cutout, generator);
  if (a.mixup > 0) return augment::mixup(x, batch.label, classes, a.mixup, generator);
  if (a.cutmix > 0) return augment::cutmix(x, batch.label, classes, a.cutmix, generator);
  return {x, batch.label};
}

// The wrong answers that cost most, or the first images where nothing is wrong.
Tensor hardest(const data::Dataset& images, const std::vector<int64_t>& worst) {
  return images.subset(worst.empty() ? std::vector<int64_t>{0} : worst).batch(64).next().image;
}

int train_run(const train::RunDirectory& directory, const ClassifierRun& run, const LabelledImages& images) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  ImageClassifier classifier(run);
  Parts parts = split(run, images);
  fmt::print(stderr, "{}: {} parameters, {} classes, images {}, {} to train on, {} to validate, {} to test\n", run.kind,
             classifier.module().num_parameters(), images.classes, to_string(images.shape), parts.train.size(),
             run.validation > 0 ? parts.validation.size() : 0, run.test ? images.test.size() : 0);
  data::StepBatches batches(parts.train, {.batch = settings.batch, .seed = settings.seed});
  ClassifierObjective objective(run, classifier, parts.train);
  std::vector<int64_t> worst;
  train::Training training{.images_title = "Validation images that it gets most wrong"};
  if (run.recipe.plain_loss()) {
    training.batch = [&](const train::Part& part) {
      augment::Mixed batch = augmented(run, batches(part.step, part.index, part.count), images.classes);
      return std::vector<Tensor>{batch.images, batch.target};
    };
    training.loss_of = [&](const std::vector<Tensor>& x) {
      return cross_entropy(classifier(x[0]), x[1], {.label_smoothing = run.label_smoothing});
    };
  } else {
    training.loss = [&](const train::Part& part) {
      data::Batch batch = batches(part.step, part.index, part.count);
      return objective.loss(augmented(run, batch, images.classes).images, batch.label, batch.index, part.step);
    };
  }
  if (run.validation > 0) {
    training.validate = [&] {
      Scores scores = measure(classifier, parts.validation, 36);
      worst = scores.worst;
      return train::Measures{{"val_loss", scores.loss}, {"val_accuracy", scores.accuracy}};
    };
    training.images = [&] { return hardest(parts.validation, worst); };
  }
  if (run.test)
    training.test = [&] {
      Scores scores = measure(classifier, images.test);
      return train::Measures{{"test_loss", scores.loss}, {"test_accuracy", scores.accuracy}};
    };
  return settings.train_model(directory, objective, training, static_cast<double>(settings.batch), "images");
}

void check_patch(int64_t patch, int64_t height, int64_t width) {
  std::vector<int64_t> fitting;
  for (int64_t side = 1; side <= std::min(height, width); ++side)
    if (height % side == 0 && width % side == 0) fitting.push_back(side);
  require(std::ranges::count(fitting, patch) > 0,
          fmt::format("--patch {} does not divide the images, {} × {}; choose one of {}", patch, height, width, fmt::join(fitting, ", ")));
}

// The network for images of this shape.
void configure(Options& o, const LabelledImages& images) {
  ClassifierRun& run = o.run;
  if (run.model == "mlp") {
    run.mlp.inputs = numel(images.shape);
    run.mlp.outputs = images.classes;
    run.mlp.dropout = o.dropout;
  } else if (run.model == "vit") {
    run.vit.channels = images.shape[0], run.vit.image_height = images.shape[1], run.vit.image_width = images.shape[2],
    run.vit.classes = images.classes;
    run.vit.dropout = o.dropout;
    check_patch(run.vit.patch, run.vit.image_height, run.vit.image_width);
  } else if (run.model == "resnet") {
    run.resnet = o.imagenet ? resnet::ResNetConfig::imagenet(o.depth) : resnet::ResNetConfig::cifar(o.depth, o.width);
    if (o.imagenet) run.resnet.width = o.width;
    run.resnet.norm = o.norm, run.resnet.groups = o.groups, run.resnet.channels = images.shape[0], run.resnet.classes = images.classes;
  } else if (run.model == "wide-resnet") {
    run.wide_resnet = {.depth = o.depth,
                       .widen = o.widen,
                       .dropout = o.dropout,
                       .channels = images.shape[0],
                       .classes = images.classes,
                       .norm = o.norm,
                       .groups = o.groups};
  }
  if (o.epochs > 0) {
    int64_t examples = split(run, images).train.size();
    run.training.steps = (o.epochs * examples + run.training.batch - 1) / run.training.batch;
  }
  run.check();
}

// Each network has options of its own.
void refuse_unheeded_options(const CommandLine& line, const ClassifierRun& run) {
  const std::string& model = run.model;
  bool mlp = model == "mlp", resnet = model == "resnet", wide = model == "wide-resnet";
  if (run.kind == "classifier")
    refuse_unheeded(line, {{{"--depth"}, resnet || wide, "an mlp's layers are --hidden"},
                           {{"--width", "--imagenet"}, resnet, "only --model resnet has it, this is " + model},
                           {{"--widen"}, wide, "only --model wide-resnet has it, this is " + model},
                           {{"--hidden", "--activation"}, mlp, "only --model mlp has it, this is " + model},
                           {{"--norm", "--groups"}, resnet || wide, "only --model resnet and wide-resnet have norms"},
                           {{"--groups"}, word_of(line, "--norm") == "group", "only --norm group has groups"},
                           {{"--dropout"}, mlp || wide, "a resnet has none, only --model wide-resnet and mlp do"}});
  refuse_unheeded(line, {{{"--reparam-a", "--reparam-b"}, run.recipe.reparam != "none", "it is --reparam weight-compander's"},
                         {{"--distil-weight"}, run.recipe.distil != "none", "it is --distil ps-kd's"}});
}

int start(Options& o, const CommandLine& line, const std::string& out) {
  ClassifierRun& run = o.run;
  run.test = !o.no_test;
  require(o.epochs >= 0 && o.epochs <= kMostEpochs, fmt::format("--epochs must lie between 0 and {}, it is {}", kMostEpochs, o.epochs));
  run.training.check();  // before images are read, which takes its time
  set_loss_parameter(run.recipe, o.loss_parameter);
  run.recipe.check();
  refuse_unheeded_options(line, run);
  LabelledImages images = load_labelled_images(run.data);
  run.data = lasting_names(run.data);
  configure(o, images);
  data::Dataset train = split(run, images).train;
  require(train.size() > 0 && (run.validation == 0 || train.size() < images.train.size()),
          fmt::format("--validation {} of {} training images leaves no images in one of the parts", run.validation, images.train.size()));
  run.data_sha256 = fingerprint(images);
  run.class_names = images.class_names;
  run.image.assign(images.shape.begin(), images.shape.end());
  channel_statistics(train, run.mean, run.std);
  auto directory = train::RunDirectory::create(out, run.to_json());
  return train_run(directory, run, images);
}

int resume(const train::RunDirectory& directory) {
  ClassifierRun run = ClassifierRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, load_same_images(run.data, run.data_sha256));
}

// What a kind's own options, which come first, are followed by.
Action define_rest(CommandLine& line, const std::shared_ptr<Options>& o);

Action define_vit(CommandLine& line) {
  auto o = std::make_shared<Options>();
  o->run = ClassifierRun::for_vit();
  transformer::VisionConfig& v = o->run.vit;
  line.option("--patch", v.patch, "side of a patch, in pixels; must divide the images' sides");
  line.option("--layers", v.layers, "blocks");
  line.option("--heads", v.heads, "attention heads a block");
  line.option("--width", v.width, "model width");
  line.option("--inner", v.inner, "width inside the feed-forward networks");
  line.option("--pooling", v.pooling, "what is classified: the class token (first) or the mean of the patches (mean)");
  line.option("--dropout", o->dropout, "probability");
  return define_rest(line, o);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  ClassifierRun& r = o->run;
  line.option("--model", r.model, "mlp, resnet or wide-resnet");
  line.option("--depth", o->depth, "layers: 6n + 2 of a resnet (18, 34, 50, 101, 152 with --imagenet), 6n + 4 of a wide-resnet");
  line.option("--width", o->width, "channels of a resnet's first stage");
  line.option("--widen", o->widen, "a wide-resnet's width, times 16");
  line.flag("--imagenet", o->imagenet, "a resnet for large images: 7×7 stem, max pool, four stages");
  line.option("--hidden", r.mlp.hidden, "widths of an mlp's hidden layers");
  line.option("--activation", r.mlp.activation, "activation of an mlp: relu, gelu, silu or tanh");
  line.option("--dropout", o->dropout, "probability, of mlp and wide-resnet");
  line.option("--norm", o->norm, "batch, group, instance or none");
  line.option("--groups", o->groups, "groups of group norm");
  return define_rest(line, o);
}

Action define_rest(CommandLine& line, const std::shared_ptr<Options>& o) {
  ClassifierRun& r = o->run;
  line.option("--data", r.data, "a directory of MNIST's, CIFAR's or class folders' form, such files, or digits (8×8, carried inside)");
  line.option("--validation", r.validation, "share of the training part to choose settings by; 0: none, all of it is trained on");
  line.flag("--no-test", o->no_test, "do not measure on the test part in the end");
  line.option("--crop", r.augment.crop, "pixels of padding around images that are cut back at random");
  line.flag("--flip", r.augment.flip, "half of the images mirrored");
  line.option("--rotate", r.augment.rotate, "turned by up to so many degrees");
  line.option("--shift", r.augment.shift, "moved by up to this share of the side");
  line.option("--zoom", r.augment.zoom, "enlarged or made smaller by up to this share");
  line.option("--shear", r.augment.shear, "slanted by up to so many degrees");
  line.option("--jitter", r.augment.jitter, "brightness, contrast and saturation changed by up to this share");
  line.option("--cutout", r.augment.cutout, "side of a square set to zero");
  line.option("--mixup", r.augment.mixup, "alpha of mixed pairs of images; 0: none");
  line.option("--cutmix", r.augment.cutmix, "alpha of images with a box of another; 0: none");
  line.option("--label-smoothing", r.label_smoothing, "share of the target spread over all classes");
  Recipe& recipe = r.recipe;
  line.option("--loss", recipe.loss, choices(loss_names()));
  line.option("--loss-parameter", o->loss_parameter,
              "the loss's number: q of gce, lambda of elr and ldr-kl, …; its usual value by default");
  line.option("--mix", recipe.mix, "pairs of images as one, for any loss: " + choices(methods::mix_names()));
  line.option("--mix-alpha", recipe.mix_alpha, "alpha of the mixing shares ~ Beta(alpha, alpha) by --mix; 0: its usual value");
  line.option("--reparam", recipe.reparam, "what weights are computed from: none (themselves) or weight-compander");
  line.option("--reparam-a", recipe.reparam_a, "weight-compander's a, in units of each layer's √(2 / fan-in)");
  line.option("--reparam-b", recipe.reparam_b, "its b, likewise");
  line.option("--distil", recipe.distil, "none, or ps-kd: what the network predicted in the epoch before as a part of the target");
  line.option("--distil-weight", recipe.distil_weight, "that part in the last epoch");
  line.option("--epochs", o->epochs, "passes over the training images, instead of --steps");
  r.training.define(line, "images");
  line.exclude("--epochs", "--steps");
  return start_or_resume(line, r.kind, [o, line](const std::string& out) { return start(*o, line, out); }, resume);
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& names) {
  ClassifierRun run = ClassifierRun::from_json(directory.config());
  StateDict weights = directory.load_model();
  LabelledImages images = images_to_measure(names, run.data, run.data_sha256, Shape(run.image));
  std::string source = names.empty() ? run.data[0] : names[0];
  data::Dataset test = labelled_as(images, run.class_names, source);
  require(images.classes <= run.classes(), fmt::format("{}: has {} classes, the run {}", source, images.classes, run.classes()));
  ImageClassifier classifier(run);
  classifier.module().load_state(network_weights(weights));
  classifier.module().eval();
  Scores scores = measure(classifier, test);
  fmt::print("{{\"accuracy\": {}, \"loss\": {}, \"images\": {}}}\n", scores.accuracy, scores.loss, test.size());
  return 0;
}

}  // namespace

extern const TrainingKind classifier_kind, vit_kind;
const TrainingKind classifier_kind{{"classifier", "an MLP, ResNet or WideResNet, on labelled images", define}, evaluate};
const TrainingKind vit_kind{{"vit", "a vision transformer, on labelled images", define_vit}, evaluate};

}  // namespace plumb::tools
