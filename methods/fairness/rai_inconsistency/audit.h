// One page a model: every measure with its interval, what thresholds can trade, and which definitions of fairness contradict each other on
// this data, and by how much.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "methods/fairness/rai_inconsistency/frontier.h"
#include "methods/fairness/rai_inconsistency/incompatibility.h"
#include "methods/fairness/rai_inconsistency/suite.h"

namespace plumb::methods::rai_inconsistency {

/// What is audited. Labels and decisions of 1 are called `positive` on the page.
struct AuditInput {
  std::string model, data, protected_column, positive = "1";
  std::vector<std::string> group_names;  ///< of groups 0, 1, …
  Tensor p, y, a;                        ///< as evaluate() takes them; a holds 0 … group_names.size() − 1
  EvalContext context;
  int64_t resamples = 300;         ///< of people within their groups, for 95 % intervals
  int64_t permutations = 99;       ///< of the groups among people: what gaps chance alone would show
  int64_t grid = 100;              ///< thresholds of a group
  double budget = 0.05;            ///< error above the best that a way out may cost
  int64_t most_neighbours = 2000;  ///< neighbours are looked for among so many people at most, every so-manieth
  std::vector<std::string> notes;
  std::function<void(int64_t done, int64_t total)> progress = {};  ///< told after each resample and permutation

  /// Throws ValueError for what is out of range, for a group with fewer than two rows (naming it) or none, and as evaluate does.
  void check() const;
};

struct Range {
  double value = 0, low = 0, high = 0;  ///< NaN where undefined
};

struct AuditedMeasure {
  Measure measure;
  Range range;
  int64_t undefined = 0;  ///< resamples in which it was
  double chance = 0;      ///< of gaps between groups: its mean over permutations; NaN for others
  double p_value = 1;     ///< share of permutations, the one seen among them, with a value as large; NaN likewise
};

/// Two definitions of fairness held against each other by thresholds.
struct Contradiction {
  size_t first = 0, second = 0;              ///< places in definition_names()
  double alone_first = 0, alone_second = 0;  ///< the level that each alone can reach within the budget
  Range together;                            ///< the level that both can
  Range excess;                              ///< ThresholdFrontier::contradiction
};

struct TradeOff {
  ThresholdFrontier frontier;
  int64_t groups[2] = {0, 1};                 ///< whose thresholds: the two largest groups
  Range joint;                                ///< t* of all definitions
  std::vector<Contradiction> contradictions;  ///< the largest excess first
};

struct Audit {
  std::vector<AuditedMeasure> measures;
  IncompatibilityReport incompatibilities;
  std::optional<TradeOff> trade_off;  ///< none where one of the two groups lacks a class
  std::vector<std::string> notes;     ///< the input's, and what could not be measured
};

/// Measures everything. Intervals are percentiles over resamples of people within their groups, with the model as it is. Noise is drawn
/// from the default generator. Throws as AuditInput::check.
Audit audit(const AuditInput& input, Generator& generator);

/// The page, HTML that opens anywhere; the same as lines for a terminal; and as a JSON object.
std::string audit_page(const AuditInput& input, const Audit& audit);
std::string audit_text(const AuditInput& input, const Audit& audit);
std::string audit_json(const AuditInput& input, const Audit& audit);

}  // namespace plumb::methods::rai_inconsistency
