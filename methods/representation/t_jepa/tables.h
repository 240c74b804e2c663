// The tables that T-JEPA is measured on.
#pragma once
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::t_jepa {

/// Rows of a table, split once: 60 % to train on, 20 % to choose by, 20 % to measure on.
struct Table {
  std::string name;
  Tensor numbers, categories;           ///< f32 [N, numeric] as they are, i64 [N, columns]; undefined where there are none
  std::vector<int64_t> cardinalities;   ///< of each column of categories
  Tensor labels;                        ///< i64 [N]
  int64_t classes = 0;
  Tensor train, validation, test;       ///< i64, places of rows
};

/// The digits carried inside as rows of 16 numbers: 4 × 4 means of 2 × 2 pixels, columns in an order drawn once for all seeds. At most
/// `rows` of them, drawn from the generator as the split is.
Table digit_table(int64_t rows, Generator& generator);
/// `rows` rows of Adult (6 numbers, 8 columns of categories; does the income exceed 50,000) from the data directory, else of a generated
/// table of the same kind. A missing field is a category of its own.
Table mixed_table(int64_t rows, Generator& generator);
/// That generated table: numbers, categories and a label of two classes, all made from three hidden normal numbers with noise.
Table generated_table(int64_t rows, Generator& generator);

/// The numbers of `table` scaled by its training rows: to [0, 1] by their least and greatest, or to mean 0 and deviation 1.
Tensor scaled_numbers(const Table& table, bool standardise);
/// What a network sees that is given no representation: scaled numbers, and a 0/1 column for each category. [N, F]
Tensor raw_features(const Table& table);

}  // namespace plumb::methods::t_jepa
