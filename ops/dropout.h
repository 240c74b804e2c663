// Dropout in its forms. All draw from default_generator(); element i (or channel i of an example) is word i of the stream, so the mask does
// not depend on threads or device, and backward draws it again instead of keeping it. All throw ValueError unless p lies in [0, 1);
// p = 0 gives x itself and draws nothing.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// Each element of x is 0 with probability p, else x / (1 − p) (Srivastava et al. 2014).
Tensor dropout(const Tensor& x, double p);
/// Each channel of each example, x[n, c], is 0 as a whole with probability p, else x / (1 − p) (Tompson et al. 2015). x [n, C, ..].
Tensor feature_dropout(const Tensor& x, double p);
/// For networks of SELUs: a dropped element becomes the activation's limit −λα = −1.7581, and the result is scaled and shifted so that mean
/// 0 and variance 1 stay (Klambauer et al. 2017).
Tensor alpha_dropout(const Tensor& x, double p);

}  // namespace plumb
