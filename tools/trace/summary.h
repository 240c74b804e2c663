// Where the time of a traced step went.
#pragma once
#include <string>
#include <vector>

#include "tools/trace/recorder.h"

namespace plumb::tools {

enum class SummaryBy { kernel, operation, shape };
/// Throws ConfigError, naming --by, for another name than kernel, op or shape.
SummaryBy summary_by_from_name(const std::string& name);

struct SummaryRow {
  std::string name;
  std::string mostly;             ///< the operation (by kernel) or the kernel (by operation) that it spends most time for
  int64_t calls = 0, ns = 0;      ///< time in the kernels themselves, without kernels that these call
  double bytes = 0;
  double flops = 0;
  int64_t ns_of_counted = 0;      ///< of the kernels whose operations are counted in `flops`
};
/// Most time first.
std::vector<SummaryRow> summarize(const Trace& trace, SummaryBy by);

/// The whole page: steps and phases, rows with their share of the steps' time and what they achieve, memory at its peak.
std::string summary_page(const Trace& trace, SummaryBy by, size_t rows);

}  // namespace plumb::tools
