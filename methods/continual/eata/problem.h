// The problem that EATA is measured on: a small network trained on clean images, and streams of corrupted ones.
#pragma once
#include <string>
#include <vector>

#include "methods/continual/eata/eata.h"
#include "methods/experiment.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::eata {

/// conv 1 → 16, batch norm, relu, pool, conv 16 → 32, batch norm, relu, pool, linear: images [B, 1, side, side] → logits [B, 10].
struct SmallNet : nn::Module {
  nn::Conv2d conv1{this, "conv1", 1, 16, 3, {.padding = 1}};
  nn::BatchNorm2d norm1{this, "norm1", 16};
  nn::Conv2d conv2{this, "conv2", 16, 32, 3, {.padding = 1}};
  nn::BatchNorm2d norm2{this, "norm2", 32};
  nn::Linear head;

  explicit SmallNet(int64_t side) : head(this, "head", 32 * (side / 4) * (side / 4), 10) {}
  Tensor operator()(const Tensor& x) const;
};

/// Images of one kind in a random order.
struct Part {
  std::string name;
  Tensor images, labels;
};

struct Problem {
  std::string data;          ///< what the images are: "Fashion-MNIST"
  SmallNet net;              ///< trained on clean images
  FisherDiagonal fisher;     ///< from clean training images without labels
  Part clean;                ///< test images
  std::vector<Part> shifts;  ///< test images, corrupted
  Part held_out_clean, held_out_shift;  ///< images of the training part that were not trained on, and a corruption that `shifts` lacks
};

/// Fashion-MNIST from the data directory, else MNIST, else (and for the smoke budget) the digits carried inside. Draws from the default
/// generator.
Problem make_problem(Cell& cell);

}  // namespace plumb::methods::eata
