// What `plumb train tabular`, `eval` and `audit` share: a run's settings, how it reads a user's table, and its model.
#pragma once
#include <string>
#include <vector>

#include "engine/data/table_encoder.h"
#include "models/mlp/mlp.h"
#include "models/train/run_directory.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a tabular run holds.
struct TabularRun {
  std::string data;           ///< absolute path of the CSV file
  std::string data_sha256;    ///< of its bytes
  std::string target;         ///< the column that is predicted
  std::string model = "mlp";  ///< or logistic: no hidden layer
  mlp::MlpConfig network{.hidden = {64, 64}};
  std::string delimiter = ",";
  std::string header = "auto";           ///< whether the table's first line has names: auto, yes or no
  std::vector<std::string> categorical;  ///< columns whose numbers are names
  std::vector<std::string> drop;         ///< columns that are not read
  int64_t max_categories = 100;          ///< of a column of texts
  double validation = 0.1, test = 0.2;   ///< shares of the rows, the same rows at every seed; the rest is trained on
  bool named_target = false;             ///< the target was read as texts
  std::vector<std::string> class_names;
  data::TableEncoder encoder;  ///< learned from the training rows
  TrainingSettings training;

  TabularRun();
  std::string to_json() const;
  static TabularRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Rows with a target.
struct TabularRows {
  CsvTable csv;
  std::vector<int64_t> labels;
  int64_t left_out = 0;  ///< rows without a target
  int64_t size() const { return csv.rows; }
};

/// Places of rows.
struct TabularParts {
  std::vector<int64_t> train, validation, test;
};

/// Reads the table that a run starts with and fills in class_names and named_target. Throws ConfigError for a target with one class only,
/// without values, or with too many to be classes; IndexError for a column that is not there; IoError as load_csv.
TabularRows read_new_table(TabularRun& run);
/// Reads `path` as the run read its own table. Throws likewise, and ConfigError for a class that the run does not know. Rows without a
/// target are left out.
TabularRows read_table(const TabularRun& run, const std::string& path);
/// The same of the run's own file, which must not have changed: ConfigError.
TabularRows read_same_table(const TabularRun& run);
/// The same parts whenever it is called.
TabularParts split_rows(const TabularRun& run, const TabularRows& rows);
/// The encoder of columns other than the target and those to drop, from the training rows. Throws ConfigError for a column without values
/// or with too many texts, naming the way out.
data::TableEncoder fit_encoder(const TabularRun& run, const TabularRows& rows, const TabularParts& parts);

/// Whether `path` has the bytes that the run was trained on.
bool is_own_table(const TabularRun& run, const std::string& path);
/// A finished (or stopped) run's network, ready to be evaluated on the CPU or where it was trained.
mlp::Mlp load_network(const TabularRun& run, const train::RunDirectory& directory);
/// features [n, F] of chosen rows.
Tensor features_of(const TabularRun& run, const TabularRows& rows, const std::vector<int64_t>& places);
std::vector<int64_t> all_places(const TabularRows& rows);

}  // namespace plumb::tools
