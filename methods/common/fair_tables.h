// Tables of people with a protected attribute: COMPAS, Adult and German credit from the data directory, and a generated one.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// One row a person; the protected attribute itself is not among the features.
struct FairTable {
  std::string name;
  bool real = true;                        ///< read from a file; else generated
  Tensor x;                                ///< [N, d] f32, as they are or 0/1
  Tensor y;                                ///< [N] i64, 0 or 1
  Tensor a;                                ///< [N] i64, the group: 0 or 1
  std::vector<std::string> feature_names;  ///< d
  std::vector<std::string> group_names;    ///< of groups 0 and 1
  Tensor amount;                           ///< [N] f64, a number besides the label (days in jail); undefined where the table has none

  int64_t rows() const { return y.size(0); }
};

/// Recidivism within two years (ProPublica 2016), with the usual filters, Caucasian (0) and African-American (1) people: 5,278 rows.
/// Features: age, age², log(1 + priors), felony, male, three juvenile records. The amount is the days between jail_in and jail_out, NaN
/// where unknown. With `sex` the groups are women (0) and men (1) of these people, and "male" makes room for "African-American".
FairTable compas_table(bool sex = false);
/// Income above 50,000 (Adult, UCI): women (0) and men (1); 32,561 rows. Relationship and marital status, which give the sex away, fnlwgt
/// and native country are left out. With `race`, the groups are all others (0) and White (1), and sex is a feature.
FairTable adult_table(bool race = false);
/// Good credit risks (Statlog German credit, UCI): women (0) and men (1), from the column "personal status and sex", which is left out.
/// 1,000 rows.
FairTable german_table();
/// All three throw IoError where the file is missing. Whether they are all there:
bool has_fair_tables();

/// `rows` people with d = 8 features, two of them proxies of the group a ~ Bernoulli(½), whose base rates differ by about 0.13, and an
/// amount e^(η + noise) with η as the label's. Everything from the generator; the rule is one for all.
FairTable generated_fair_table(int64_t rows, Generator& generator);

/// One of the first three by name ("COMPAS", "Adult", "German credit"), or a generated one of that name and about that size where the data
/// directory lacks it. Throws ValueError for another name.
FairTable fair_table(const std::string& name, Generator& generator);

/// Rows drawn once: the first `train` of a random order, the next `validation`, and the rest; features scaled to mean 0 and deviation 1 by
/// those to train on.
struct FairPart {
  Tensor x, y, a, amount;  ///< x and y f32, a i64
  int64_t rows() const { return y.size(0); }
};
struct FairSplit {
  FairPart train, validation, test;
};
/// At most `most_test` rows to test on (0: all that are left). Throws ValueError where the table has too few rows.
FairSplit split_fair_table(const FairTable& table, int64_t train, int64_t validation, Generator& generator, int64_t most_test = 0);

}  // namespace plumb::methods
