// Recurrent cells on the device against the CPU in f64.
#include "ops/recurrent.h"

#include <doctest/doctest.h>

#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

enum class Kind { lstm, gru, tanh, relu };

// x, then weights of both directions; lengths last.
std::vector<Tensor> some_inputs(Kind kind, int64_t steps, int64_t batch, int64_t in, int64_t hidden, DType type, const Tensor& lengths) {
  int64_t gates = kind == Kind::lstm ? 4 : kind == Kind::gru ? 3 : 1;
  std::vector<Tensor> x{noise({steps, batch, in}, type, 1)};
  for (uint64_t d = 0; d < 2; ++d)
    for (const Shape& shape : {Shape{gates * hidden, in}, Shape{gates * hidden, hidden}}) x.push_back(noise(shape, type, 2 + x.size()));
  x.push_back(lengths);
  return x;
}

Function run(Kind kind, bool some_end) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const std::vector<RecurrentWeights> weights{{x[1], x[2]}, {x[3], x[4]}};
    const RecurrentOptions options{.bidirectional = true, .lengths = some_end ? x[5] : Tensor()};
    if (kind == Kind::lstm) {
      LstmResult r = lstm(x[0], weights, {}, options);
      return {r.y, r.h, r.c};
    }
    RecurrentResult r = kind == Kind::gru ? gru(x[0], weights, {}, options)
                                          : rnn(x[0], weights, {}, options, kind == Kind::tanh ? RnnActivation::tanh : RnnActivation::relu);
    return {r.y, r.h};
  };
}

}  // namespace

TEST_CASE("recurrent: sequences and their gradients equal the CPU's, with and without lengths") {
  for (Kind kind : {Kind::lstm, Kind::gru, Kind::tanh, Kind::relu})
    for (bool some_end : {false, true})
      for (DType type : {f64, f32, bf16, f16}) {
        const Tensor lengths = from_vector<int64_t>({4, 0, 2});
        double d = distance_from_cpu(run(kind, some_end), some_inputs(kind, 4, 3, 5, 67, type, lengths), type);
        // 16-bit states are rounded at every step, and products over 67 units add up what the steps lost
        CHECK_MESSAGE(d <= (type == f64   ? 1e-11
                            : type == f32 ? 1e-3
                                          : 64 * epsilon(type)),
                      static_cast<int>(kind) << " " << name(type) << " " << d);
      }
}

TEST_CASE("recurrent: a step of a cell equals the CPU's to rounding") {
  for (DType type : {f64, f32, bf16, f16}) {
    const Function cells = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      LstmState s = lstm_cell(x[0], {x[1], x[2]}, {x[3], x[4]});
      return {s.h, s.c, gru_cell(x[0], x[1], {x[5], x[6]}), rnn_cell(x[0], x[1], {x[7], x[8]})};
    };
    const std::vector<Tensor> inputs{noise({2, 3}, type, 1),    noise({2, 40}, type, 2),   noise({2, 40}, type, 3),
                                     noise({160, 3}, type, 4),  noise({160, 40}, type, 5), noise({120, 3}, type, 6),
                                     noise({120, 40}, type, 7), noise({40, 3}, type, 8),   noise({40, 40}, type, 9)};
    CHECK(distance_from_cpu(cells, inputs, type) <= (type == f64 ? 1e-13 : type == f32 ? 1e-5 : 8 * epsilon(type)));
  }
}
