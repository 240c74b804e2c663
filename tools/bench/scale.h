// What training by many processes takes: measured on this machine, and worked out for a large model by formulas that the measurements
// check.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/transformer/gpt.h"

namespace plumb::tools {

/// A cluster as its data sheets describe it, and what share of that is counted on.
struct Cluster {
  int64_t gpus = 64;
  double peak_flops = 989e12;      ///< products in bf16, dense
  double memory_bytes = 80e9;
  double memory_bandwidth = 3.35e12;
  double network_bandwidth = 50e9; ///< bytes a second between machines, for each GPU
  double utilisation = 0.4;        ///< share of peak_flops that a step's products reach: an assumption, not measured
};

/// A step of training, by the formulas of the page.
struct Plan {
  double parameters = 0;
  double weights = 0, gradients = 0, optimizer_whole = 0, optimizer_sharded = 0, activations = 0,
         activations_recomputed = 0;                                      ///< bytes a GPU
  double flops = 0;                                                       ///< a GPU, a step
  double forward_s = 0, backward_s = 0, scatter_s = 0, gather_s = 0, update_s = 0, step_s = 0;
  double sent = 0;  ///< bytes a GPU sends a step
};

/// Bytes of activations a layer, a token and a channel of the width, and a token and an entry of the vocabulary.
struct ActivationCost {
  double block = 0, vocabulary = 0;
  double bytes(const transformer::GptConfig& c, double tokens) const;
};

/// Elements of the parameters of a GPT, without making it.
double parameter_count(const transformer::GptConfig& c);
/// Multiplications and additions of forward and backward for `tokens` tokens: 6 a token and weight of a product, and attention's.
double step_flops(const transformer::GptConfig& c, double tokens);
/// Bytes that one of n processes sends when `bytes` are summed, scattered or gathered around a ring.
double ring_all_reduce(double bytes, double n);
double ring_half(double bytes, double n);
/// `sequences` a GPU and step.
Plan plan(const transformer::GptConfig& c, double sequences, const Cluster& cluster, const ActivationCost& activations);

/// Measures by the processes of dist::world() and prints the page as Markdown (on the first). Returns the exit code.
int scale_page(int64_t steps);

}  // namespace plumb::tools
