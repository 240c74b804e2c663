// Gradient clipping.
#include "models/optim/clip.h"

#include <cmath>

#include "models/optim/transforms.h"

namespace plumb::optim {

static std::vector<Tensor> present_gradients(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> present;
  for (const Tensor& p : parameters)
    if (p.grad().defined()) present.push_back(p.grad());
  return present;
}

double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm) { return clip_norm(present_gradients(parameters), max_norm); }
void clip_grad_value(const std::vector<Tensor>& parameters, double limit) { clip_value(present_gradients(parameters), limit); }

}  // namespace plumb::optim
