// WSCL on spliced images: do streams that see different things, and agree on where, find a manipulation from labels of whole images?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "engine/data/digits/digits.h"
#include "methods/semi_supervised/wscl/forgery.h"
#include "methods/semi_supervised/wscl/wscl.h"
#include "models/metrics/confusion.h"
#include "models/metrics/roc.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::wscl {

Experiment experiment();

namespace {

constexpr int64_t kBatch = 32;

struct Problem {
  Forgeries train, test, elsewhere;  // the last one's donors have a noise that training never saw
  uint64_t seed;
};

Problem make_problem(int64_t train, int64_t test) {
  auto digits = data::digits();
  auto all = [](const data::Dataset& set) { return set.batch(set.size()).next().image; };
  uint64_t seed = default_generator().next_u64();
  Generator a(seed), b(seed + 1), c(seed + 2);
  return {forged(train, all(digits.train()), {}, a), forged(test, all(digits.test()), {}, b),
          forged(test, all(digits.test()), {.donors = {Noise::enlarged}}, c), seed};
}

/// How a set of streams is trained.
enum class Objective { mil, consistency, masks };
struct Plan {
  Objective objective = Objective::mil;
  WsclOptions options = {};
  std::vector<StreamConfig> streams = three_streams();
};

/// Streams begin with the same weights in every plan that has a stream of that source.
WsclModel made_model(const std::vector<StreamConfig>& configs, uint64_t seed) {
  WsclModel model({});
  for (const StreamConfig& c : configs) {
    Generator before = default_generator();
    manual_seed(seed + static_cast<uint64_t>(c.source));
    model.streams.emplace_back(c);
    default_generator() = before;
  }
  return model;
}

struct Trained {
  WsclModel model;
  std::vector<double> target_share;  // mean of t over tampered images, by epochs; empty without
};

/// Batches of an epoch, mirrored at random along both axes with their masks.
class Batches {
 public:
  Batches(const Forgeries& set, uint64_t seed) : set_(set), generator_(seed) {}
  int64_t count() const { return set_.labels.numel() / kBatch; }
  void begin() { order_ = data::random_order(set_.labels.numel(), generator_); }
  Forgeries operator()(int64_t b) {
    Tensor index = from_vector(std::vector<int64_t>(order_.begin() + b * kBatch, order_.begin() + (b + 1) * kBatch));
    Forgeries f{index_select(set_.images, 0, index), index_select(set_.labels, 0, index), index_select(set_.masks, 0, index)};
    for (int axis : {1, 2})
      if (generator_.next_double() < 0.5) f.images = contiguous(flip(f.images, {axis + 1})), f.masks = contiguous(flip(f.masks, {axis}));
    return f;
  }

 private:
  const Forgeries& set_;
  Generator generator_;
  std::vector<int64_t> order_;
};

/// The bound: every cell of the map knows whether most of its pixels were pasted.
Tensor mask_loss(const WsclModel& model, const Forgeries& batch) {
  Tensor pixels = to(unsqueeze(batch.masks, 1), f32), loss = zeros({});
  for (const Stream& stream : model.streams) {
    Tensor logits = stream.map_logits(batch.images);
    Tensor target = to(squeeze(adaptive_avg_pool2d(pixels, Size2(logits.size(1), logits.size(2))), 1) > 0.5, f32);
    loss = loss + binary_cross_entropy_with_logits(logits, target);
  }
  return loss;
}

/// Mean of t over the tampered images of a batch; NaN without.
double share_of(const Tensor& target, const Tensor& labels) {
  double tampered = sum(to(labels, f64)).item();
  return tampered > 0 ? sum(mean(to(target, f64), {1, 2}) * to(labels, f64)).item() / tampered : std::nan("");
}

Trained trained(Cell& cell, const Problem& problem, const Plan& plan, int64_t epochs) {
  Trained out{made_model(plan.streams, problem.seed), {}};
  WsclOptions options = plan.options;
  if (plan.objective == Objective::mil) options.msc = options.ipc = 0, options.weights.assign(plan.streams.size(), 1);
  std::vector<optim::Adam> optimisers;  // one a stream
  for (Stream& s : out.model.streams) optimisers.emplace_back(s.parameters(), optim::AdamOptions{.lr = 1e-3});
  Batches batches(problem.train, problem.seed);
  out.model.train();
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    batches.begin();
    double share = 0, count = 0;
    for (int64_t b = 0; b < batches.count(); ++b) {
      Forgeries batch = batches(b);
      for (auto& o : optimisers) o.zero_grad();
      if (plan.objective == Objective::masks) {
        mask_loss(out.model, batch).backward();
      } else {
        WsclParts parts = wscl_loss(out.model(batch.images), batch.labels, epoch, epochs, options);
        parts.total.backward();
        if (double s = share_of(parts.target, batch.labels); std::isfinite(s)) share += s, ++count;
      }
      for (auto& o : optimisers) o.step();
      cell.progress((static_cast<double>(epoch) + static_cast<double>(b) / static_cast<double>(batches.count())) /
                    static_cast<double>(epochs));
    }
    if (plan.objective == Objective::consistency) out.target_share.push_back(share / std::max(1.0, count));
  }
  out.model.eval();
  return out;
}

struct Quality {
  double auc = 0, image_f1 = 0, pixel_f1 = 0, recall = 0;  // the last two of tampered images, each image counting once
};

/// Of the streams in `which`, with their weights.
Ensemble predicted(const WsclModel& model, const std::vector<size_t>& which, const std::vector<double>& weights, const Tensor& images) {
  NoGrad no_grad;
  std::vector<Tensor> maps, scores;
  for (int64_t start = 0; start < images.size(0); start += 100) {
    Tensor part = narrow(images, 0, start, std::min<int64_t>(100, images.size(0) - start));
    std::vector<StreamOutput> streams;
    for (size_t s : which) streams.push_back(model.streams[s](part));
    Ensemble e = ensemble(streams, weights);
    maps.push_back(e.map);
    scores.push_back(e.score);
  }
  return {cat(maps, 0), cat(scores, 0)};
}

Quality judged(const Ensemble& said, const Forgeries& truth) {
  Quality q{metrics::roc_auc(said.score, truth.labels), metrics::f1_score(to(said.score > 0.5, i64), truth.labels)};
  Tensor found = manipulated(said.map, truth.masks.size(1), truth.masks.size(2));
  auto labels = to_vector<int64_t>(truth.labels);
  double tampered = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != 1) continue;
    Tensor p = flatten(select(found, 0, static_cast<int64_t>(i)), 0), t = flatten(select(truth.masks, 0, static_cast<int64_t>(i)), 0);
    q.pixel_f1 += metrics::f1_score(p, t);
    q.recall += sum(p * t).item() / std::max(1.0, sum(t).item());
    ++tampered;
  }
  q.pixel_f1 /= tampered;
  q.recall /= tampered;
  return q;
}

/// A variant: streams that several variants share, trained once, and which of them it listens to.
struct Choice {
  std::string name;  // of the shared training
  Plan plan;
  std::vector<size_t> which = {0, 1, 2};
  std::vector<double> weights = {1, 2, 2};
};

Choice choice_of(const Cell& cell) {
  const std::string& v = cell.variant();
  auto one = [](size_t s) { return std::vector<size_t>{s}; };
  if (v.ends_with(", max") || v.ends_with(", Otsu")) {
    bool max = v.ends_with(", max");
    Choice c{max ? "max" : "Otsu", {.streams = three_streams({.pooling = max ? Pooling::max : Pooling::otsu})}};
    if (!v.starts_with("late")) c.which = one(v.starts_with("rgb") ? 0 : v.starts_with("SRM") ? 1 : 2), c.weights = {1};
    return c;
  }
  if (v == "early fusion") return {v, {.streams = {{.source = Source::early}}}, one(0), {1}};
  if (v == "pixel masks") return {v, {.objective = Objective::masks}};
  Plan plan{.objective = Objective::consistency};
  if (v == "self-training") plan.options.targets = Targets::own;
  if (v == "MSC" || v == "self-training") plan.options.ipc = 0;
  if (v == "MSC + IPC, λ = 0.5") plan.options.msc = 0.5;
  if (v == "MSC + IPC, soft") plan.options.hard = false;
  Choice c{v, plan};
  if (v == "MSC + IPC, 1:1:1") c.weights = {1, 1, 1};
  c.plan.options.weights = c.weights;
  return c;
}

/// The first tampered images with what was pasted and what was found.
void draw(Cell& cell, const Ensemble& said, const Forgeries& set) {
  std::vector<int64_t> places;
  auto labels = to_vector<int64_t>(set.labels);
  for (size_t i = 0; i < labels.size() && places.size() < 8; ++i)
    if (labels[i] == 1) places.push_back(static_cast<int64_t>(i));
  Tensor at = from_vector(places), found = manipulated(index_select(said.map, 0, at), set.masks.size(1), set.masks.size(2));
  Tensor grey = 0.25 * narrow(index_select(set.images, 0, at), 1, 0, 1) + 0.25;
  auto shown = [](const Tensor& mask) { return to(unsqueeze(mask, 1), f32); };
  cell.picture(fmt::format("images, what was pasted, and what {} found", cell.variant()),
               train::image_grid(cat({grey, shown(index_select(set.masks, 0, at)), shown(found)}, 0), {.columns = at.numel()}));
}

void run(Cell& cell) {
  auto problem = cell.shared("images", [&] { return make_problem(cell.pick<int64_t>(32, 640, 1500), cell.pick<int64_t>(24, 300, 400)); });
  Choice choice = choice_of(cell);
  auto streams =
      cell.shared("streams, " + choice.name, [&] { return trained(cell, *problem, choice.plan, cell.pick<int64_t>(1, 10, 20)); });
  for (size_t e = 0; e < streams->target_share.size(); ++e)
    cell.point("pseudo-masks: share of tampered images (%)", "epochs", static_cast<double>(e + 1), 100 * streams->target_share[e]);
  Ensemble here = predicted(streams->model, choice.which, choice.weights, problem->test.images);
  Quality near = judged(here, problem->test),
          far = judged(predicted(streams->model, choice.which, choice.weights, problem->elsewhere.images), problem->elsewhere);
  if (cell.is("late fusion, Otsu") || cell.is("MSC + IPC")) draw(cell, here, problem->test);
  cell.metric("image AUC (%)", 100 * near.auc);
  cell.metric("image F1 (%)", 100 * near.image_f1);
  cell.metric("pixel F1 (%)", 100 * near.pixel_f1);
  cell.metric("pixel recall (%)", 100 * near.recall);
  cell.metric("combined F1 (%)", 100 * combined_f1(near.image_f1, near.pixel_f1));
  cell.metric("image AUC, other noise (%)", 100 * far.auc);
  cell.metric("pixel F1, other noise (%)", 100 * far.pixel_f1);
}

}  // namespace

Experiment experiment() {
  return {.title = "WSCL",
          .paper =
              "Zhai, Luan, Doermann, Yuan: Towards Generic Image Manipulation Detection with Weakly-Supervised Self-Consistency Learning, "
              "ICCV 2023",
          .claim =
              "from labels of whole images, streams that take each other's maps as pseudo-masks find more of what was pasted than the "
              "same streams apart, or each with its own",
          .metrics = {{"pixel F1 (%)"},
                      {"image AUC (%)"},
                      {"image F1 (%)"},
                      {"pixel recall (%)"},
                      {"combined F1 (%)"},
                      {"image AUC, other noise (%)"},
                      {"pixel F1, other noise (%)"}},
          .variants = {{"rgb, max", "one stream, the map's largest value"},
                       {"SRM, max", "noise residuals"},
                       {"Bayar, max", "constrained convolutions"},
                       {"late fusion, max", "the three of them, 1:2:2"},
                       {"rgb, Otsu", "one stream, adaptive pooling"},
                       {"SRM, Otsu", "noise residuals"},
                       {"Bayar, Otsu", "constrained convolutions"},
                       {"late fusion, Otsu", "the three of them, 1:2:2"},
                       {"early fusion", "nine channels into one stream"},
                       {"self-training", "each stream's target is its own map: same weight and ramp as MSC"},
                       {"MSC", "the target is what the streams say together, λ = 0.1"},
                       {"MSC + IPC", "and the volume of patches, λ = 0.1"},
                       {"MSC + IPC, 1:1:1", "equal streams"},
                       {"MSC + IPC, λ = 0.5", "of MSC"},
                       {"MSC + IPC, soft", "targets are not thresholded"},
                       {"pixel masks", "an upper bound: trained with what was pasted"}},
          .baseline = "late fusion, Otsu",
          .method = "MSC + IPC",
          .run = run};
}

}  // namespace plumb::methods::wscl
