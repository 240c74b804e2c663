// What `plumb bench` found out: lines for people or machines as they come, and a page of all of them.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::tools {

/// A row is a flat JSON object whose "bench" says what it is: environment, steps, overhead, start, kernels, … The same rows, one a line, are
/// what --json prints, what bench/results holds, and what the page is made of.
class BenchReport {
 public:
  /// json: rows are printed as JSON, else as lines of text.
  explicit BenchReport(bool json) : json_(json) {}
  /// Prints the row, at once, and keeps it.
  void add(const JsonObject& row);
  const std::vector<JsonObject>& rows() const { return rows_; }

 private:
  bool json_;
  std::vector<JsonObject> rows_;
};

/// The row as a line of text.
std::string row_text(const JsonObject& row);

/// Processor, cores, memory, load, build, BLAS, system, versions, date, and the command line.
JsonObject environment_row();

}  // namespace plumb::tools
