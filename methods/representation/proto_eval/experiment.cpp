// Part-prototype networks on images whose parts are known: accuracy, and whether what prototypes point at is consistent and stable, with
// and without feature alignment and score aggregation, beside ProtoPNet and beside chance.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/scene_backgrounds.h"
#include "methods/experiment.h"
#include "methods/representation/proto_eval/part_images.h"
#include "methods/representation/proto_eval/prototype_net.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::proto_eval {
namespace {

constexpr int64_t kClasses = 6, kPerClass = 4, kBatch = 32;
constexpr double kPretrainRate = 3e-3, kBackboneRate = 5e-4, kAddOnRate = 3e-3, kPrototypeRate = 3e-3, kLastRate = 1e-3,
                 kDecay = 1e-4;                      // Adam, for every variant
constexpr double kLaterRate = 0.3;                   // the rates' factor after each third of the joint epochs
constexpr double kAlignment = 0.5, kMargin = 0.1;    // of SDFA
constexpr double kHalfBox = 0.16, kThreshold = 0.8;  // share of the image's side; of the images

PrototypeNetConfig net_config(const Cell& cell) {
  return {.backbone_width = cell.pick<int64_t>(4, 8, 16), .classes = kClasses, .per_class = kPerClass};
}

// Images standardised by the training images' mean and deviation.
struct Problem {
  PartImages train, test;
  Tensor shown;  // test images as they were drawn
  double half;
  resnet::ResNet backbone;  // has learned single digits: what all variants begin with
};

// A backbone that tells which digit small images show, by the largest of each feature over its places.
resnet::ResNet pretrained(const Cell& cell, const DigitImages& digits, Generator& g) {
  PrototypeNetConfig config = net_config(cell);
  resnet::ResNet net(backbone_config(config));
  nn::Linear head(config.backbone_width * 4, 10);
  std::vector<Tensor> parameters = net.parameters();
  for (const Tensor& p : head.parameters()) parameters.push_back(p);
  optim::Adam adam(parameters, {.lr = kPretrainRate, .weight_decay = kDecay});
  int64_t n = digits.labels.numel(), epochs = cell.pick<int64_t>(1, 12, 20);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    adam.set_lr_scale(optim::cosine(epochs)(epoch));
    for (const Tensor& places : split(randperm(n, {.dtype = i64, .generator = &g}), kBatch)) {
      adam.zero_grad();
      Tensor deep = net.stages(pixel_unshuffle(index_select(digits.images, 0, places), config.block)).back();
      cross_entropy(head(global_max_pool(deep)), index_select(digits.labels, 0, places)).backward();
      adam.step();
    }
  }
  return net;
}

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  auto digits = data::digits().all().split({0.7, 0.3}, {.seed = g.next_u64(), .stratified = true});
  Backgrounds backgrounds = generated_backgrounds(g);
  PartImageOptions o, alone{.size = 24};
  PartImages train = part_images(cell.pick<int64_t>(24, 1200, 6000), digits[0], backgrounds.train, o, g),
             test = part_images(cell.pick<int64_t>(18, 360, 1200), digits[1], backgrounds.test, o, g);
  DigitImages single = digit_images(cell.pick<int64_t>(40, 3000, 10'000), digits[0], backgrounds.train, alone, g);
  double middle = mean(train.images).item(), deviation = std_dev(train.images).item();
  Tensor shown = test.images;
  for (Tensor* images : {&train.images, &test.images, &single.images}) *images = (*images - middle) / deviation;
  return {train, test, shown, kHalfBox * static_cast<double>(o.size), pretrained(cell, single, g)};
}

struct Recipe {
  PrototypeNetConfig net;
  PrototypeLossOptions loss;
  bool trained = true, protopnet = false;
};

Recipe recipe_of(const Cell& cell) {
  Recipe r;
  r.net = net_config(cell);
  r.loss.margin = kMargin;
  r.net.aggregate = cell.is("SA") || cell.is("SDFA and SA") || cell.is("untrained network");
  r.loss.sdfa = cell.is("SDFA") || cell.is("SDFA and SA") ? kAlignment : 0;
  r.trained = !cell.is("untrained network");
  r.protopnet = cell.is("ProtoPNet");
  if (r.protopnet) r.net.similarity = Similarity::distance, r.loss.orthogonality = 0;
  return r;
}

// Four groups with rates of their own. ProtoPNet's dense layer waits for its last stage.
optim::Adam optimiser(const PrototypeNet& net, bool with_last) {
  std::vector<Tensor> last;
  if (with_last) last = net.dense ? net.dense->parameters() : net.aggregation->parameters();
  return optim::Adam(
      std::vector<optim::Group<optim::AdamOptions>>{{net.backbone.parameters(), {.lr = kBackboneRate, .weight_decay = kDecay}},
                                                    {net.add_on.parameters(), {.lr = kAddOnRate, .weight_decay = kDecay}},
                                                    {net.prototypes.parameters(), {.lr = kPrototypeRate}},
                                                    {last, {.lr = kLastRate}}});
}

double accuracy_of(PrototypeNet& net, const PartImages& set) {
  NoGrad no_grad;
  net.eval();
  std::vector<Tensor> said;
  for (const Tensor& part : split(set.images, 200)) said.push_back(argmax(net(part), 1));
  net.train();
  return 100 * metrics::accuracy(cat(said), set.labels);
}

void train(Cell& cell, const Recipe& recipe, const Problem& p, PrototypeNet& net, Generator& g) {
  int64_t epochs = cell.pick<int64_t>(2, 16, 40), warmup = cell.pick<int64_t>(1, 4, 5), n = p.train.size();
  int64_t decay_every = std::max<int64_t>(1, (epochs - warmup + 2) / 3);
  if (recipe.protopnet) net.dense->requires_grad_(false);
  optim::Adam adam = optimiser(net, !recipe.protopnet);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    bool joint = epoch >= warmup;
    net.backbone.requires_grad_(joint);
    PrototypeLossOptions loss = recipe.loss;
    if (!joint) loss.sdfa = 0;
    adam.set_lr_scale(joint ? std::pow(kLaterRate, static_cast<double>((epoch - warmup) / decay_every)) : 1.0);
    Tensor order = randperm(n, {.dtype = i64, .generator = &g});
    for (const Tensor& places : split(order, kBatch)) {
      Tensor labels = index_select(p.train.labels, 0, places);
      adam.zero_grad();
      prototype_net_loss(net, net.forward(index_select(p.train.images, 0, places)), labels, loss).backward();
      adam.step();
      if (!recipe.protopnet) net.prototypes.to_unit_length();
    }
    cell.progress(static_cast<double>(epoch + 1) / static_cast<double>(epochs));
    cell.point("test accuracy (%)", "epochs", static_cast<double>(epoch + 1), accuracy_of(net, p.test));
  }
  if (!recipe.protopnet) return;
  project_prototypes(net, p.train.images, p.train.labels);
  net.dense->requires_grad_(true);
  fit_last_layer(net, p.train.images, p.train.labels, {.steps = cell.pick<int64_t>(5, 100, 100)});
}

// The maps of each image's own prototypes, [n, K, h, w].
Tensor own_maps(PrototypeNet& net, const Tensor& images, const Tensor& labels) {
  NoGrad no_grad;
  net.eval();
  std::vector<Tensor> maps;
  for (int64_t from = 0; from < images.size(0); from += 200)
    maps.push_back(own_class(net.forward(slice(images, 0, from, from + 200)).maps, slice(labels, 0, from, from + 200), kPerClass));
  net.train();
  return cat(maps);
}

PartHits hits_of(const Tensor& maps, const Problem& p) {
  const PartImages& t = p.test;
  return {prototype_part_hits(maps, t.parts, p.half, t.images.size(3)), t.parts.visible, t.labels, kClasses};
}

// The box of each class's first prototype on two of its images.
Tensor explained(const Tensor& maps, const Problem& p) {
  int64_t size = p.shown.size(3), half = static_cast<int64_t>(p.half), shown = std::min<int64_t>(2 * kClasses, maps.size(0));
  Tensor images = clone(slice(p.shown, 0, 0, shown));
  auto peaks = to_vector<int64_t>(map_peaks(slice(maps, 0, 0, shown), size));
  auto* pixels = images.data<float>();
  for (int64_t i = 0; i < shown; ++i) {
    int64_t row = peaks[static_cast<size_t>(2 * kPerClass * i)], column = peaks[static_cast<size_t>(2 * kPerClass * i + 1)];
    for (int64_t r = std::max<int64_t>(0, row - half); r <= std::min(size - 1, row + half); ++r)
      for (int64_t c = std::max<int64_t>(0, column - half); c <= std::min(size - 1, column + half); ++c)
        if (std::abs(r - row) == half || std::abs(c - column) == half) pixels[(i * size + r) * size + c] = 1;
  }
  return train::image_grid(images, {.columns = kClasses});
}

void report(Cell& cell, const Problem& p, double accuracy, const Tensor& clean_maps, const Tensor& noisy_maps) {
  PartHits clean = hits_of(clean_maps, p), noisy = hits_of(noisy_maps, p);
  cell.metric("consistency (%)", consistency_score(clean, kThreshold));
  cell.metric("stability (%)", stability_score(clean, noisy));
  cell.metric("best part hit (%)", best_part_rate(clean));
  cell.metric("accuracy (%)", accuracy);
  cell.metric("complete images a class", static_cast<double>(p.test.least_complete()));
  cell.picture("the first prototype of each class", explained(clean_maps, p));
}

// Chance: a class and a place drawn uniformly for every image and prototype.
void report_chance(Cell& cell, const Problem& p, Generator& g) {
  int64_t n = p.test.size(), size = p.test.images.size(3);
  auto anywhere = [&] { return rand({n, kPerClass, size, size}, {.generator = &g}); };
  double accuracy = 100 * metrics::accuracy(randint(0, kClasses, {n}, {.dtype = i64, .generator = &g}), p.test.labels);
  report(cell, p, accuracy, anywhere(), anywhere());
}

void run(Cell& cell) {
  auto problem = cell.shared("images of parts", [&] { return make_problem(cell); });
  Generator g(cell.seed() + 1), noise(cell.seed() + 2);
  if (cell.is("uniform guesses")) return report_chance(cell, *problem, g);
  Recipe recipe = recipe_of(cell);
  PrototypeNet net(recipe.net);
  net.backbone.load_state(problem->backbone.state());
  if (recipe.trained) train(cell, recipe, *problem, net, g);
  const PartImages& test = problem->test;
  report(cell, *problem, accuracy_of(net, test), own_maps(net, test.images, test.labels),
         own_maps(net, imperceptible_noise(test.images, noise), test.labels));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "EvalProtoPNet",
      .paper =
          "Huang, Xue, Huang, Zhang, Song, Jing, Song: Evaluation and Improvement of Interpretability for Self-Explainable Part-Prototype "
          "Networks, ICCV 2023",
      .claim =
          "aligning deep with shallow features and aggregating scores makes prototypes point at the same part in all images of a class, "
          "and still do when the image hardly changes, without costing accuracy",
      .metrics =
          {{"consistency (%)"}, {"stability (%)"}, {"best part hit (%)"}, {"accuracy (%)"}, {"complete images a class", Better::neither}},
      .variants = {{"uniform guesses", "chance: classes and places drawn uniformly"},
                   {"untrained network", "chance: SDFA and SA's network as it starts"},
                   {"ProtoPNet", "distances, dense layer, projection onto patches, last layer by itself"},
                   {"cosine base", "unit prototypes, dense layer; neither SDFA nor SA"},
                   {"SA", "score aggregation in place of the dense layer"},
                   {"SDFA", "shallow-deep feature alignment, λ = 0.5"},
                   {"SDFA and SA", "both"}},
      .baseline = "cosine base",
      .method = "SDFA and SA",
      .run = run};
}

}  // namespace plumb::methods::proto_eval
