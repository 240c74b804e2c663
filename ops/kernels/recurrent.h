// Kernel slots of recurrent cells: what follows the two products of a time step, in one pass each way.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// Gates, in the order of their rows in the weights: i, f, g, o of an LSTM; r, z, n of a GRU; a plain cell has one.
enum class RecurrentCell : uint8_t { lstm, gru, rnn_tanh, rnn_relu };
constexpr int64_t gate_count(RecurrentCell cell) { return cell == RecurrentCell::lstm ? 4 : cell == RecurrentCell::gru ? 3 : 1; }
/// Numbers that a step leaves for its derivative, for each hidden unit: i, f, g, o; or r, z, n and the hidden part of n before r.
constexpr int64_t kept_count(RecurrentCell cell) { return cell == RecurrentCell::lstm || cell == RecurrentCell::gru ? 4 : 0; }

/// A time step of B examples with H hidden units. An example whose length (i64 [B], undefined: all go on) is at most t keeps its state.
struct RecurrentStep {
  RecurrentCell cell;
  int64_t t = 0;
  Tensor lengths;
};

namespace kernel {

/// The state h_next (and c_next of an LSTM) after the step from the parts of the gates due to the input and to the state, gates_x and
/// gates_h [B, gates · H]; h, c and the results are [B, H]. `kept` [B, kept · H] may be undefined. All row-major and of one type.
inline constinit Kernel<void(const RecurrentStep& step, const Tensor& gates_x, const Tensor& gates_h, const Tensor& h, const Tensor& c,
                             Tensor& kept, Tensor& h_next, Tensor& c_next)>
    recurrent_step{"recurrent_step"};
/// Its derivative. `dy` is added to dh, the gradient of h_next; dgates_x and dgates_h, one tensor except for a GRU, are written; dh and dc
/// become the gradients of h and c without the part that reaches h through gates_h.
inline constinit Kernel<void(const RecurrentStep& step, const Tensor& kept, const Tensor& h, const Tensor& h_next, const Tensor& c,
                             const Tensor& c_next, const Tensor& dy, Tensor& dh, Tensor& dc, Tensor& dgates_x, Tensor& dgates_h)>
    recurrent_step_backward{"recurrent_step_backward"};

}  // namespace kernel
}  // namespace plumb
