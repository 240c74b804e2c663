// The sheets.
#include "methods/fairness/rai_inconsistency/provenance.h"

#include <array>

#include "engine/core/error.h"

namespace plumb::methods::rai_inconsistency {
namespace {

constexpr const char *kAccuracy = "accuracy", *kGroup = "group fairness", *kIndividual = "individual fairness", *kPrivacy = "privacy",
                     *kRobust = "robustness";

constexpr std::array kSheets{
    ProvenanceSheet{"error", "share of wrong decisions", kAccuracy, "every mistake costs the same", "whoever acts on decisions", true,
                    false, "demographic parity where base rates differ", 0.02},
    ProvenanceSheet{"NLL", "mean −log of the probability of what happened", kAccuracy, "probabilities will be used, not decisions alone",
                    "whoever weighs risks", true, false, "membership advantage where a model overfits", 0.02},
    ProvenanceSheet{"Brier", "mean (p − y)²", kAccuracy, "as NLL, without punishing certainty as hard", "whoever weighs risks", true, false,
                    "", 0.01},
    ProvenanceSheet{"1 − AUC", "1 − P(a positive scores above a negative)", kAccuracy, "only the order of scores matters",
                    "whoever ranks people", true, false, "calibration: it says nothing of it", 0.02},
    ProvenanceSheet{"ECE", "mean distance of observed and predicted rates in 10 bins of p", kAccuracy,
                    "a probability must mean what it says", "whoever reads probabilities", true, false, "balance where base rates differ",
                    0.02},
    ProvenanceSheet{"demographic parity", "largest gap of selection rates", kGroup, "groups deserve equal shares, whatever the labels say",
                    "groups that labels were unfair to", false, true, "equalised odds, predictive parity, error: where base rates differ",
                    0.05},
    ProvenanceSheet{"disparate impact", "1 − least selection rate over the largest", kGroup,
                    "as demographic parity, in proportion (the four fifths rule is 0.2)", "courts and regulators", false, true,
                    "as demographic parity", 0.2},
    ProvenanceSheet{"equal opportunity", "largest gap of true positive rates", kGroup,
                    "labels are right; who deserves it must be found equally often", "people with y = 1", true, true,
                    "predictive parity where base rates differ", 0.05},
    ProvenanceSheet{"equalised odds", "largest gap of true or of false positive rates", kGroup,
                    "labels are right; mistakes of either kind must fall on groups alike", "people who are judged wrongly", true, true,
                    "predictive parity and calibration where base rates differ", 0.05},
    ProvenanceSheet{"predictive parity", "largest gap of precisions", kGroup, "a decision must mean the same for each group",
                    "whoever relies on a decision", true, true, "equalised odds where base rates differ", 0.05},
    ProvenanceSheet{"calibration in the large", "largest |mean (y − p)| of a group", kGroup,
                    "a group must get the risk that it has, on average", "whoever plans by groups", true, true,
                    "balance + and − where base rates differ", 0.02},
    ProvenanceSheet{"group ECE gap", "largest gap of groups' calibration errors", kGroup,
                    "probabilities must be equally reliable for each group", "people of the group that is known less well", true, true,
                    "balance + and − where base rates differ", 0.02},
    ProvenanceSheet{"balance +", "largest gap of the mean p of people with y = 1", kGroup,
                    "equal people get equal scores, whatever their group", "people with y = 1", true, true,
                    "calibration where base rates differ", 0.05},
    ProvenanceSheet{"balance −", "largest gap of the mean p of people with y = 0", kGroup,
                    "equal people get equal scores, whatever their group", "people with y = 0", true, true,
                    "calibration where base rates differ", 0.05},
    ProvenanceSheet{"worst-group error", "the error of the group with the largest", kGroup, "the worst off count",
                    "the group that is served worst", true, true, "error: of the larger group", 0.05},
    ProvenanceSheet{"generalised entropy", "½ mean ((b / mean b)² − 1) of benefits b = h − y + 1", kIndividual,
                    "a wrong acceptance is twice the benefit of a right decision", "individuals", true, false, "demographic parity", 0.02},
    ProvenanceSheet{"Theil index", "mean (b / mean b) ln (b / mean b) of the same benefits", kIndividual,
                    "as generalised entropy, with more weight on those with nothing", "individuals", true, false, "demographic parity",
                    0.02},
    ProvenanceSheet{"error under group shift", "the worst error where one group is 90 % of everyone", kRobust,
                    "who comes tomorrow may be others than today", "whoever deploys elsewhere", true, true, "error", 0.05},
    ProvenanceSheet{"neighbour inconsistency", "mean distance of a decision from those of the 5 nearest people", kIndividual,
                    "features tell who is alike", "individuals near the threshold", false, false, "equalised odds by group thresholds",
                    0.05},
    ProvenanceSheet{"membership advantage", "how much better than chance training rows are told by their loss", kPrivacy,
                    "having been in the training set is private", "people in the training data", true, false,
                    "error of a model that memorises", 0.05},
    ProvenanceSheet{"membership AUC", "P(a training row's loss is the smaller); ½ is chance", kPrivacy,
                    "having been in the training set is private", "people in the training data", true, false,
                    "error of a model that memorises", 0.55},
    ProvenanceSheet{"error under noise", "error with normal noise of deviation ½ on scaled features", kRobust,
                    "measurements are never exact", "people whose records are wrong", true, false, "error", 0.05},
    ProvenanceSheet{"error under FGSM", "error with each feature moved by 0.1 against the model", kRobust,
                    "somebody may want to be judged otherwise", "whoever is gamed", true, false, "error", 0.05},
};

}  // namespace

std::span<const ProvenanceSheet> provenance_sheets() { return kSheets; }

const ProvenanceSheet& sheet_of(const std::string& name) {
  for (const ProvenanceSheet& s : kSheets)
    if (name == s.name) return s;
  throw ValueError("rai_inconsistency: there is no sheet for \"" + name + "\"");
}

}  // namespace plumb::methods::rai_inconsistency
