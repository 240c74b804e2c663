// Tables as data sets: a matrix of features and a column to predict.
#pragma once
#include "engine/data/dataset.h"
#include "engine/io/csv.h"

namespace plumb::data {

enum class TargetKind {
  automatic,  ///< categories give classes, numbers stay numbers
  classes,    ///< each different value is a class, numbers in ascending order
  number
};

struct TableOptions {
  std::string target;  ///< its column; empty: the last one
  TargetKind kind = TargetKind::automatic;
  std::vector<std::string> features;  ///< their columns; empty: all others, in the file's order
  bool one_hot = false;  ///< a categorical feature becomes a 0/1 column for each category (all 0 where it is missing); else its place
  CsvOptions csv;
};

struct Table {
  Dataset data;                            ///< features [F] f32 (NaN where missing), and label i64 or target f32 (rank 0)
  std::vector<std::string> feature_names;  ///< F of them; "column=category" of a one-hot feature
  std::vector<std::string> class_names;    ///< by label; empty where the target is a number
  CsvTable csv;                            ///< as it was read, with the columns that are neither (protected attributes)
};

/// The CSV file at `path`: csv_table(find_data_file("wine", "", "uci", "wine.csv"), {.kind = TargetKind::classes}).
/// Throws IoError as load_csv does and for a row without a target, ValueError for a one-hot column of more than 2,048 texts, IndexError for
/// a column that is not there or a target among the features.
Table csv_table(const std::string& path, const TableOptions& options = {});
/// A second part of the same table (test after train): the same columns, categories and classes. Throws IoError also for a class or
/// category that `like` lacks.
Table csv_table(const std::string& path, const Table& like, const TableOptions& options = {});

/// What brings each feature to mean 0 and standard deviation 1.
struct FeatureScaling {
  std::vector<double> mean, deviation;
};
/// Over all examples; missing values are left out, and a constant feature has deviation 1. Throws ValueError for an empty data set.
FeatureScaling feature_scaling(const Dataset& data);
/// (features − mean) / deviation, held in memory as f32; a missing value becomes 0, the mean. Sample::index is the place in `data`.
/// Throws ShapeError for another number of features.
Dataset scale_features(const Dataset& data, const FeatureScaling& scaling);

}  // namespace plumb::data
