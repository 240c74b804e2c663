// Mixed precision chosen for a trained elastic network: by a genetic search on a predictor, by random search, or the same bits everywhere.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "methods/efficiency/eq_net/elastic_cnn.h"
#include "models/metrics/correlation.h"

namespace plumb::methods::eq_net_search {
namespace {

using namespace eq_net;

eq_net::Work work_of(const Cell& cell) {
  eq_net::Work w;
  if (cell.budget() == Budget::smoke) w = {.width = 4, .float_epochs = 20, .epochs = 2, .batch = 64, .calibration = 32, .lr = 5e-3};
  if (cell.budget() == Budget::full) w.width = 32, w.float_epochs = 20, w.epochs = 120;
  return w;
}

// What all variants search in.
struct Trained {
  Digits digits;
  ElasticCnn network;
};

Trained make_trained(const eq_net::Work& w, int64_t images) {
  Generator g(default_generator().next_u64());
  Digits digits = split_digits(images);
  ElasticCnn network = make_float(digits, w, g);
  train_supernet(network, digits, w, {}, g, {});
  measure_form(network, digits, quantize::SuperNet(network).uniform(8, true, true, true), digits.validation_x, digits.validation_y);
  return {digits, network};
}

struct Pairs {
  std::vector<quantize::NetForm> forms;
  std::vector<double> accuracies;
};

// Forms with bits and conditions drawn at random, and what they reach on the validation set.
Pairs measured_pairs(ElasticCnn& network, const Digits& d, int64_t count, Generator& g, Cell& cell) {
  quantize::SuperNet net(network);
  Pairs pairs;
  for (int64_t k = 0; k < count; ++k) {
    bool per_channel = g.next_below(2) == 1, weight_symmetric = g.next_below(2) == 1, activation_symmetric = g.next_below(2) == 1;
    pairs.forms.push_back(net.random_bits(g, per_channel, weight_symmetric, activation_symmetric));
    pairs.accuracies.push_back(measure_form(network, d, pairs.forms.back(), d.validation_x, d.validation_y));
    if (k % 8 == 0) cell.progress(0.8 * static_cast<double>(k) / static_cast<double>(count));
  }
  return pairs;
}

struct Judgement {
  double tau = NAN, rmse = NAN;
};

Judgement judge(const AccuracyPredictor& predictor, const Pairs& held_out) {
  std::vector<double> predicted = predictor(held_out.forms);
  double squares = 0;
  for (size_t i = 0; i < predicted.size(); ++i)
    squares += std::pow(predicted[i] - held_out.accuracies[i], 2) / static_cast<double>(predicted.size());
  return {kendall_correlation(predicted, held_out.accuracies), std::sqrt(squares)};
}

// The best on the validation set of `count` that the budget allows.
quantize::NetForm random_search(ElasticCnn& network, const Digits& d, const quantize::FormGenes& genes, const quantize::BitBudget& budget,
                                int64_t count, Generator& g) {
  quantize::SuperNet net(network);
  auto allowed = [&](const optim::Choices& c) { return budget.allows(net, genes.form(c)); };
  quantize::NetForm best;
  double most = -1;
  for (const auto& c : optim::draw_allowed(genes.sizes(), allowed, count, 100'000, g))
    if (double a = measure_form(network, d, genes.form(c), d.validation_x, d.validation_y); a > most) most = a, best = genes.form(c);
  return best;
}

void run(Cell& cell) {
  eq_net::Work w = work_of(cell);
  auto trained = cell.shared("super-net", [&] { return make_trained(w, cell.budget() == Budget::smoke ? 400 : 1797); });
  ElasticCnn network = trained->network;
  const Digits& d = trained->digits;
  quantize::SuperNet net(network);
  measure_form(network, d, net.uniform(8, true, true, true), d.validation_x, d.validation_y);
  Generator g(cell.seed());
  quantize::FormGenes genes{net.uniform(8, true, true, true)};
  int64_t measured = cell.pick<int64_t>(6, 150, 1000), held_out = cell.pick<int64_t>(4, 50, 200);
  Judgement judgement;
  std::vector<quantize::NetForm> found;
  int64_t used = 0;
  if (cell.is("predictor + genetic search")) {
    Pairs pairs = measured_pairs(network, d, measured, g, cell);
    AccuracyPredictor predictor(static_cast<int64_t>(net.layers()), {.epochs = cell.pick<int64_t>(3, 100, 100)});
    predictor.fit(pairs.forms, pairs.accuracies, g);
    used = measured;
    judgement = judge(predictor, measured_pairs(network, d, held_out, g, cell));
    optim::GeneticOptions o{.population = cell.pick<int64_t>(10, 100, 100), .generations = cell.pick<int64_t>(2, 50, 500)};
    auto fitness = [&](const std::vector<quantize::NetForm>& forms) { return predictor(forms); };
    for (double bits : {3.0, 4.0}) found.push_back(quantize::search_form(net, genes, fitness, {.bits = bits}, o, g).form);
  } else if (cell.is("random search")) {
    for (double bits : {3.0, 4.0}) found.push_back(random_search(network, d, genes, {.bits = bits}, measured / 2, g));
    used = measured / 2 * 2;
  } else {
    for (int bits : {3, 4}) found.push_back(net.uniform(bits, true, true, true));
  }
  for (size_t k = 0; k < 2; ++k) {
    std::string at = k == 0 ? "3 bits" : "4 bits";
    cell.metric(at + " (%)", measure_form(network, d, found[k], d.test_x, d.test_y));
    cell.metric(at + ", of weights", average_weight_bits(net, found[k]));
    cell.metric(at + ", of activations", average_activation_bits(net, found[k]));
  }
  cell.metric("networks measured", static_cast<double>(used));
  bool predicts = cell.is("predictor + genetic search");
  cell.metric("Kendall tau of the predictor", predicts ? judgement.tau : 0);
  cell.metric("RMSE of the predictor (points)", predicts ? judgement.rmse : 0);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "EQ-Net, mixed precision";
  e.paper = "Xu, Han, Tian, Yang, Zhang: EQ-Net: Elastic Quantization Neural Networks, ICCV 2023";
  e.claim = "bits chosen layer by layer with a predictor of accuracy are at least as good as the same bits everywhere";
  e.metrics = {{"3 bits (%)", Better::higher},
               {"4 bits (%)", Better::higher},
               {"3 bits, of weights", Better::neither},
               {"3 bits, of activations", Better::neither},
               {"4 bits, of weights", Better::neither},
               {"4 bits, of activations", Better::neither},
               {"networks measured", Better::neither},
               {"Kendall tau of the predictor", Better::neither},
               {"RMSE of the predictor (points)", Better::neither}};
  e.variants = {{"uniform", "the same bits in all layers but the first and the last"},
                {"random search", "the best on the validation set of 75 networks within each budget"},
                {"predictor + genetic search", "a predictor of 150 measured networks, searched within each budget"}};
  e.baseline = "uniform";
  e.method = "predictor + genetic search";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::eq_net_search
