// Activation functions, element by element. Integers are taken as f32; relu and relu6 keep them.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

enum class GeluForm { exact, tanh };

Tensor relu(const Tensor& x);                                                      ///< max(x, 0); derivative 0 at 0
Tensor leaky_relu(const Tensor& x, double slope = 0.01);                           ///< x ≥ 0 ? x : slope·x
Tensor elu(const Tensor& x, double alpha = 1);                                     ///< x ≥ 0 ? x : α(eˣ − 1)
Tensor relu6(const Tensor& x);                                                     ///< min(max(x, 0), 6)
/// x Φ(x), Φ the normal distribution function; or its tanh form ½x(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks & Gimpel 2016).
Tensor gelu(const Tensor& x, GeluForm form = GeluForm::exact);
Tensor silu(const Tensor& x);                                                      ///< x σ(x), also called swish
Tensor mish(const Tensor& x);                                                      ///< x tanh(log(1 + eˣ))
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);          ///< log(1 + e^(βx)) / β; x itself where βx > threshold
Tensor logsigmoid(const Tensor& x);                                                ///< log σ(x), without overflow
Tensor softsign(const Tensor& x);                                                  ///< x / (1 + |x|)
Tensor hardtanh(const Tensor& x, double low = -1, double high = 1);                ///< clamp
Tensor hardsigmoid(const Tensor& x);                                               ///< min(max(x + 3, 0), 6) / 6
Tensor hardswish(const Tensor& x);                                                 ///< x hardsigmoid(x)
Tensor selu(const Tensor& x);  ///< 1.0507 elu(x, 1.6733): keeps mean 0, variance 1 (Klambauer et al. 2017)
Tensor celu(const Tensor& x, double alpha = 1);                                    ///< x ≥ 0 ? x : α(e^(x/α) − 1), smooth at 0; α ≠ 0
/// x ≥ 0 ? x : w x with learned slopes w (He et al. 2015): one number, or one for each channel of x [n, C, ..]. Throws ShapeError
/// otherwise.
Tensor prelu(const Tensor& x, const Tensor& weight);
/// a σ(b), a and b the halves of x along dim (Dauphin et al. 2017). Throws ShapeError for an odd size.
Tensor glu(const Tensor& x, int dim = -1);
Tensor softshrink(const Tensor& x, double lambda = 0.5);                           ///< x moved towards 0 by λ ≥ 0, 0 within
Tensor hardshrink(const Tensor& x, double lambda = 0.5);                           ///< |x| > λ ? x : 0
Tensor tanhshrink(const Tensor& x);                                                ///< x − tanh(x)
/// log(x / (1 − x)), the inverse of σ, for x held within [eps, 1 − eps].
Tensor logit(const Tensor& x, double eps = 0);

}  // namespace plumb
