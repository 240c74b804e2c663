// A network's inputs from the columns of a table, by rules that are learned from some rows once and stored: a trained model reads another
// table as it read its own.
#pragma once
#include <string>
#include <vector>

#include "engine/io/csv.h"

namespace plumb::data {

/// How one column is read. A number gives (value − mean) / deviation, 0 where it is missing. A text gives a 0/1 input for each category,
/// none of them where it is missing or was not seen before. If values were missing among the rows that were learned from, one more 0/1
/// input says where they are.
struct EncodedColumn {
  std::string name;
  bool categorical = false;
  double mean = 0, deviation = 1;
  std::vector<std::string> categories;  ///< those of the rows that were learned from, sorted
  bool missing = false;

  int64_t width() const;
  std::string to_json() const;
  static EncodedColumn from_json(const std::string& json);
};

class TableEncoder {
 public:
  TableEncoder() = default;
  explicit TableEncoder(std::vector<EncodedColumn> columns) : columns_(std::move(columns)) {}
  /// Learned from `rows` of the columns `names`; a constant number has deviation 1. Throws IndexError for a column that is not there,
  /// ValueError for no columns or rows, and for a column without a single value among the rows, or of more than 2,048 texts.
  static TableEncoder fit(const CsvTable& table, const std::vector<std::string>& names, const std::vector<int64_t>& rows);

  /// [rows, width], f32, of the table's every row. Throws IndexError for a column that is not there, ValueError for one that holds texts
  /// instead of numbers or the other way round (options() reads it as it must be).
  Tensor operator()(const CsvTable& table) const;
  /// What load_csv is to be told, so that columns have the kinds they had.
  CsvOptions options() const;

  int64_t width() const;
  /// "age", "job=clerk", "job missing", …: one an input.
  std::vector<std::string> input_names() const;
  /// Places of the inputs that come from column `name`; none if it is not among the columns.
  std::vector<int64_t> inputs_of(const std::string& name) const;
  const std::vector<EncodedColumn>& columns() const { return columns_; }

 private:
  std::vector<EncodedColumn> columns_;
};

/// Those rows of the table, in that order, its categories as they are. Throws IndexError outside [0, rows).
CsvTable select_rows(const CsvTable& table, const std::vector<int64_t>& rows);

}  // namespace plumb::data
