// What `plumb bench` found out: lines for people or machines as they come, and a page of all of them.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::tools {

/// A row is a JSON object whose "bench" says what it is: environment, steps, overhead, start, memory, ceiling, kernels, profile, threads or
/// scaling. The same rows, one a line, are what --json prints, what bench/results holds, and what the page is made of. "name_95" are the
/// ends of the 95 % interval of "name".
class BenchReport {
 public:
  /// json: rows are printed as JSON, else as lines of text. `html`: the page to write at the end; none if empty. The first row is the
  /// environment's. Throws IoError where the page cannot be written.
  BenchReport(bool json, std::string html);
  /// Prints the row, at once, and keeps it.
  void add(const JsonObject& row);
  /// Writes the page.
  void finish() const;

 private:
  bool json_;
  std::string html_;
  std::vector<JsonObject> rows_;
};

/// The row as a line of text.
std::string row_text(const JsonObject& row);

/// Processor, cores, memory, load, build, BLAS, system, versions, date, and the command line.
JsonObject environment_row();

}  // namespace plumb::tools
