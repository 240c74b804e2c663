// Initial weights by name.
#include "models/transformer/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"

namespace plumb::transformer {

double initial_deviation(int64_t width) { return 0.02 * std::sqrt(768.0 / static_cast<double>(width)); }

void draw_weights(nn::Module& model, double deviation, int64_t layers, const std::vector<std::string_view>& into_residual) {
  NoGrad off;
  double residual = deviation / std::sqrt(2.0 * static_cast<double>(std::max<int64_t>(layers, 1)));
  std::unordered_set<const TensorImpl*> drawn;
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (!drawn.insert(parameter.impl()).second) continue;
    bool scaled = std::any_of(into_residual.begin(), into_residual.end(),
                              [name = std::string_view(name)](std::string_view end) { return name.ends_with(end); });
    if (parameter.rank() >= 2) nn::init::normal(parameter, 0, scaled ? residual : deviation);
    else if (name.ends_with("bias")) nn::init::zeros(parameter);
  }
}

}  // namespace plumb::transformer
