// Grokking with wrong labels: a table of modular arithmetic of which a part of the training labels is redrawn, the two-layer network with
// squares that learns it, its phases, and its neurons told apart by how periodic they are.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/modular.h"
#include "methods/common/grokking.h"
#include "methods/experiment.h"
#include "models/nn/norm.h"

namespace plumb::methods::corrupted_grokking {

// Doshi, Das, He & Gromov, "To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic datasets", ICLR
// 2024.

struct CorruptedOptions {
  int64_t modulus = 97;  ///< p
  data::ModularOperation operation = data::ModularOperation::add;
  double train = 0.5;        ///< α, the share of the table to learn from
  double corruption = 0.35;  ///< ξ, the share of the training labels that are redrawn
  uint64_t seed = 0;         ///< of the shuffle and of the wrong labels
};

/// The whole table in one random order: its first ⌊α n⌋ entries are for training, the rest for the test. The labels of the first
/// ⌊ξ n_train⌋ training entries are redrawn, each uniformly from all p (so one in p of them stays right by chance); test labels are true.
struct CorruptedTable {
  int64_t modulus = 0;
  PairExamples train, test;  ///< train.labels as they are given to training
  Tensor truth;              ///< the training entries' true labels, i64
  int64_t corrupted = 0;     ///< how many of the training entries, the first ones, have redrawn labels
};
/// Throws ValueError for p outside [2, 65535], α outside (0, 1) or one that leaves a part empty, ξ outside [0, 1], and as data::modular.
CorruptedTable corrupted_table(const CorruptedOptions& options = {});

struct QuadraticMlpConfig {
  int64_t modulus = 97;
  int64_t width = 500;      ///< N
  double dropout = 0;       ///< of what is squared: a dropped neuron's whole square goes, as in the published code
  bool batch_norm = false;  ///< of the squares
  DType dtype = f32;
};
/// f(m, n) = W (U e_m + V e_n)², without biases: pairs as in PairExamples → [n, p]. Every weight starts from N(0, s²), s = ½ (2N)^(−1/3).
class QuadraticMlp : public nn::Module {
 public:
  /// Throws ValueError for a modulus below 2, no neurons, or dropout outside [0, 1).
  explicit QuadraticMlp(const QuadraticMlpConfig& config);
  Tensor operator()(const Tensor& pairs) const;

  int64_t modulus() const { return first.size(0) / 2; }
  int64_t width() const { return first.size(1); }

  nn::Parameter first;   ///< [U V]ᵀ, [2p, N]
  nn::Parameter second;  ///< Wᵀ, [N, p]
  std::optional<nn::BatchNorm> norm;

 private:
  double dropout_;
};
/// The solution in closed form (Gromov 2023): U_km = cos(2π f_k m/p + a_k), V_kn = cos(2π f_k n/p + b_k), W_qk = cos(2π f_k q/p + a_k +
/// b_k) with f_k = 1 + k mod (p − 1) and random phases. Adds modulo p without error once N is large enough. Throws as QuadraticMlp.
QuadraticMlp analytic_solution(int64_t modulus, int64_t width, uint64_t seed, DType dtype = f64);

/// Mean over examples and outputs of (output − [q = label])²: 1/p for outputs of 0. outputs [n, p], labels [n]. Throws as one_hot and
/// mse_loss.
Tensor one_hot_error(const Tensor& outputs, const Tensor& labels);

/// Accuracies, from 0 to 1, of the network in evaluation mode. NaN for a part without examples.
struct GrokReport {
  double train = 0;      ///< training labels as given
  double corrupted = 0;  ///< the redrawn ones alone, as given
  double clean = 0;      ///< the others alone
  double test = 0;
  double corrupted_true = 0;  ///< true labels of the entries whose labels were redrawn
};
/// Leaves the network in the mode it was in.
GrokReport report(QuadraticMlp& network, const CorruptedTable& table);

enum class Phase : uint8_t { memorisation, coexistence, partial_inversion, full_inversion, forgetting, confusion };
/// With c = report.corrupted (report.train where nothing was redrawn), in this order:
///   test ≥ 0.9:  c ≥ 0.9 coexistence,  c ≤ 0.1 full inversion,  else partial inversion;
///   else:        train ≥ 0.9 memorisation,  train ≤ 0.1 and test ≤ 0.1 forgetting,  else confusion.
Phase classify(const GrokReport& report);
const std::string& name(Phase phase);

/// (IPR(U_k·) + IPR(V_k·) + IPR(W_·k)) / 3 of every neuron: about 1 for one that computes with a single frequency, low for one that
/// memorises. NaN for a neuron of which one of the three is all 0.
std::vector<double> neuron_ipr(const QuadraticMlp& network);

/// Places in order of their scores, ascending; NaN first, equal ones as they stand.
std::vector<int64_t> ascending(const std::vector<double>& scores);
/// A copy of the network without the first `count` neurons of `order`: their rows of U and V and columns of W are 0. The network itself
/// stays as it is. Throws ValueError unless 0 ≤ count ≤ order.size(), IndexError for a neuron outside [0, N).
QuadraticMlp pruned(const QuadraticMlp& network, const std::vector<int64_t>& order, int64_t count);

/// What is left of a network as its neurons are pruned in some order.
struct PruneCurve {
  std::vector<double> share;  ///< of the neurons that are gone, from 0 to 1
  std::vector<GrokReport> reports;
};
/// `points` + 1 looks at even distances. Throws ValueError for points < 1, and as pruned.
PruneCurve prune_curve(const QuadraticMlp& network, const std::vector<int64_t>& order, const CorruptedTable& table, int64_t points = 20);

Experiment experiment();

}  // namespace plumb::methods::corrupted_grokking
