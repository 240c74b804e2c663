// Whole training steps of named models on random data: what `plumb bench steps` times and `plumb trace` and `plumb graph` look into.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "models/nn/module.h"

namespace plumb::tools {

/// tiny: a few layers, to be read; small: what a CPU trains; gpt2: GPT-2 with 124 M parameters and batches for a GPU.
enum class StepSize { tiny, small, gpt2 };
/// Throws ConfigError, naming --size, for another name.
StepSize step_size_from_name(const std::string& name);

/// A model and one batch for it, both on the device. What is trained and how is the caller's business.
struct StepModel {
  std::string name;                  ///< "gpt-small"
  std::string items = "images";      ///< what a batch consists of
  int64_t item_count = 0;            ///< of these, in the batch
  double flops = 0;                  ///< of a whole training step, by formula; 0 where there is none
  std::shared_ptr<nn::Module> module;
  std::function<Tensor()> loss;      ///< the forward pass: a scalar
};

/// "gpt", "moe", "unet", "resnet", "mlp", "vit".
std::vector<std::string> step_model_names();
/// The same weights and the same data every time. Throws ConfigError for an unknown name, with the known ones.
StepModel make_step_model(const std::string& name, StepSize size, Device device);

}  // namespace plumb::tools
