// Recurrent cells and sequences: LSTM, GRU and the plain cell, with weights in the layout that PyTorch's checkpoints have. All tensors of a
// call are floating and of one type; under Autocast, f32 tensors are taken in the autocast type. Missing initial states are zeros, and the
// biases may be undefined. All throw ShapeError naming the argument for sizes that do not fit, DTypeError for types that differ.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Weights of a cell, or of one layer of a sequence in one direction: weight_ih [gates · H, I], weight_hh [gates · H, H], biases [gates ·
/// H]. Blocks of H rows belong to the gates: i, f, g, o of an LSTM, r, z, n of a GRU; the plain cell has one.
struct RecurrentWeights {
  Tensor weight_ih, weight_hh, bias_ih = {}, bias_hh = {};
};

struct LstmState {
  Tensor h, c;
};

enum class RnnActivation : uint8_t { tanh, relu };

/// One step of an LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000): x [B, I], h and c [B, H] → the next h and c.
///   i, f, o = σ(W x + b + W' h + b'),   g = tanh(W x + b + W' h + b'),   c' = f c + i g,   h' = o tanh(c')
LstmState lstm_cell(const Tensor& x, const LstmState& state, const RecurrentWeights& weights);
/// One step of a GRU (Cho et al. 2014, reset after the product): x [B, I], h [B, H] → the next h.
///   r, z = σ(W x + b + W' h + b'),   n = tanh(W x + b + r (W' h + b')),   h' = (1 − z) n + z h
Tensor gru_cell(const Tensor& x, const Tensor& h, const RecurrentWeights& weights);
/// One step of a plain cell (Elman 1990): h' = tanh(W x + b + W' h + b'), or relu.
Tensor rnn_cell(const Tensor& x, const Tensor& h, const RecurrentWeights& weights, RnnActivation activation = RnnActivation::tanh);

struct RecurrentOptions {
  bool batch_first = false;    ///< x and y are [B, T, ..] instead of [T, B, ..]
  bool bidirectional = false;  ///< a second pass from the last step to the first; outputs side by side
  double dropout = 0;          ///< of the outputs between layers. Always applied: give 0 in evaluation
  Tensor lengths =
      {};  ///< i64 [B], each in [0, T]: steps beyond leave the state as it is (the pass from the end begins after them), their y is 0
};

/// Outputs of the last layer at every step, [T, B, D · H] with D = 2 directions or 1, and every layer's state after its last step,
/// [layers · D, B, H], directions of a layer next to each other.
struct RecurrentResult {
  Tensor y, h;
};
struct LstmResult {
  Tensor y, h, c;
};

/// The cells over a sequence x [T, B, I], layer upon layer. `weights` holds one entry for each layer and direction: layer 0 forward,
/// layer 0 backward, layer 1 forward, …; the layers after the first read D · H numbers. Initial states [layers · D, B, H].
/// Throws ValueError for dropout outside [0, 1), a number of weights that does not fit the directions, or lengths outside [0, T].
LstmResult lstm(const Tensor& x, const std::vector<RecurrentWeights>& weights, const LstmState& initial = {},
                const RecurrentOptions& options = {});
RecurrentResult gru(const Tensor& x, const std::vector<RecurrentWeights>& weights, const Tensor& initial = {},
                    const RecurrentOptions& options = {});
RecurrentResult rnn(const Tensor& x, const std::vector<RecurrentWeights>& weights, const Tensor& initial = {},
                    const RecurrentOptions& options = {}, RnnActivation activation = RnnActivation::tanh);

}  // namespace plumb
