// What methods share that adapt a trained classifier to the inputs it meets, without labels.
#pragma once
#include <vector>

#include "models/nn/module.h"

namespace plumb::methods {

/// H_i = −Σ_c p_ic log p_ic with p = softmax(z), in nats: finite logits [.., C] → [..]. By log-softmax, so that z = (1000, 0, 0) gives 0.
/// dH/dz_j = −p_j (log p_j + H). Throws ShapeError for rank 0, ValueError below two classes.
Tensor softmax_entropy(const Tensor& logits);
/// The objective of Tent (Wang et al., ICLR 2021): the mean of softmax_entropy over the batch.
Tensor tent_loss(const Tensor& logits);

/// The scales and shifts of all batch-norm layers, what Tent and its successors adapt. Throws ValueError, naming `method`, if there are
/// none.
std::vector<nn::NamedTensor> batch_norm_parameters(const nn::Module& model, const char* method = "test_time");
/// Of all parameters of `model` only these require a gradient from now on: the others cost no backward work.
void train_only(nn::Module& model, const std::vector<nn::NamedTensor>& chosen);

}  // namespace plumb::methods
