// Columns of a table to features and targets.
#include "engine/data/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/data/files.h"
#include "engine/data/internal/one_hot_limit.h"
#include "engine/data/internal/tensor_source.h"
#include "engine/io/file.h"

namespace plumb::data {

namespace {

std::vector<std::string> feature_columns(const CsvTable& csv, const TableOptions& options, const std::string& target) {
  std::vector<std::string> names = options.features;
  if (names.empty())
    for (const CsvColumn& c : csv.columns)
      if (c.name != target) names.push_back(c.name);
  if (std::find(names.begin(), names.end(), target) != names.end())
    throw IndexError(fmt::format("table: the target \"{}\" is among the features", target));
  if (names.empty()) throw IndexError(fmt::format("table: there is no column but the target \"{}\"", target));
  return names;
}

/// One tensor column: a column of the file, or one category of it.
struct FeatureColumn {
  const CsvColumn* from;
  int64_t category;  ///< −1: the values themselves
  float at(size_t row) const {
    double v = from->values[row];
    return static_cast<float>(category < 0 ? v : v == static_cast<double>(category));
  }
};

std::vector<FeatureColumn> expand(const CsvTable& csv, const std::vector<std::string>& names, bool one_hot,
                                  std::vector<std::string>& expanded) {
  std::vector<FeatureColumn> columns;
  for (const std::string& name : names) {
    const CsvColumn& c = csv[name];
    if (!c.categorical || !one_hot) {
      columns.push_back({&c, -1});
      expanded.push_back(name);
      continue;
    }
    check_one_hot(c.name, c.categories.size());
    for (size_t k = 0; k < c.categories.size(); ++k) {
      columns.push_back({&c, static_cast<int64_t>(k)});
      expanded.push_back(name + "=" + c.categories[k]);
    }
  }
  return columns;
}

Tensor feature_matrix(const std::vector<FeatureColumn>& columns, int64_t rows) {
  auto width = static_cast<int64_t>(columns.size());
  Tensor features = empty({rows, width}, f32, cpu, "table");
  float* out = features.data<float>();
  for (int64_t r = 0; r < rows; ++r)
    for (const FeatureColumn& c : columns) *out++ = c.at(static_cast<size_t>(r));
  return features;
}

void check_complete(const std::string& path, const CsvColumn& target) {
  for (size_t r = 0; r < target.values.size(); ++r)
    if (std::isnan(target.values[r])) throw_io_error("table", path, fmt::format("example {} has no target \"{}\"", r, target.name));
}

std::vector<std::string> classes_of(const CsvColumn& target) {
  if (target.categorical) return target.categories;
  std::vector<std::string> names;
  for (double v : std::set<double>(target.values.begin(), target.values.end())) names.push_back(fmt::format("{}", v));
  return names;
}

Tensor labels_of(const std::string& path, const CsvColumn& target, const std::vector<std::string>& class_names) {
  std::map<std::string, int64_t> places;
  for (size_t i = 0; i < class_names.size(); ++i) places.emplace(class_names[i], static_cast<int64_t>(i));
  std::vector<int64_t> labels;
  for (size_t r = 0; r < target.values.size(); ++r) {
    double v = target.values[r];
    std::string name = target.categorical ? target.categories[static_cast<size_t>(v)] : fmt::format("{}", v);
    auto at = places.find(name);
    if (at == places.end())
      throw_io_error("table", path, fmt::format("example {} is of class \"{}\", which the first part lacks", r, name));
    labels.push_back(at->second);
  }
  return from_vector(labels);
}

Tensor numbers_of(const std::string& path, const CsvColumn& target) {
  if (target.categorical)
    throw_io_error("table", path, fmt::format("the target \"{}\" is not a number: \"{}\"", target.name, target.categories[0]));
  Tensor numbers = empty({static_cast<int64_t>(target.values.size())}, f32, cpu, "table");
  std::transform(target.values.begin(), target.values.end(), numbers.data<float>(), [](double v) { return static_cast<float>(v); });
  return numbers;
}

Table make_table(const std::string& path, CsvTable csv, const TableOptions& options, const Table* like) {
  Table table;
  table.csv = std::move(csv);
  const CsvColumn& target = options.target.empty() ? table.csv.columns.back() : table.csv[options.target];
  std::vector<FeatureColumn> columns =
      expand(table.csv, feature_columns(table.csv, options, target.name), options.one_hot, table.feature_names);
  check_complete(path, target);
  Column predicted{"target", {}};
  if (options.kind == TargetKind::classes || (options.kind == TargetKind::automatic && target.categorical)) {
    table.class_names = like ? like->class_names : classes_of(target);
    predicted = {"label", labels_of(path, target, table.class_names)};
  } else {
    predicted.values = numbers_of(path, target);
  }
  table.data = Dataset(tensor_source({{"features", feature_matrix(columns, table.csv.rows)}, predicted}, hash_files({path})));
  return table;
}

}  // namespace

Table csv_table(const std::string& path, const TableOptions& options) {
  return make_table(path, load_csv(path, options.csv), options, nullptr);
}

Table csv_table(const std::string& path, const Table& like, const TableOptions& options) {
  return make_table(path, load_csv(path, like.csv, options.csv), options, &like);
}

FeatureScaling feature_scaling(const Dataset& data) {
  if (data.size() == 0) throw ValueError("feature_scaling: the data set is empty");
  auto width = static_cast<size_t>(data[0]["features"].numel());
  std::vector<double> sum(width), squares(width), count(width);
  auto over_all = [&](auto&& add) {
    for (int64_t i = 0; i < data.size(); ++i) {
      std::vector<double> x = to_vector(data[i]["features"]);
      for (size_t k = 0; k < width; ++k)
        if (!std::isnan(x.at(k))) add(k, x[k]);
    }
  };
  over_all([&](size_t k, double v) { sum[k] += v, count[k] += 1; });
  FeatureScaling scaling{std::vector<double>(width), std::vector<double>(width, 1.0)};
  for (size_t k = 0; k < width; ++k) scaling.mean[k] = count[k] > 0 ? sum[k] / count[k] : 0;
  over_all([&](size_t k, double v) { squares[k] += (v - scaling.mean[k]) * (v - scaling.mean[k]); });  // second pass: no cancellation
  for (size_t k = 0; k < width; ++k)
    if (squares[k] > 0) scaling.deviation[k] = std::sqrt(squares[k] / count[k]);
  return scaling;
}

Dataset scale_features(const Dataset& data, const FeatureScaling& scaling) {
  auto width = static_cast<int64_t>(scaling.mean.size());
  if (data.size() == 0) return data;
  Batch all = data.batch(data.size()).next();
  Tensor scaled = empty({data.size(), width}, f32, cpu, "scale_features");
  std::vector<double> x = to_vector(all["features"]);
  if (static_cast<int64_t>(x.size()) != scaled.numel())
    throw ShapeError(fmt::format("scale_features: features {} for a scaling of {}", to_string(all["features"].shape()), width));
  for (size_t i = 0; i < x.size(); ++i) {
    size_t k = i % scaling.mean.size();
    scaled.data<float>()[i] = std::isnan(x[i]) ? 0 : static_cast<float>((x[i] - scaling.mean[k]) / scaling.deviation[k]);
  }
  std::vector<Column> columns;
  for (const std::string& name : all.names()) columns.push_back({name, name == "features" ? scaled : all[name]});
  return Dataset(tensor_source(std::move(columns), data.source_hashes()));
}

}  // namespace plumb::data
