// The training loop on a model of a few numbers: accumulation, averaged weights, early stopping, measures, pictures, going on.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/metrics.h"
#include "models/train/run_lock.h"
#include "models/train/trainer.h"
#include "models/train/weight_average.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::train;

namespace {

// y = 2 x0 − x1 learned from batches of 8 that depend on the step alone.
struct Task {
  plumb_test::Scratch scratch;
  nn::Linear model{2, 1};
  optim::AdamW adamw{model.parameters(), {.lr = 0.05}};
  Training training{
      .model = &model, .optimizer = &adamw, .schedule = optim::constant(), .loss = [this](const Part& part) { return loss(part); }};

  explicit Task(uint64_t seed = 1) {
    manual_seed(seed);
    nn::Linear fresh(2, 1);
    model.load_state(fresh.state());
  }
  Tensor loss(const Part& part) {
    Generator generator(100 + static_cast<uint64_t>(part.step));
    Tensor x = randn({8, 2}, {.generator = &generator});
    Tensor y = narrow(x, 1, 0, 1) * 2 - narrow(x, 1, 1, 1);
    int64_t rows = 8 / part.count;
    return mse_loss(model(narrow(x, 0, part.index * rows, rows)), narrow(y, 0, part.index * rows, rows));
  }
  RunDirectory directory() {
    return std::filesystem::exists(scratch.path("run")) ? RunDirectory::open(scratch.path("run"))
                                                        : RunDirectory::create(scratch.path("run"), "{}");
  }
  int run(const TrainOptions& options) { return train::train(directory(), training, options); }
  std::vector<Metrics> metrics() { return read_metrics(scratch.path("run/metrics.jsonl")); }
  std::vector<float> weights() { return {model.weight.data<float>()[0], model.weight.data<float>()[1], model.bias.data<float>()[0]}; }
  std::vector<float> saved() {
    StateDict state = directory().load_model();
    return {state.at("weight").data<float>()[0], state.at("weight").data<float>()[1], state.at("bias").data<float>()[0]};
  }
};

}  // namespace

TEST_CASE("trainer: parts of a batch give the gradient of the whole") {
  Task whole, parts;
  CHECK(whole.run({.steps = 1, .clip_norm = 0}) == 0);
  CHECK(parts.run({.steps = 1, .clip_norm = 0, .accumulate = 4}) == 0);
  for (int i = 0; i < 2; ++i) {
    float a = whole.model.weight.grad().data<float>()[i], b = parts.model.weight.grad().data<float>()[i];
    CHECK(std::abs(a - b) <= 8 * 1.2e-7 * 20);  // sums of 8 terms below 20 in another order
    CHECK(a != 0);
  }
  CHECK(parts.metrics()[0]["train_loss"] == doctest::Approx(whole.metrics()[0]["train_loss"]).epsilon(1e-6));
}

TEST_CASE("trainer: averaged weights are evaluated and saved; training goes on with its own") {
  Task plain, averaged;
  std::vector<float> evaluated;
  averaged.training.validate = [&] { return Measures{{"val_loss", (evaluated = averaged.weights(), 1.0)}}; };
  plain.run({.steps = 20});
  averaged.run({.steps = 20, .eval_every = 20, .ema = 0.9});
  CHECK(averaged.weights() == plain.weights());
  CHECK(averaged.saved() == evaluated);
  CHECK(averaged.saved() != plain.saved());
  // By hand: d = min(0.9, (1 + k)/(10 + k)) after update k.
  Task again;
  std::vector<float> mean = again.weights();
  std::vector<double> expected(mean.begin(), mean.end());
  for (int k = 0; k < 20; ++k) {
    again.run({.steps = k + 1});
    std::filesystem::remove(again.scratch.path("run/model.safetensors"));
    double d = std::min(0.9, (1.0 + k) / (10.0 + k));
    for (size_t i = 0; i < 3; ++i) expected[i] = d * expected[i] + (1 - d) * static_cast<double>(again.weights()[i]);
  }
  for (size_t i = 0; i < 3; ++i) CHECK(static_cast<double>(evaluated[i]) == doctest::Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("trainer: a run in two halves has the bits of one, with accumulation, averaging and early stopping on") {
  auto with_validation = [](Task& task) {
    task.training.validate = [&task] { return Measures{{"val_loss", static_cast<double>(task.weights()[0])}}; };
  };
  TrainOptions options{.steps = 12, .eval_every = 3, .checkpoint_every = 4, .accumulate = 2, .ema = 0.8, .patience = 100};
  Task whole, halves;
  with_validation(whole);
  with_validation(halves);
  whole.run(options);
  TrainOptions first = options;
  first.steps = 7;
  halves.run(first);
  std::filesystem::remove(halves.scratch.path("run/model.safetensors"));
  std::filesystem::remove(halves.scratch.path("run/checkpoints/step-00000007.safetensors"));  // as if killed after step 7
  Task resumed(9);
  with_validation(resumed);
  std::filesystem::copy(halves.scratch.path("run"), resumed.scratch.path("run"), std::filesystem::copy_options::recursive);
  resumed.run(options);
  CHECK(resumed.weights() == whole.weights());
  CHECK(resumed.saved() == whole.saved());
  CHECK(read_file(resumed.scratch.path("run/checkpoints/step-00000012.safetensors")) ==
        read_file(whole.scratch.path("run/checkpoints/step-00000012.safetensors")));
}

TEST_CASE("trainer: early stopping ends the run after `patience` evaluations without improvement, with the best weights") {
  Task task;
  std::vector<std::vector<float>> seen;
  const double losses[] = {3, 2, NAN, 2.5, 1};
  task.training.validate = [&] {
    seen.push_back(task.weights());
    return Measures{{"val_loss", losses[seen.size() - 1]}, {"val_accuracy", 0.5}};
  };
  task.training.test = [&] { return Measures{{"test_accuracy", task.weights() == seen[1] ? 1.0 : 0.0}}; };
  task.run({.steps = 100, .eval_every = 2, .patience = 2});
  auto lines = task.metrics();
  CHECK(lines.size() == 8);
  CHECK(task.saved() == seen[1]);
  CHECK(lines.back()["test_accuracy"] == 1.0);
  CHECK(lines.back()["val_accuracy"] == 0.5);
  CHECK(task.directory().finished());
  std::filesystem::remove(task.scratch.path("run/model.safetensors"));  // as if killed just before: going on must not train further
  task.run({.steps = 100, .eval_every = 2, .patience = 2});
  CHECK(task.metrics().size() == 8);
  CHECK(task.saved() == seen[1]);
}

TEST_CASE("trainer: steps of their own with two optimisers, and a run in two halves with the bits of one") {
  // The weight and the bias each have an optimiser, with state, and are moved in turn.
  struct Alternating : Task {
    optim::AdamW second{{model.bias}, {.lr = 0.02}};
    optim::AdamW first{{model.weight}, {.lr = 0.05}};
    double shown = 0;
    Alternating() {
      training.optimizer = &first;
      training.more_optimizers = {&second};
      training.schedule = optim::linear(20, 1, 0.5);
      training.step = [this](int64_t step) {
        Measures measures;
        for (optim::Optimizer* optimizer : {static_cast<optim::Optimizer*>(&first), static_cast<optim::Optimizer*>(&second)}) {
          model.zero_grad();
          Tensor noisy = loss({step}) * (1 + 0.1 * rand({1}).item());
          noisy.backward();
          optimizer->step();
          measures.push_back({measures.empty() ? "train_loss" : "train_loss_of_bias", noisy.item()});
        }
        return measures;
      };
    }
  };
  TrainOptions options{.steps = 10, .checkpoint_every = 4, .ema = 0.8};
  Alternating whole, halves;
  manual_seed(3);
  whole.run(options);
  manual_seed(3);
  options.steps = 4;
  halves.run(options);
  std::filesystem::remove(halves.scratch.path("run/model.safetensors"));
  Alternating again;
  std::filesystem::rename(halves.scratch.path("run"), again.scratch.path("run"));
  options.steps = 10;
  again.run(options);
  CHECK(again.weights() == whole.weights());
  CHECK(again.saved() == whole.saved());
  CHECK(whole.weights() != whole.saved());
  CHECK(whole.metrics()[9]["train_loss_of_bias"] < whole.metrics()[0]["train_loss_of_bias"]);
  CHECK(again.metrics()[9]["train_loss"] == whole.metrics()[9]["train_loss"]);
  CHECK(read_file(again.scratch.path("run/report.html")).find("\"train_loss_of_bias\":{\"step\":[1,2,3") != std::string::npos);
  CHECK(whole.second.lr() == doctest::Approx(0.02 * (1 - 0.5 * 9 / 20)));
  Task broken;
  broken.training.step = [](int64_t) { return Measures{{"generator_loss", NAN}}; };
  CHECK_THROWS_WITH_AS(broken.run({.steps = 3}),
                       "step 1: generator_loss is nan; a lower --lr may help. The run is as it was at its last checkpoint", ValueError);
}

TEST_CASE("trainer: evaluation is in evaluation mode and draws nothing from training's numbers") {
  Task quiet, noisy;
  noisy.training.validate = [&] {
    CHECK_FALSE(noisy.model.training());
    return Measures{{"val_loss", rand({3}).data<float>()[0]}};
  };
  uint64_t before = default_generator().offset();
  noisy.run({.steps = 4, .eval_every = 1});
  CHECK(default_generator().offset() == before);
  CHECK(noisy.model.training());
}

TEST_CASE("trainer: pictures are written at evaluations and shown in the report") {
  Task task;
  int64_t calls = 0;
  task.training.images = [&] { return full({3, 1, 4, 4}, 0.25 * static_cast<double>(++calls)); };
  task.training.images_title = "Grey <squares>";
  task.run({.steps = 4, .eval_every = 2});
  CHECK(task.directory().sample_steps() == std::vector<int64_t>{2, 4});
  Tensor picture = load_image(task.scratch.path("run/samples/step-00000004.png"));
  CHECK(picture.shape() == Shape{2 * 50 + 2, 2 * 50 + 2, 1});  // 12 times as large, 2 between
  CHECK(picture.data<uint8_t>()[3 * picture.size(1) + 3] == 128);
  std::string report = read_file(task.scratch.path("run/report.html"));
  CHECK(report.find("Grey \\u003csquares>") != std::string::npos);
  CHECK(report.find("\"image\":\"data:image/png;base64,iVBORw0KGgo") != std::string::npos);
}

TEST_CASE("trainer: the report holds every measure and where it was taken") {
  Task task;
  task.training.validate = [] { return Measures{{"val_loss", 0.5}, {"val_accuracy", 0.75}}; };
  task.training.test = [] { return Measures{{"test_accuracy", 0.625}}; };
  task.run({.steps = 4, .eval_every = 2});
  CHECK(std::isnan(task.metrics()[1]["test_accuracy"]));
  CHECK(task.metrics()[3]["test_accuracy"] == 0.625);
  std::string report = read_file(task.scratch.path("run/report.html"));
  for (const char* part : {"validation loss 0.5000", "validation accuracy 0.7500", "test accuracy 0.6250",
                           "\"val_accuracy\":{\"step\":[2,4],\"value\":[0.75,0.75]}"})
    CHECK_MESSAGE(report.find(part) != std::string::npos, part);
}

TEST_CASE("weight average: wrong state is named and changes nothing") {
  nn::Linear model(2, 1);
  WeightAverage average(model, 0.9);
  CHECK_THROWS_WITH_AS(average.load_state({{"weight", zeros({1, 2})}}), "ema: \"bias\" is missing", ValueError);
  CHECK_THROWS_WITH_AS(average.load_state({{"bias", zeros({1})}, {"weight", zeros({1, 3})}}),
                       "ema: \"weight\" is [1, 3] in the state, [1, 2] in the model", ShapeError);
  CHECK_THROWS_WITH_AS(WeightAverage(model, 1), "ema: the decay must lie in (0, 1), it is 1", ValueError);
  CHECK(average.state().at("weight").data<float>()[0] == model.weight.data<float>()[0]);
}

TEST_CASE("trainer: inputs and a loss of them are what a loss of the step is, captured or not") {
  Task plain, apart, captured;
  for (Task* task : {&apart, &captured}) {
    auto loss = std::exchange(task->training.loss, {});
    task->training.batch = [](const Part& part) {
      Generator generator(100 + static_cast<uint64_t>(part.step));
      Tensor x = randn({8, 2}, {.generator = &generator});
      Tensor y = narrow(x, 1, 0, 1) * 2 - narrow(x, 1, 1, 1);
      int64_t rows = 8 / part.count;
      return std::vector<Tensor>{narrow(x, 0, part.index * rows, rows), narrow(y, 0, part.index * rows, rows)};
    };
    task->training.loss_of = [task](const std::vector<Tensor>& inputs) { return mse_loss(task->model(inputs[0]), inputs[1]); };
  }
  TrainOptions options{.steps = 6, .accumulate = 2};
  plain.run(options);
  apart.run(options);
  CHECK(apart.weights() == plain.weights());
  options.capture = true;
  captured.run(options);
  CHECK(captured.weights() == plain.weights());
  for (size_t i = 0; i < 6; ++i)
    CHECK(captured.metrics()[i]["train_loss"] ==
          doctest::Approx(plain.metrics()[i]["train_loss"]).epsilon(1e-6));  // the mean is an f32 here
}

TEST_CASE("trainer: a scaled loss trains as a plain one; a step that overflows is left out; the scale goes on with the run") {
  Task plain, scaled;
  plain.run({.steps = 8});
  scaled.run({.steps = 8, .scale_loss = true});
  CHECK(scaled.weights() == plain.weights());  // powers of two are exact
  CHECK(scaled.metrics()[7]["loss_scale"] == 65536);
  // The gradient overflows f32 until the scale has fallen far enough.
  Task large;
  auto loss = large.training.loss;
  large.training.loss = [loss](const Part& part) { return loss(part) * 1e35; };
  std::vector<float> start = large.weights();
  large.run({.steps = 2, .clip_norm = 0, .scale_loss = true});
  CHECK(large.weights() == start);
  auto lines = large.metrics();
  CHECK(lines[0]["loss_scale"] == 65536);
  CHECK(lines[1]["loss_scale"] == 32768);
  std::filesystem::remove(large.scratch.path("run/model.safetensors"));
  large.run({.steps = 3, .clip_norm = 0, .scale_loss = true});
  CHECK(large.metrics()[2]["loss_scale"] == 16384);
}

TEST_CASE("trainer: a directory that another process trains is left alone") {
  Task task;
  RunDirectory run = task.directory();
  std::vector<float> before = task.weights();
  {
    RunLock other(run.path());
    CHECK_THROWS_WITH_AS(task.run({.steps = 3}), doctest::Contains("is being trained by process"), ConfigError);
  }
  CHECK(task.weights() == before);
  CHECK_FALSE(task.scratch.has("run/metrics.jsonl"));
  CHECK(task.run({.steps = 3}) == 0);
  CHECK(task.run({.steps = 3}) == 0);  // a run that has ended holds nothing
}

TEST_CASE("trainer: checkpoints are written after every so many steps and at the end; the newest two stay") {
  Task task;
  task.run({.steps = 7, .checkpoint_every = 3});
  CHECK_FALSE(task.scratch.has("run/checkpoints/step-00000003.safetensors"));
  CHECK(task.scratch.has("run/checkpoints/step-00000006.safetensors"));
  CHECK(task.directory().latest()->step == 7);
}

TEST_CASE("trainer: the final measures and the text are of the averaged weights; the last checkpoint keeps training's own") {
  Task plain, averaged;
  std::vector<float> tested, sampled;
  averaged.training.test = [&] { return Measures{{"test_loss", (tested = averaged.weights(), 1.0)}}; };
  averaged.training.sample = [&] { return sampled = averaged.weights(), std::string("text"); };
  plain.run({.steps = 6});
  averaged.run({.steps = 6, .ema = 0.9});
  CHECK(tested == averaged.saved());
  CHECK(sampled == averaged.saved());
  StateDict own = without_prefix(averaged.directory().latest()->tensors, "model.");
  CHECK(std::vector<float>{own.at("weight").data<float>()[0], own.at("weight").data<float>()[1], own.at("bias").data<float>()[0]} ==
        plain.weights());
}

TEST_CASE("trainer: early stopping looks at the averaged weights and keeps the best of them") {
  Task stopped, plain;
  std::vector<std::vector<float>> seen, expected;
  const double losses[] = {3, 1, 2};
  stopped.training.validate = [&] { return seen.push_back(stopped.weights()), Measures{{"val_loss", losses[seen.size() - 1]}}; };
  plain.training.validate = [&] { return expected.push_back(plain.weights()), Measures{}; };
  stopped.run({.steps = 6, .eval_every = 2, .ema = 0.9, .patience = 5});
  plain.run({.steps = 6, .eval_every = 2, .ema = 0.9});
  CHECK(seen == expected);
  CHECK(stopped.saved() == expected[1]);
}

TEST_CASE("trainer: how long the scale of the loss has stood goes on with the run") {
  Task task;
  task.run({.steps = 4, .scale_loss = true});
  CHECK(task.directory().latest()->values.at("steps_since_loss_scale") == "4");
  std::filesystem::remove(task.scratch.path("run/model.safetensors"));
  task.run({.steps = 6, .scale_loss = true});
  CHECK(task.directory().latest()->values.at("steps_since_loss_scale") == "6");
}

TEST_CASE("trainer: a gradient that is infinite without any scale of the loss is no matter of range") {
  Task task;
  task.training.loss = [&](const Part&) { return sum(sqrt(task.model.weight - task.model.weight.detach())); };  // √ at 0
  CHECK_THROWS_WITH_AS(task.run({.steps = 30, .scale_loss = true}), doctest::Contains("step 17: the gradient norm is inf"),
                       ValueError);  // 65536 = 2^16
}

TEST_CASE("trainer: what made a loss infinite is looked for with the same random numbers") {
  Task task;
  std::vector<float> drawn;
  task.training.loss = [&](const Part&) {
    Tensor u = rand({1});
    drawn.push_back(u.item<float>());
    return sum(task.model.weight) * u.item() / zeros({});
  };
  CHECK_THROWS_WITH_AS(task.run({.steps = 2}), doctest::Contains("step 1: the loss is"), ValueError);
  REQUIRE(drawn.size() == 2);
  CHECK(drawn[0] == drawn[1]);
}

TEST_CASE("weight average: whole numbers, which have no mean, are those of the model") {
  nn::BatchNorm norm(2);
  WeightAverage average(norm, 0.9);
  for (int step = 0; step < 3; ++step) {
    norm(randn({4, 2}));
    average.update();
  }
  CHECK(average.state().at("num_batches_tracked").item<int64_t>() == 3);
}
