// Bringing data to where a module computes.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

/// The device of the module's parameters; the CPU if it has none.
Device device_of(const Module& module);
/// x on the device of the module's parameters and, if it is of floating type, in theirs. x itself where nothing is to be done.
Tensor input_for(const Module& module, const Tensor& x);

}  // namespace plumb::nn
