// FedLabel (Cho, Joshi, Dimitriadis, ICCV 2023): federated learning of clients with few labels. Each client labels its unlabelled examples
// with whichever of two models is more certain about the example: the global one that it received, or its own, fitted to its labels.
//   client: θ ← w after E_s steps on CE(labelled);   v ← w after E_u steps on λ_u L_pl + λ_c L_cons + λ_p L_prox
//   server: w ← ½ mean_k θ_k + ½ Σ_k n_k v_k / Σ_k n_k,   n_k the labels that client k accepted (at least 1)
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::fedlabel {

/// How sure a row of probabilities is: variance: Σ_c (p_c − 1/C)² / (C − 1); entropy: 1 / (H(p) + 1e-5).
enum class Certainty : uint8_t { variance, entropy };
/// [N, C] → f64 [N]. Throws ShapeError unless [N, C], ValueError for C < 2 or rows that do not sum to 1.
Tensor certainty(const Tensor& probabilities, Certainty kind = Certainty::variance);

/// Who labels an example: the more certain model, or for comparison always one of them, or either by a fair coin.
enum class Choice : uint8_t { certain, global, local, random };

/// The accepted examples of a batch, in order. Outside the graph.
struct PseudoLabelChoice {
  Tensor index;        ///< i64 [A], rows of the batch
  Tensor label;        ///< i64 [A], the chosen model's largest class
  Tensor ratio;        ///< [A], the smaller certainty over the larger, in (0, 1]; 1 where both are 0
  Tensor from_global;  ///< bool [A]
  Tensor agree;        ///< bool [A]: both models' largest class is the same
};

/// Chooses row by row, the global model if it is at least as certain, and then accepts the row if the chosen model's largest probability is
/// above τ. global, local [N, C]. Choice::random draws from `generator` (the default one if null). Throws ShapeError for shapes that
/// differ, ValueError for C < 2, τ outside (0, 1] or rows that do not sum to 1.
PseudoLabelChoice select_pseudo_labels(const Tensor& global, const Tensor& local, double tau, Certainty kind = Certainty::variance,
                                       Choice choice = Choice::certain, Generator* generator = nullptr);

/// (1/|A'|) Σ_{i ∈ A'} ρ_i KL(l_i ‖ softmax(z_i)) over the rows A' that agree; 0 if there are none. student_logits z [A, C], local_probs l
/// [A, C] and ratio ρ [A] as constants, agree bool [A]. Throws ShapeError for sizes that differ.
Tensor agreement_consistency(const Tensor& student_logits, const Tensor& local_probs, const Tensor& ratio, const Tensor& agree);

/// Σ_tensors mean_entries (p − r)², a scalar: of the mean of each tensor, where FedProx has the sum (methods/common/federated.h). Throws
/// ShapeError unless the lists match.
Tensor mean_proximal_penalty(const std::vector<Tensor>& parameters, const std::vector<Tensor>& reference);

/// The places of a client's labelled and unlabelled examples.
struct ClientSplit {
  std::vector<int64_t> labelled, unlabelled;
};
/// In random order the first are unlabelled, the last max(⌊share · n⌋, least) labelled; both ascending. Throws ValueError for no examples,
/// a share outside (0, 1], or fewer than `least` examples.
ClientSplit split_client(std::vector<int64_t> examples, double share, int64_t least, Generator& generator);

}  // namespace plumb::methods::fedlabel
