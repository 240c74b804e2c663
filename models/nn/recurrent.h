// Recurrent layers. Parameters have PyTorch's names and layout, so its checkpoints load.
#pragma once
#include "models/nn/containers.h"
#include "ops/recurrent.h"

namespace plumb::nn {

struct RecurrentCellOptions {
  bool bias = true;
  DType dtype = f32;
  Device device = {};
};

/// Weights of one cell, or of one layer of a sequence in one direction, whose names then end in `suffix`: weight_ih [gates · H, I],
/// weight_hh [gates · H, H], bias_ih and bias_hh [gates · H], all starting as U(−1/√H, 1/√H). Throws ValueError for sizes that are not
/// positive.
class RecurrentParameters : public Module {
 public:
  RecurrentParameters(const char* layer, int64_t gates, int64_t inputs, int64_t hidden, const std::string& suffix,
                      const RecurrentCellOptions& options);
  RecurrentWeights weights() const { return {weight_ih, weight_hh, bias_ih, bias_hh}; }

  Parameter weight_ih, weight_hh, bias_ih, bias_hh;
};

/// lstm_cell(x, state) with the layer's weights: x [B, inputs], h and c [B, hidden], zeros if missing → the next state.
class LSTMCell : public RecurrentParameters {
 public:
  LSTMCell(int64_t inputs, int64_t hidden, RecurrentCellOptions options = {});
  LSTMCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, RecurrentCellOptions options = {})
      : LSTMCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  LstmState operator()(const Tensor& x, const LstmState& state = {}) const { return lstm_cell(x, state, weights()); }
};

/// gru_cell(x, h) with the layer's weights: x [B, inputs], h [B, hidden], zeros if missing → the next h.
class GRUCell : public RecurrentParameters {
 public:
  GRUCell(int64_t inputs, int64_t hidden, RecurrentCellOptions options = {});
  GRUCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, RecurrentCellOptions options = {})
      : GRUCell(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const { return gru_cell(x, h, weights()); }
};

/// rnn_cell(x, h) with the layer's weights.
class RNNCell : public RecurrentParameters {
 public:
  RNNCell(int64_t inputs, int64_t hidden, RnnActivation activation = RnnActivation::tanh, RecurrentCellOptions options = {});
  RNNCell(Module* parent, std::string name, int64_t inputs, int64_t hidden, RnnActivation activation = RnnActivation::tanh,
          RecurrentCellOptions options = {})
      : RNNCell(inputs, hidden, activation, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const { return rnn_cell(x, h, weights(), activation_); }

 private:
  RnnActivation activation_;
};

struct RecurrentOptions {
  int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;  ///< x and y are [B, T, ..] instead of [T, B, ..]
  double dropout = 0;        ///< of the outputs between layers, in training mode
  bool bidirectional = false;
  DType dtype = f32;
  Device device = {};
};

/// The weights of a stack of layers, one entry for each layer and direction: layer 0 forward, layer 0 backward, layer 1 forward, …, named
/// weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, …
class RecurrentLayers : public ModuleList<RecurrentParameters> {
 protected:
  RecurrentLayers(const char* layer, int64_t gates, int64_t inputs, int64_t hidden, const RecurrentOptions& options);
  std::vector<RecurrentWeights> weights() const;
  plumb::RecurrentOptions call_options(const Tensor& lengths) const;
  std::vector<std::pair<std::string, Module*>> heap_children() const override;

 private:
  using ModuleList::clear, ModuleList::emplace_back, ModuleList::pop_back, ModuleList::push_back;
  bool batch_first_, bidirectional_;
  double dropout_;
};

/// lstm(x) with the layers' weights: x [T, B, inputs] → y [T, B, D · hidden], h and c [layers · D, B, hidden], D = 2 directions or 1.
/// Initial states are zeros if missing; `lengths` (i64 [B]) where examples end earlier than at T. Throws ValueError for sizes that are not
/// positive and dropout outside [0, 1).
class LSTM : public RecurrentLayers {
 public:
  LSTM(int64_t inputs, int64_t hidden, RecurrentOptions options = {});
  LSTM(Module* parent, std::string name, int64_t inputs, int64_t hidden, RecurrentOptions options = {}) : LSTM(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  LstmResult operator()(const Tensor& x, const LstmState& initial = {}, const Tensor& lengths = {}) const {
    return lstm(x, weights(), initial, call_options(lengths));
  }
};

/// gru(x) with the layers' weights; otherwise as LSTM.
class GRU : public RecurrentLayers {
 public:
  GRU(int64_t inputs, int64_t hidden, RecurrentOptions options = {});
  GRU(Module* parent, std::string name, int64_t inputs, int64_t hidden, RecurrentOptions options = {}) : GRU(inputs, hidden, options) {
    join(parent, std::move(name));
  }
  RecurrentResult operator()(const Tensor& x, const Tensor& initial = {}, const Tensor& lengths = {}) const {
    return gru(x, weights(), initial, call_options(lengths));
  }
};

/// rnn(x) with the layers' weights; otherwise as LSTM.
class RNN : public RecurrentLayers {
 public:
  RNN(int64_t inputs, int64_t hidden, RnnActivation activation = RnnActivation::tanh, RecurrentOptions options = {});
  RNN(Module* parent, std::string name, int64_t inputs, int64_t hidden, RnnActivation activation = RnnActivation::tanh,
      RecurrentOptions options = {})
      : RNN(inputs, hidden, activation, options) {
    join(parent, std::move(name));
  }
  RecurrentResult operator()(const Tensor& x, const Tensor& initial = {}, const Tensor& lengths = {}) const {
    return rnn(x, weights(), initial, call_options(lengths), activation_);
  }

 private:
  RnnActivation activation_;
};

}  // namespace plumb::nn
