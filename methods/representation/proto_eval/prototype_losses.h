// What a part-prototype network is trained with beside the cross-entropy.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::methods::proto_eval {

// nearness [B, M]: how near each prototype comes to its nearest place in each image: the largest cosine, or minus the smallest (squared)
// distance. labels i64 [B]. They throw as own_class.

/// −mean_i max over the prototypes of i's class: some prototype of one's own class is to be near.
Tensor cluster_loss(const Tensor& nearness, const Tensor& labels, int64_t per_class);
/// −mean_i max over the prototypes of other classes. It enters a loss with a negative coefficient: none of them is to be near. Throws
/// ValueError where there is one class only.
Tensor separation_loss(const Tensor& nearness, const Tensor& labels, int64_t per_class);

/// Σ_c Σ_kl |P_c P_cᵀ − I|_kl of prototypes [M, D] as they are stored. Throws ShapeError unless M is a multiple of per_class.
Tensor orthogonality_loss(const Tensor& prototypes, int64_t per_class);

/// Shallow-deep feature alignment (SDFA): where shallow features of two places are alike, deep ones are to be, so that deep features stay
/// at their places. Cosines of each place with all others, from shallow features [B, C_s, r H, r W], each r × r block one place, and deep
/// ones [B, C_d, H, W]; of these the rows at the peaks of the image's own prototypes' maps [B, M, H, W]:
///   mean_{i, k, n} max(0, |V_{n_k n} − S_{n_k n}| − margin)
/// The gradient goes to the deep features alone; of equal peaks the first place counts; a place of zeros has cosine 0. Throws ShapeError
/// for maps that do not fit or a shallow size that is no multiple of the deep one, ValueError for a negative margin.
Tensor sdfa_loss(const Tensor& shallow, const Tensor& deep, const Tensor& maps, const Tensor& labels, int64_t per_class,
                 double margin = 0.1);

}  // namespace plumb::methods::proto_eval
