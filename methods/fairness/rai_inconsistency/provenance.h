// Where measures come from: a sheet for each, so that a page of numbers says what they assume and whom they serve.
#pragma once
#include <span>
#include <string>

namespace plumb::methods::rai_inconsistency {

/// What a measure is and takes for granted, and how far models may differ by it before somebody should object.
struct ProvenanceSheet {
  const char* name;
  const char* definition;
  const char* kind;        ///< accuracy, group fairness, individual fairness, privacy or robustness
  const char* assumption;  ///< the normative reading
  const char* stakeholders;
  bool needs_labels, needs_groups;
  const char* conflicts;  ///< what it is known not to go together with
  double tolerance;       ///< a rule of thumb, of this project's own
};

/// One for each measure of the suite, in its order.
std::span<const ProvenanceSheet> provenance_sheets();
/// Throws ValueError for a measure without a sheet.
const ProvenanceSheet& sheet_of(const std::string& name);

}  // namespace plumb::methods::rai_inconsistency
