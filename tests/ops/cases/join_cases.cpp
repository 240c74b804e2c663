// Rows of joining, splitting, repeating and turning.
#include "ops/join.h"

#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> join_cases() {
  using T = const Tensor&;
  const InputSpec matrix = real({3, 4}), cube = real({2, 3, 4});
  // Moving elements is linear: squares make second derivatives appear.
  return {
      {"cat",
       {matrix, real({3, 2}), real({3, 0})},
       [](T a, T b, T c) {
         return square(cat({a, b, c}, 1));
       }},
      {"cat of one tensor twice",
       {matrix},
       [](T a) {
         return square(cat({a, square(a), a}, 0));
       }},
      {"stack",
       {matrix, matrix},
       [](T a, T b) {
         return std::vector<Tensor>{square(stack({a, b})), square(stack({a, b}, -1)), square(stack({a, b}, 1))};
       }},
      {"split",
       {cube},
       [](T x) {
         auto part = split(x, std::vector<int64_t>{1, 3}, -1);
         return square(part[0]) * part[1];
       }},
      {"split, a part unused", {cube}, [](T x) { return square(split(x, 2, 1)[0]); }},
      {"chunk",
       {cube},
       [](T x) {
         auto part = chunk(x, 2, -1);
         return square(part[0]) * part[1];
       }},
      {"unbind",
       {cube},
       [](T x) {
         auto part = unbind(x, 1);
         return part[0] * square(part[2]);
       }},
      {"repeat",
       {real({2, 3})},
       [](T x) {
         return square(repeat(x, {2, 1, 3}));
       }},
      {"tile",
       {cube},
       [](T x) {
         return square(tile(x, {3, 2}));
       }},
      {"repeat_interleave", {cube}, [](T x) { return square(repeat_interleave(x, 3, 1)); }},
      {"repeat_interleave by a tensor",
       {cube},
       [](T x) {
         return square(repeat_interleave(x, to(tensor({2, 0, 1}), x.device()), 1));
       }},
      {"roll",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(roll(x, {1, -1}, {0, 2})), square(roll(x, 5))};
       }},
      {"flip",
       {cube},
       [](T x) {
         return square(flip(x, {0, -1}));
       }},
      {"rot90",
       {matrix},
       [](T x) {
         return std::vector<Tensor>{square(rot90(x)), square(rot90(x, 2)), square(rot90(x, -1))};
       }},
      {"pad",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(pad(x, {1, 2})), square(pad(x, {-1, 1, 0, -2}, PadMode::constant, 3))};
       }},
      {"pad reflect",
       {cube},
       [](T x) {
         return square(pad(x, {2, 1, 1, 2}, PadMode::reflect));
       }},
      {"pad replicate",
       {cube},
       [](T x) {
         return square(pad(x, {2, 1, 0, 3, 1, 1}, PadMode::replicate));
       }},
      {"pad circular",
       {cube},
       [](T x) {
         return square(pad(x, {4, 1, 2, 0}, PadMode::circular));
       }},
      {"tril",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(tril(x)), square(tril(x, 1))};
       }},
      {"triu",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(triu(x)), square(triu(x, -1))};
       }},
      {"diag",
       {real({3}), matrix},
       [](T x, T m) {
         return std::vector<Tensor>{square(diag(x, -1)), square(diag(m, 1))};
       }},
      {"diag_embed",
       {matrix},
       [](T x) {
         return std::vector<Tensor>{square(diag_embed(x)), square(diag_embed(x, 1, 0, -1))};
       }},
      {"meshgrid",
       {real({3}), real({2})},
       [](T a, T b) {
         auto g = meshgrid({a, b}), h = meshgrid({a, b}, "xy");
         return std::vector<Tensor>{g[0] * square(g[1]), square(h[0]) * h[1]};
       }},
  };
}

}  // namespace plumb::testing
