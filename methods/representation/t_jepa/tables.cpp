// Tables: digits as columns, Adult, and a generated one.
#include "methods/representation/t_jepa/tables.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/files.h"
#include "engine/io/csv.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::t_jepa {
namespace {

Tensor rows_of(const Tensor& x, const Tensor& places) { return x.defined() ? index_select(x, 0, places) : x; }

/// At most `rows` rows of `table` in a random order, and a split of them.
Table drawn(Table table, int64_t rows, Generator& g) {
  int64_t n = std::min(rows, table.labels.size(0));
  Tensor places = slice(from_vector(data::random_order(table.labels.size(0), g)), 0, 0, n);
  for (Tensor* t : {&table.numbers, &table.categories, &table.labels}) *t = rows_of(*t, places);
  Tensor order = from_vector(data::random_order(n, g));
  int64_t train = n * 6 / 10, validation = n * 2 / 10;
  table.train = slice(order, 0, 0, train);
  table.validation = slice(order, 0, train, train + validation);
  table.test = slice(order, 0, train + validation);
  return table;
}

Table adult(const std::string& path) {
  CsvOptions options;
  options.header = CsvOptions::Header::absent;
  options.missing = {};
  CsvTable csv = load_csv(path, options);
  Table table{.name = "Adult", .classes = 2};
  std::vector<Tensor> numbers, categories;
  for (size_t c = 0; c + 1 < csv.columns.size(); ++c) {
    const CsvColumn& column = csv.columns[c];
    Tensor values = unsqueeze(from_vector(column.values), 1);
    if (column.categorical) {
      categories.push_back(to(values, i64));
      table.cardinalities.push_back(static_cast<int64_t>(column.categories.size()));
    } else {
      numbers.push_back(to(values, f32));
    }
  }
  table.numbers = cat(numbers, 1);
  table.categories = cat(categories, 1);
  table.labels = to(from_vector(csv.columns.back().values), i64);
  return table;
}

}  // namespace

Table digit_table(int64_t rows, Generator& g) {
  NoGrad off;
  data::Dataset all = data::digits().all();
  data::Batch batch = all.batch(all.size()).next();
  Generator fixed(16);
  Tensor order = from_vector(data::random_order(16, fixed));
  Table table{.name = "digits", .classes = 10};
  table.numbers = contiguous(index_select(flatten(avg_pool2d(batch.image, 2), 1), 1, order));
  table.labels = batch.label;
  return drawn(std::move(table), rows, g);
}

Table mixed_table(int64_t rows, Generator& g) {
  std::string path = data::find_optional_data_file(data::data_directory(), "uci", "adult-train.csv");
  if (path.empty()) return generated_table(rows, g);
  NoGrad off;
  return drawn(adult(path), rows, g);
}

Table generated_table(int64_t rows, Generator& g) {
  NoGrad off;
  RandomOptions with{.generator = &g};
  Table table{.name = "generated", .cardinalities = {3, 4, 5, 6, 3, 4, 2, 8}, .classes = 2};
  Generator fixed(6);  // the rule is one for all seeds
  RandomOptions rule{.generator = &fixed};
  Tensor hidden = randn({rows, 3}, with);
  auto project = [&](int64_t outputs) { return sum(unsqueeze(hidden, 2) * unsqueeze(randn({3, outputs}, rule), 0), {1}); };
  table.numbers = project(6) + randn({rows, 6}, with) * 0.5;
  std::vector<Tensor> columns;
  for (int64_t n : table.cardinalities) columns.push_back(argmax(project(n) * 1.5 + gumbel({rows, n}, with), 1, true));
  table.categories = cat(columns, 1);
  Tensor score = select(hidden, 1, 0) * select(hidden, 1, 1) + select(hidden, 1, 2) * 0.7 + randn({rows}, with) * 0.3;
  table.labels = to(score > 0.0, i64);
  return drawn(std::move(table), rows, g);
}

Tensor scaled_numbers(const Table& table, bool standardise) {
  if (!table.numbers.defined()) return {};
  NoGrad off;
  Tensor seen = rows_of(table.numbers, table.train);
  if (standardise) return (table.numbers - mean(seen, {0})) / clamp_min(std_dev(seen, {0}, 0), 1e-6);
  Tensor low = amin(seen, {0});
  return (table.numbers - low) / clamp_min(amax(seen, {0}) - low, 1e-6);
}

Tensor raw_features(const Table& table) {
  NoGrad off;
  std::vector<Tensor> columns;
  if (table.numbers.defined()) columns.push_back(scaled_numbers(table, false));
  for (size_t c = 0; c < table.cardinalities.size(); ++c)
    columns.push_back(to(one_hot(select(table.categories, 1, static_cast<int64_t>(c)), table.cardinalities[c]), f32));
  return cat(columns, 1);
}

}  // namespace plumb::methods::t_jepa
