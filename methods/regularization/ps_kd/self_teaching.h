// Two other ways for a network to be its own teacher, which PS-KD is compared with. Means over the batch; throw as cross_entropy does.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods::ps_kd {

struct TeacherFreeOptions {
  double sure = 0.99;  ///< the virtual teacher's probability of the label; the rest is spread evenly
  double temperature = 20;
  double weight = 0.1;  ///< of the teacher
};
/// TF-KD (Yuan et al., CVPR 2020, the regulariser): (1 − w) CE + w τ² KL(u ‖ softmax(z/τ)), u the virtual teacher's distribution at
/// temperature τ. logits [B, C], labels i64 [B].
Tensor teacher_free_loss(const Tensor& logits, const Tensor& labels, const TeacherFreeOptions& options = {});

struct ClassWiseOptions {
  double temperature = 4;
  double weight = 1;
};
/// CS-KD (Yun et al., CVPR 2020): CE + λ T² KL(softmax(z'/T) ‖ softmax(z/T)), z' [B, C] the logits of other examples of the same classes,
/// taken as constants.
Tensor class_wise_loss(const Tensor& logits, const Tensor& partner_logits, const Tensor& labels, const ClassWiseOptions& options = {});

}  // namespace plumb::methods::ps_kd
