// Embeddings of turned and mirrored digits: how far one threshold serves all classes, trained and unseen, with and without
// threshold-consistent margins beside six other losses.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/digits/digits.h"
#include "methods/common/class_batches.h"
#include "methods/common/metric_losses.h"
#include "methods/common/small_cnn.h"
#include "methods/robust/tcm/tcm.h"
#include "models/metrics/threshold_consistency.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::tcm {
namespace {

constexpr int64_t kEmbedding = 32;

enum class Base : uint8_t { none, softmax, cosface, proxy_anchor, smooth_ap, multi_similarity, contrastive };

struct Recipe {
  Variant variant;
  Base base;
  bool margins = false;  // with TCM
  TcmOptions options = {};
  bool all_pairs = false;  // the control: the same margins, averaged over all pairs
};

const std::vector<Recipe>& recipes() {
  using enum Base;
  static const std::vector<Recipe> all = [] {
    std::vector<Recipe> out{{{"normalised softmax", "cross-entropy of cosines with proxies, scale 16"}, softmax},
                            {{"normalised softmax + TCM", "margins 0.9 and 0.5, weights 1"}, softmax, true},
                            {{"softmax + TCM, positive half", "λ⁻ = 0"}, softmax, true, {.negative_weight = 0}},
                            {{"softmax + TCM, negative half", "λ⁺ = 0"}, softmax, true, {.positive_weight = 0}},
                            {{"softmax + contrastive", "the same margins, averaged over all pairs"}, softmax, false, {}, true},
                            {{"softmax + TCM, m⁻ = 0.3", "another negative margin"}, softmax, true, {.negative_margin = 0.3}},
                            {{"softmax + TCM, m⁻ = 0.4", "another negative margin"}, softmax, true, {.negative_margin = 0.4}},
                            {{"softmax + TCM, m⁻ = 0.6", "another negative margin"}, softmax, true, {.negative_margin = 0.6}}};
    struct Named {
      const char *name, *about;
      Base base;
    };
    for (auto [name, about, base] : {Named{"CosFace", "the same with a margin of 0.35", cosface},
                                     {"Proxy-Anchor", "α = 32, δ = 0.1", proxy_anchor},
                                     {"Smooth-AP", "average precision with ranks by σ(·/0.01)", smooth_ap},
                                     {"multi-similarity", "α = 2, β = 50, λ = 0.5, mined with 0.1", multi_similarity},
                                     {"contrastive", "margins 0.9 and 0.5 over all pairs", contrastive}}) {
      out.push_back({{name, about}, base});
      out.push_back({{std::string(name) + " + TCM", "margins 0.9 and 0.5, weights 1"}, base, true});
    }
    out.push_back({{"TCM alone", "no other loss"}, none, true});
    return out;
  }();
  return all;
}

const Recipe& recipe_of(const Cell& cell) {
  return *std::ranges::find_if(recipes(), [&](const Recipe& r) { return cell.is(r.variant.name); });
}

// -- data ---------------------------------------------------------------------------------------------------------

struct Images {
  Tensor x, labels;  // [n, 1, 8, 8], [n]
};

struct Problem {
  Images train, trained, unseen;  // trained: other images of the same classes; unseen: of classes that training never saw
  int64_t classes = 0;            // of training, numbered from 0
  SmallCnn initial;
  Tensor proxies;
};

// A digit in one of its positions is a class. A mirrored 3 is a turned 3, so it has the four turns alone.
struct Position {
  int64_t digit;
  int turns;
  bool mirrored;
};

std::vector<Position> positions(const std::vector<int64_t>& digits) {
  std::vector<Position> out;
  for (int64_t digit : digits)
    for (bool mirrored : {false, true})
      for (int turns = 0; turns < 4; ++turns)
        if (!(mirrored && digit == 3)) out.push_back({digit, turns, mirrored});
  return out;
}

Tensor shown(const Tensor& images, const Position& p) {
  Tensor x = p.mirrored ? flip(images, {3}) : images;
  return p.turns == 0 ? x : rot90(x, p.turns, 2, 3);
}

// The images of `digits` in each of the given positions, class by class.
Images in_positions(const std::map<int64_t, Tensor>& digits, const std::vector<Position>& classes) {
  std::vector<Tensor> x;
  std::vector<int64_t> labels;
  for (size_t c = 0; c < classes.size(); ++c) {
    x.push_back(shown(digits.at(classes[c].digit), classes[c]));
    labels.insert(labels.end(), static_cast<size_t>(x.back().size(0)), static_cast<int64_t>(c));
  }
  return {contiguous(cat(x, 0)), from_vector(labels)};
}

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  auto all = data::digits().all().batch(1797).next();
  std::vector<int64_t> digits = cell.pick<std::vector<int64_t>>({2, 3}, {2, 3, 4, 6, 7}, {2, 3, 4, 6, 7});
  std::map<int64_t, Tensor> train, test;
  std::vector<int64_t> labels = to_vector<int64_t>(all.label);
  for (int64_t digit : digits) {
    std::vector<int64_t> places, first, rest;
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] == digit) places.push_back(static_cast<int64_t>(i));
    std::vector<int64_t> order = data::random_order(static_cast<int64_t>(places.size()), g);
    size_t cut = cell.pick<size_t>(20, places.size() * 7 / 10, places.size() * 7 / 10),
           end = cell.pick<size_t>(28, places.size(), places.size());
    for (size_t i = 0; i < end; ++i) (i < cut ? first : rest).push_back(places[static_cast<size_t>(order[i])]);
    train.emplace(digit, index_select(all.image, 0, from_vector(first)));
    test.emplace(digit, index_select(all.image, 0, from_vector(rest)));
  }
  std::vector<Position> classes = positions(digits), known, other;
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(classes.size()), g);
  size_t count = cell.pick<size_t>(8, 26, 26);
  for (size_t i = 0; i < order.size(); ++i) (i < count ? known : other).push_back(classes[static_cast<size_t>(order[i])]);
  auto number = static_cast<int64_t>(count);
  return {in_positions(train, known),        in_positions(test, known),
          in_positions(test, other),         number,
          SmallCnn({.classes = kEmbedding}), unit_rows(randn({number, kEmbedding}))};
}

// -- training and measuring ---------------------------------------------------------------------------------------

Tensor loss_of(const Recipe& r, const Tensor& embeddings, const Tensor& labels, const Tensor& proxies, TcmLoss& margins) {
  Tensor z = unit_rows(embeddings), s = matmul(z, transpose(z, 0, 1)), loss;
  switch (r.base) {
    case Base::none:
      break;
    case Base::softmax:
      loss = cosine_softmax_loss(z, labels, proxies);
      break;
    case Base::cosface:
      loss = cosine_softmax_loss(z, labels, proxies, 16, 0.35);
      break;
    case Base::proxy_anchor:
      loss = proxy_anchor_loss(z, labels, proxies);
      break;
    case Base::smooth_ap:
      loss = smooth_ap_loss(s, labels);
      break;
    case Base::multi_similarity:
      loss = multi_similarity_loss(s, labels);
      break;
    case Base::contrastive:
      loss = contrastive_loss(s, labels);
      break;
  }
  if (r.all_pairs) loss = loss + contrastive_loss(s, labels, r.options.positive_margin, r.options.negative_margin);
  if (!r.margins) return loss;
  margins = tcm_loss(s, labels, r.options);
  return loss.defined() ? loss + margins.loss : margins.loss;
}

metrics::ThresholdConsistency consistency(SmallCnn& network, const Images& images) {
  NoGrad off;
  network.eval();
  Tensor embeddings = network(images.x);
  network.train();
  return metrics::threshold_consistency(embeddings, images.labels);
}

void draw(Cell& cell, const std::string& part, int64_t step, const metrics::ThresholdConsistency& c) {
  auto x = static_cast<double>(step);
  cell.point(part + ": OPIS (10⁻⁴)", "step", x, 1e4 * c.opis);
  cell.point(part + ": recall@1 (%)", "step", x, 100 * c.recall_at_1);
  cell.point(part + ": spread of classes' reject rates (%)", "step", x, 100 * c.frr_spread);
}

void measure(Cell& cell, const std::string& part, const metrics::ThresholdConsistency& c) {
  cell.metric(part + ": OPIS (10⁻⁴)", 1e4 * c.opis);
  cell.metric(part + ": recall@1 (%)", 100 * c.recall_at_1);
  cell.metric(part + ": best − worst tenth (%)", 100 * c.extremes.absolute);
  cell.metric(part + ": reject rate (%)", 100 * c.frr);
  cell.metric(part + ": its spread over classes (%)", 100 * c.frr_spread);
}

constexpr std::array kParts{"trained classes", "unseen classes"};

void run(Cell& cell) {
  auto problem = cell.shared("positions of digits", [&] { return make_problem(cell); });
  const Recipe& recipe = recipe_of(cell);
  SmallCnn network = problem->initial;
  Tensor proxies = clone(problem->proxies).requires_grad_();
  std::vector<Tensor> parameters = network.parameters();
  parameters.push_back(proxies);
  optim::Adam adam(parameters, {.lr = 1e-3});
  ClassBatches batches(problem->train.labels, cell.pick<int64_t>(6, 12, 12), cell.pick<int64_t>(4, 6, 6));
  Generator g(cell.seed());
  int64_t steps = cell.pick<int64_t>(8, 400, 4000), looks = cell.pick<int64_t>(1, 3, 10);
  for (int64_t step = 1; step <= steps; ++step) {
    Tensor places = batches.next(g), labels = index_select(problem->train.labels, 0, places);
    adam.zero_grad();
    TcmLoss margins;
    Tensor loss = loss_of(recipe, network(index_select(problem->train.x, 0, places)), labels, proxies, margins);
    if (loss.requires_grad()) {  // TCM alone may find no hard pair
      loss.backward();
      adam.step();
    }
    if (step % std::max<int64_t>(1, steps / 20) == 0) {
      cell.progress(static_cast<double>(step) / static_cast<double>(steps));
      if (recipe.margins) {
        cell.point("hard pairs of one class a batch", "step", static_cast<double>(step), static_cast<double>(margins.hard_positives));
        cell.point("hard pairs of two classes a batch", "step", static_cast<double>(step), static_cast<double>(margins.hard_negatives));
      }
    }
    if (step % std::max<int64_t>(1, steps / looks) != 0 && step != steps) continue;
    for (const char* part : kParts) {
      metrics::ThresholdConsistency c = consistency(network, part == kParts[0] ? problem->trained : problem->unseen);
      draw(cell, part, step, c);
      if (step == steps) measure(cell, part, c);
    }
  }
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "TCM";
  e.paper = "Zhang, Xu, Tang, Fang, Wu, Tighe, Xing: Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024";
  e.claim = "margins on hard pairs make one similarity threshold serve all classes alike (lower OPIS) at the same recall@1";
  for (std::string part : kParts) {
    e.metrics.push_back({part + ": OPIS (10⁻⁴)", Better::lower});
    e.metrics.push_back({part + ": recall@1 (%)"});
    e.metrics.push_back({part + ": best − worst tenth (%)", Better::lower});
    e.metrics.push_back({part + ": reject rate (%)", Better::lower});
    e.metrics.push_back({part + ": its spread over classes (%)", Better::lower});
  }
  for (const Recipe& r : recipes()) e.variants.push_back(r.variant);
  e.baseline = "normalised softmax";
  e.method = "normalised softmax + TCM";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::tcm
