// Recurrent layers: their parameters.
#include "models/nn/recurrent.h"

#include <cmath>

#include "models/nn/init.h"

namespace plumb::nn {

RecurrentParameters::RecurrentParameters(const char* layer, int64_t gates, int64_t inputs, int64_t hidden, const std::string& suffix,
                                         const RecurrentCellOptions& o) {
  if (inputs < 1 || hidden < 1)
    throw ValueError(std::string(layer) + ": sizes must be positive, got " + std::to_string(inputs) + " inputs, " + std::to_string(hidden) +
                     " hidden units");
  double bound = 1 / std::sqrt(static_cast<double>(hidden));
  auto start = [&](const char* name, Parameter& parameter, const Shape& shape) {
    register_parameter(name + suffix, parameter, empty(shape, o.dtype, o.device));
    init::uniform(parameter, -bound, bound);
  };
  start("weight_ih", weight_ih, {gates * hidden, inputs});
  start("weight_hh", weight_hh, {gates * hidden, hidden});
  if (!o.bias) return;
  start("bias_ih", bias_ih, {gates * hidden});
  start("bias_hh", bias_hh, {gates * hidden});
}

LSTMCell::LSTMCell(int64_t inputs, int64_t hidden, RecurrentCellOptions options)
    : RecurrentParameters("lstm_cell", 4, inputs, hidden, "", options) {}
GRUCell::GRUCell(int64_t inputs, int64_t hidden, RecurrentCellOptions options)
    : RecurrentParameters("gru_cell", 3, inputs, hidden, "", options) {}
RNNCell::RNNCell(int64_t inputs, int64_t hidden, RnnActivation activation, RecurrentCellOptions options)
    : RecurrentParameters("rnn_cell", 1, inputs, hidden, "", options), activation_(activation) {}

RecurrentLayers::RecurrentLayers(const char* layer, int64_t gates, int64_t inputs, int64_t hidden, const RecurrentOptions& o)
    : batch_first_(o.batch_first), bidirectional_(o.bidirectional), dropout_(o.dropout) {
  if (o.num_layers < 1)
    throw ValueError(std::string(layer) + ": the number of layers must be positive, it is " + std::to_string(o.num_layers));
  if (!(o.dropout >= 0 && o.dropout < 1))
    throw ValueError(std::string(layer) + ": dropout must lie in [0, 1), it is " + decimal(o.dropout));
  RecurrentCellOptions cell{o.bias, o.dtype, o.device};
  for (int64_t k = 0; k < o.num_layers; ++k) {
    std::string suffix = "_l" + std::to_string(k);
    int64_t width = k == 0 ? inputs : o.bidirectional ? 2 * hidden : hidden;
    emplace_back(layer, gates, width, hidden, suffix, cell);
    if (o.bidirectional) emplace_back(layer, gates, width, hidden, suffix + "_reverse", cell);
  }
}

std::vector<RecurrentWeights> RecurrentLayers::weights() const {
  std::vector<RecurrentWeights> all;
  for (const RecurrentParameters& p : *this) all.push_back(p.weights());
  return all;
}

plumb::RecurrentOptions RecurrentLayers::call_options(const Tensor& lengths) const {
  return {.batch_first = batch_first_, .bidirectional = bidirectional_, .dropout = training() ? dropout_ : 0, .lengths = lengths};
}

// Without a name of their own: their parameters' names say layer and direction.
std::vector<std::pair<std::string, Module*>> RecurrentLayers::heap_children() const {
  auto children = ModuleList::heap_children();
  for (auto& child : children) child.first.clear();
  return children;
}

LSTM::LSTM(int64_t inputs, int64_t hidden, RecurrentOptions options) : RecurrentLayers("lstm", 4, inputs, hidden, options) {}
GRU::GRU(int64_t inputs, int64_t hidden, RecurrentOptions options) : RecurrentLayers("gru", 3, inputs, hidden, options) {}
RNN::RNN(int64_t inputs, int64_t hidden, RnnActivation activation, RecurrentOptions options)
    : RecurrentLayers("rnn", 1, inputs, hidden, options), activation_(activation) {}

}  // namespace plumb::nn
