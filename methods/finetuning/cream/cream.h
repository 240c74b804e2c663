// CREAM: Consistency Regularized Self-Rewarding Language Models (Wang et al., ICLR 2025): in self-rewarding rounds a model's own ranking of
// its answers is trusted as far as the ranking by the model of the round before agrees with it.
//
//   C_j = (τ(ranks by M_t, ranks by M_{t−1}) + 1) / 2,     loss = −C log σ(z) − (1 − C) log σ(−z)
//
//   preference::SelfRewarding rounds(pretrained, tuned);
//   for (int t = 0; t < 3; ++t) rounds.round(prompts, cream::ranking_consistency(), options, generator);
//
// Losses, pairs and rounds are models/preference/; only what says how far a pair is to be trusted is here.
#pragma once
#include <span>

#include "engine/core/generator.h"
#include "models/preference/pairs.h"

namespace plumb::methods::cream {

/// How two rankings are compared. All in [0, 1]: (Kendall's τ + 1) / 2, (Spearman's ρ + 1) / 2, or 1 if the same answer is best and the
/// same is worst in both, else 0.
enum class Agreement : uint8_t { kendall, spearman, top_order };

/// The agreement of two judges' scores of the same N answers. Ranks are ordinal: of equal scores the earlier answer has the lower rank, in
/// both rankings. Throws ValueError for fewer than two answers, lengths that differ, or a score that is not finite.
double consistency(std::span<const double> current, std::span<const double> previous, Agreement agreement = Agreement::kendall);

/// One confidence for all pairs ("set", the paper's), or each prompt's own.
enum class Level : uint8_t { set, prompt };

/// The confidences of prompts whose current scores differ (the others make no pair). set: the mean of their C_j; prompt: C_j itself. A
/// prompt without previous scores has no C_j and takes the mean. Throws ValueError if no such prompt has one, and as consistency().
std::map<int64_t, double> label_confidences(const std::vector<preference::Judged>& judged, Level level = Level::set,
                                            Agreement agreement = Agreement::kendall);
/// The same as what rounds take.
preference::LabelConfidence ranking_consistency(Level level = Level::set, Agreement agreement = Agreement::kendall);
/// "Without RC": a number from U[0, 1) for each prompt, whatever the rankings. `generator` is kept by reference.
preference::LabelConfidence random_confidence(Generator& generator);

/// The mean of C_j over the prompts that have one and whose current scores differ.
double mean_consistency(const std::vector<preference::Judged>& judged, Agreement agreement = Agreement::kendall);

/// C = (1 + λ/2) / (1 + λ): −log P + λ KL(½ ‖ P), P = σ(z), is (1 + λ) times the loss with this C, and a constant. Throws ValueError for λ
/// < 0.
double confidence_of_strength(double lambda);

}  // namespace plumb::methods::cream
