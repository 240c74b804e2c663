// `plumb train consistency`: a generator of images in one or a few steps, by any of the methods of tools/consistency_methods.h.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/step_batches.h"
#include "models/metrics/sliced_wasserstein.h"
#include "models/nn/placement.h"
#include "ops/create.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/consistency_methods.h"
#include "tools/image_judge.h"
#include "tools/labelled_images.h"
#include "tools/train/kinds.h"
#include "tools/train/unet_options.h"

namespace plumb::tools {
namespace {

constexpr int64_t kCompared = 500;  // images that samples are compared with

struct Options {
  ConsistencyRun run;
  bool unconditional = false;
};

// A class for each of n images, every one in turn; −1 without classes.
Tensor labels_in_turn(const ConsistencyRun& run, int64_t n) {
  return run.network.classes > 0 ? remainder(arange(n), full({1}, run.network.classes, i64)) : full({n}, -1, i64);
}

// Between `images` and as many samples of so many steps, on pixels.
double distance_to(const ConsistencyModel& model, const ConsistencyRun& run, const Tensor& images, int64_t steps) {
  Generator random(1), directions(2);
  Tensor drawn = sample(model, run, labels_in_turn(run, images.size(0)), {.steps = steps, .gamma = run.gamma}, random);
  return metrics::sliced_wasserstein(flatten(drawn, 1), flatten(images, 1), {.generator = &directions});
}

train::Measures distances(const ConsistencyModel& model, const ConsistencyRun& run, const Tensor& images, const std::string& part) {
  train::Measures measures{{part + "_sliced_wasserstein", distance_to(model, run, images, run.sample_steps)}};
  if (run.sample_steps != 1) measures.push_back({part + "_sliced_wasserstein_1_step", distance_to(model, run, images, 1)});
  return measures;
}

// Shown without their class every so often, so that images of no class can be asked for.
Tensor shown_labels(const ConsistencyRun& run, const data::Batch& batch) {
  if (run.network.classes == 0) return full(batch.label.shape(), -1, i64);
  return where(bernoulli(batch.label.shape(), run.class_dropout), -1, batch.label);
}

int train_run(const train::RunDirectory& directory, const ConsistencyRun& run, const LabelledImages& images) {
  const TrainingSettings& settings = run.training;
  Teacher teacher = load_teacher(run);
  manual_seed(settings.seed);
  ConsistencyModel model(run);
  auto objective = consistency_method(run.method).objective(run, model);
  std::vector<data::Dataset> parts = images.train.split({1 - run.validation, run.validation}, {.seed = 0, .stratified = true});
  fmt::print(stderr, "consistency: {}, {} parameters, {} classes, images {}, {} to train on{}\n", run.method,
             model.student.num_parameters(), run.network.classes, to_string(images.shape), parts[0].size(),
             run.teacher.empty() ? "" : ", teacher " + run.teacher);
  data::StepBatches batches(parts[0], {.batch = settings.batch, .seed = settings.seed});
  Tensor held_out = all_images(parts[1].size() > 0 ? parts[1].take(kCompared) : images.test.take(kCompared)),
         unseen = all_images(images.test.take(kCompared));
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            if (part.step > 0 && part.index == 0) objective->update(part.step - 1);  // after that step, wherever the run went on from
            data::Batch batch = batches(part.step, part.index, part.count);
            Tensor labels = nn::input_for(model, shown_labels(run, batch));
            model.student.show(labels);
            return objective->loss(part.step, nn::input_for(model, batch.image * 2 - 1),
                                   teacher ? teacher(labels) : diffusion::Denoiser());
          },
      .validate = [&] { return distances(model, run, held_out, "val"); },
      .test = [&] { return distances(model, run, unseen, "test"); },
      .images =
          [&] {
            Generator random(settings.seed);
            return sample(model, run, labels_in_turn(run, run.network.classes > 0 ? 10 * std::min<int64_t>(run.network.classes, 10) : 64),
                          {.steps = run.sample_steps, .gamma = run.gamma}, random);
          },
      .images_title = fmt::format("Samples in {} {}", run.sample_steps, run.sample_steps == 1 ? "step" : "steps"),
      .watched = "val_sliced_wasserstein",
  };
  return settings.train_model(directory, model, training, static_cast<double>(settings.batch), "images");
}

void refuse_unheeded_options(const CommandLine& line, const ConsistencyRun& run) {
  bool distils = consistency_method(run.method).needs_teacher;
  refuse_unheeded(line, {{{"--guidance"}, distils, "--method " + run.method + " has no teacher to guide"},
                         {{"--s0"}, !distils, "--method " + run.method + " has one grid from first to last, of --s1 intervals"},
                         {{"--solver-steps", "--gamma"}, run.method == "ctm", "it is --method ctm's, this is " + run.method}});
}

int start(Options& o, const CommandLine& line, const std::string& out) {
  ConsistencyRun& run = o.run;
  run.check();  // before images are read, which takes its time
  refuse_unheeded_options(line, run);
  LabelledImages images = load_images(run.data);
  int64_t classes = o.unconditional || images.classes < 2 ? 0 : images.classes;
  refuse_unheeded(line, {{{"--class-dropout", "--guidance"}, classes > 0, "the images are shown without classes"}});
  run.data = lasting_names(run.data);
  run.data_sha256 = fingerprint(images);
  run.class_names = images.class_names;
  run.image.assign(images.shape.begin(), images.shape.end());
  if (!run.teacher.empty()) adopt_teacher(run, lasting_names({run.teacher})[0], run.image, classes);
  run.network.in_channels = run.network.out_channels = images.shape[0];
  run.network.classes = classes;
  run.check();
  return train_run(train::RunDirectory::create(out, run.to_json()), run, images);
}

int resume(const train::RunDirectory& directory) {
  ConsistencyRun run = ConsistencyRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, load_same_images(run.data, run.data_sha256));
}

// `plumb eval RUN`: how far samples of 1, 2 and 4 steps are from test images, and those from training images.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  ConsistencyRun run = ConsistencyRun::from_json(directory.config());
  LabelledImages images = images_to_measure(data, run.data, run.data_sha256, Shape(run.image), false);
  ConsistencyModel model = load_consistency(directory, run);
  Tensor unseen = all_images(images.test.take(kCompared)), training = all_images(images.train.take(unseen.size(0)));
  Generator directions(2);
  JsonObject json;
  json.set("samples", unseen.size(0));
  for (int64_t steps : {1, 2, 4})
    json.set(fmt::format("sliced_wasserstein_{}_step{}", steps, steps == 1 ? "" : "s"), distance_to(model, run, unseen, steps));
  json.set("sliced_wasserstein_of_real", metrics::sliced_wasserstein(flatten(unseen, 1), flatten(training, 1), {.generator = &directions}));
  fmt::print("{}\n", json.text());
  return 0;
}

// What was not given takes the method's own defaults, and what the teacher decides may not be given beside it.
void settle(const CommandLine& line, ConsistencyRun& run) {
  ConsistencyRun own = run;
  consistency_method(run.method).defaults(own);
  if (run.grid.size() >= 2) {
    for (const char* name : {"--sigma-min", "--sigma-max", "--rho", "--s0", "--s1"})
      require(!line.given(name), std::string(name) + ": --grid says all of it; leave one of them out");
    run.sigma_min = run.grid.front(), run.sigma_max = run.grid.back();
    own.s0 = own.s1 = static_cast<int64_t>(run.grid.size()) - 1;
  }
  if (!line.given("--s1")) run.s1 = own.s1;
  if (!line.given("--s0")) run.s0 = std::min(own.s0, run.s1);
  if (!line.given("--solver-steps")) run.solver_steps = std::min(run.solver_steps, run.s1);
  if (!line.given("--min-lr")) run.training.min_lr = std::min(run.training.min_lr, 0.1 * run.training.lr);
  if (run.teacher.empty()) return;
  for (const char* name : {"--width", "--multipliers", "--blocks", "--attention", "--heads", "--groups", "--dropout", "--sigma-data"})
    require(!line.given(name),
            std::string(name) + ": a student has the architecture of its teacher; leave it out, or choose another --teacher");
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  ConsistencyRun& r = o->run;
  unet::UnetConfig& n = r.network;
  line.option("--method", r.method, consistency_method_names());
  line.option("--data", r.data,
              "a directory of images, of class folders, of MNIST's or CIFAR's form, such files, or digits (8×8, carried inside)");
  line.option(
      "--teacher", r.teacher,
      "run of train unet on the same images that cd, ctm and scott distil; the student takes its architecture and begins with its weights");
  line.option("--guidance", r.guidance,
              "guidance of the teacher, which the student learns: how strongly samples follow their class; 1: as learned");
  define_unet(line, n);
  line.option("--dropout", n.dropout, "probability, the same places for both levels of a pair");
  line.flag("--unconditional", o->unconditional, "without classes");
  line.option("--class-dropout", r.class_dropout, "share of images shown without their class");
  line.option("--sigma-data", r.sigma_data, "standard deviation of the images in [−1, 1] that the network expects");
  line.option("--sigma-min", r.sigma_min, "lowest noise level of the grid");
  line.option("--sigma-max", r.sigma_max, "highest noise level, where samples start");
  line.option("--rho", r.rho, "how the levels of the grid crowd towards the lowest");
  line.option("--s0", r.s0, "intervals of the grid at first; others by default: ct 2, cd and ctm 17, scott 124");
  line.option("--s1", r.s1, "intervals at last; others by default: ct 150, cd and ctm 17, scott 124");
  line.option("--grid", r.grid, "noise levels from low to high, in the place of --sigma-min, --sigma-max, --rho, --s0 and --s1");
  line.option("--solver-steps", r.solver_steps, "ctm: the most steps of the teacher's ODE that a jump is compared with");
  line.option("--gamma", r.gamma, "ctm: noise put back between sampling steps, 0 none to 1 all");
  line.option("--sample-steps", r.sample_steps, "network calls of a sample");
  line.option("--validation", r.validation, "share of the training part to compare samples with");
  r.training.define(line, "images");
  auto begin = [o, line](const std::string& out) {
    settle(line, o->run);
    return start(*o, line, out);
  };
  return start_or_resume(line, "consistency", begin, resume);
}

}  // namespace

extern const TrainingKind consistency_kind;
const TrainingKind consistency_kind{
    {"consistency", "a generator of images in one or a few steps: consistency models and their relatives", define}, evaluate};

}  // namespace plumb::tools
