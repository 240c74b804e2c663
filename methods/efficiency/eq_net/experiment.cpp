// One elastic network on digits at 2 to 8 bits in all eight forms, against quantisation after training, a network trained for each
// bit-width, and super-nets without the regulariser or the guidance.
#include "methods/experiment.h"

#include <algorithm>
#include <array>

#include "methods/efficiency/eq_net/elastic_cnn.h"

namespace plumb::methods::eq_net {
namespace {

constexpr std::array kBits{2, 3, 4, 6, 8};

Work work_of(const Cell& cell) {
  Work w;
  if (cell.budget() == Budget::smoke) w = {.width = 4, .float_epochs = 20, .epochs = 2, .batch = 64, .calibration = 32, .lr = 5e-3};
  if (cell.budget() == Budget::full) w.width = 32, w.float_epochs = 20, w.epochs = 120;
  return w;
}

StepOptions options_of(const Cell& cell) {
  StepOptions o;
  if (cell.is("without WDR")) o.regularise = false;
  if (cell.is("KURE")) o.wdr.skewness_rate = 0;
  if (cell.is("taught by 8 bits")) o.guidance = Guidance::biggest;
  if (cell.is("labels alone")) o.guidance = Guidance::none;
  return o;
}

struct Form {
  bool per_channel, weight_symmetric, activation_symmetric;
};
std::vector<Form> all_forms() {
  std::vector<Form> forms;
  for (int k = 0; k < 8; ++k) forms.push_back({k / 4 == 1, k / 2 % 2 == 1, k % 2 == 1});
  return forms;
}
constexpr Form kTrained{true, true, true};  // the form that static networks are trained in

quantize::NetForm net_form(ElasticCnn& network, int bits, const Form& f) {
  return quantize::SuperNet(network).uniform(bits, f.per_channel, f.weight_symmetric, f.activation_symmetric);
}

// Of one bit-width: the mean over the forms, the worst, how far apart they are, and the form that static networks have.
struct Accuracies {
  double mean = 0, least = 100, most = 0, trained = 0;

  void add(double accuracy) {
    mean += accuracy / 8;
    least = std::min(least, accuracy), most = std::max(most, accuracy);
  }
};

Accuracies measure_all(ElasticCnn& network, const Digits& d, int bits) {
  Accuracies a;
  for (const Form& f : all_forms()) a.add(measure_form(network, d, net_form(network, bits, f), d.test_x, d.test_y));
  a.trained = measure_form(network, d, net_form(network, bits, kTrained), d.test_x, d.test_y);
  return a;
}

// A network trained in one form, then used in the others as one can use it: with scales fitted to what it has become.
Accuracies train_static(ElasticCnn network, const Digits& d, const Work& w, int bits, int64_t epochs, Generator& g,
                        const std::function<void(double)>& note) {
  quantize::NetForm form = net_form(network, bits, kTrained);
  train_form(network, d, w, form, epochs, g, note);
  double trained = measure_form(network, d, form, d.test_x, d.test_y);
  ElasticCnn other = network;
  quantize::SuperNet net(other);
  for (size_t i = 0; i < net.layers(); ++i) net.layer(i).fit_weight(i == 0 || i + 1 == net.layers() ? 8 : bits);
  Accuracies a;
  for (const Form& f : all_forms()) {
    bool own = f.per_channel && f.weight_symmetric && f.activation_symmetric;
    a.add(own ? trained : measure_form(other, d, net_form(other, bits, f), d.test_x, d.test_y));
  }
  a.trained = trained;
  return a;
}

void run(Cell& cell) {
  Work w = work_of(cell);
  auto digits = cell.shared("digits", [&] { return split_digits(cell.budget() == Budget::smoke ? 400 : 1797); });
  auto start = cell.shared("float network", [&] { return make_float(*digits, w, default_generator()); });
  Generator g(cell.seed());
  std::array<Accuracies, kBits.size()> results;
  if (cell.variant().starts_with("static")) {
    // A step of the super-net makes three passes; so many passes in all, or so many steps a bit-width.
    int64_t epochs = cell.is("static LSQ, same total") ? std::max<int64_t>(1, 3 * w.epochs / static_cast<int64_t>(kBits.size())) : w.epochs;
    for (size_t k = 0; k < kBits.size(); ++k)
      results[k] = train_static(*start, *digits, w, kBits[k], epochs, g,
                                [&](double share) { cell.progress((static_cast<double>(k) + share) / static_cast<double>(kBits.size())); });
  } else {
    ElasticCnn network = *start;
    if (!cell.is("float + PTQ"))
      train_supernet(network, *digits, w, options_of(cell), g, [&](double share) { cell.progress(0.8 * share); });
    for (size_t k = 0; k < kBits.size(); ++k) results[k] = measure_all(network, *digits, kBits[k]);
  }
  for (size_t k = 0; k < kBits.size(); ++k) {
    cell.metric(std::to_string(kBits[k]) + " bits (%)", results[k].mean);
    cell.metric(std::to_string(kBits[k]) + " bits, per channel, symmetric (%)", results[k].trained);
    cell.point("Accuracy, mean of the eight forms (%)", "bits", kBits[k], results[k].mean);
    cell.point("Accuracy of the worst form (%)", "bits", kBits[k], results[k].least);
  }
  cell.metric("2 bits, worst form (%)", results[0].least);
  cell.metric("4 bits, spread of forms (points)", results[2].most - results[2].least);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "EQ-Net";
  e.paper = "Xu, Han, Tian, Yang, Zhang: EQ-Net: Elastic Quantization Neural Networks, ICCV 2023";
  e.claim = "one network serves all bit-widths, granularities and symmetries as well as networks trained for each";
  // First the form that the static networks were trained in, then the mean of all eight.
  for (int bits : kBits) e.metrics.push_back({std::to_string(bits) + " bits, per channel, symmetric (%)", Better::higher});
  for (int bits : kBits) e.metrics.push_back({std::to_string(bits) + " bits (%)", Better::higher});
  e.metrics.push_back({"2 bits, worst form (%)", Better::higher});
  e.metrics.push_back({"4 bits, spread of forms (points)", Better::lower});
  e.variants = {{"float + PTQ", "the network trained in full precision, with fitted scales and re-estimated batch norms"},
                {"static LSQ", "five networks, one a bit-width, each trained as many steps as the super-net, per channel and symmetric"},
                {"static LSQ, same total", "the same, as many passes in all as the super-net"},
                {"without WDR", "the super-net without the regulariser of the weights' distribution"},
                {"KURE", "with the kurtosis alone regularised"},
                {"taught by 8 bits", "random and 2-bit sub-nets both taught by the 8-bit one"},
                {"labels alone", "no guidance"},
                {"EQ-Net", "WDR and guidance from high to low bits"}};
  e.baseline = "static LSQ, same total";
  e.method = "EQ-Net";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::eq_net
