// Tables in CSV files: columns of numbers or of categories.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

struct CsvColumn {
  std::string name;                     ///< from the header, a repeated one as "name.1"; without a header the column's number from 0
  std::vector<double> values;           ///< numbers, or places in `categories`; NaN where missing
  std::vector<std::string> categories;  ///< sorted; empty in a column of numbers
  bool categorical = false;
};

/// A table by columns.
struct CsvTable {
  std::vector<CsvColumn> columns;
  int64_t rows = 0;

  /// Throws IndexError listing the names there are.
  const CsvColumn& operator[](const std::string& name) const;
  /// [rows, names.size()], or all columns: numbers, and categories by their place; NaN where missing. Throws IndexError for an unknown
  /// name, DTypeError unless f32 or f64.
  Tensor tensor(const std::vector<std::string>& names, DType dtype = f32) const;
  Tensor tensor(DType dtype = f32) const;
};

struct CsvOptions {
  /// `automatic`: the first line is a header if none of its fields is a number or missing, and the second line has a number.
  enum class Header { automatic, present, absent };
  Header header = Header::automatic;
  char delimiter = ',';
  std::vector<std::string> missing = {"", "?", "NA", "NaN", "nan"};  ///< compared without the blanks around a field
  std::vector<std::string> categorical;                              ///< columns whose numbers are names (codes)
  std::vector<std::string> numeric;           ///< columns that must be numbers: another text is an error instead of a category
  std::map<std::string, std::string> rename;  ///< fields to read as others: {{"<=50K.", "<=50K"}}
};

/// The table in the file at `path`, gzipped or not. Fields may be quoted ("a, ""b"""), also over several lines; blanks around a field and
/// empty lines are dropped. A column is of numbers if every field that is not missing is one, else of categories. Throws IoError naming
/// the file, the line and the column for rows of different length, an open quote, a bad number, or a table without rows.
CsvTable load_csv(const std::string& path, const CsvOptions& options = {});
/// load_csv for a second part of the same table (test after train): columns have the kinds and categories of `like`. A category that it
/// lacks, other columns, and text among numbers are errors.
CsvTable load_csv(const std::string& path, const CsvTable& like, const CsvOptions& options = {});

}  // namespace plumb
