// Modular arithmetic: the tables are right, complete, and cut into disjoint parts.
#include "engine/data/modular.h"

#include <doctest/doctest.h>

#include <set>

using namespace plumb;
using data::ModularOperation;

TEST_CASE("modular: every entry of every table obeys its rule") {
  for (int64_t p : {2, 7, 13}) {
    for (auto op : {ModularOperation::add, ModularOperation::subtract, ModularOperation::multiply, ModularOperation::divide,
                    ModularOperation::sum_of_squares}) {
      data::Dataset all = data::modular_arithmetic({.modulus = p, .operation = op}).all();
      bool division = op == ModularOperation::divide;
      CHECK(all.size() == (division ? p * (p - 1) : p * p));
      std::set<std::pair<int64_t, int64_t>> pairs;
      for (int64_t i = 0; i < all.size(); ++i) {
        std::vector<int64_t> t = to_vector<int64_t>(all[i].tokens);
        int64_t a = t[0], b = t[2], c = all[i].label.item<int64_t>();
        CHECK(t[1] == p);
        CHECK(t[3] == p + 1);
        CHECK((c >= 0 && c < p));
        pairs.insert({a, b});
        switch (op) {
          case ModularOperation::add:
            CHECK((c - a - b) % p == 0);
            break;
          case ModularOperation::subtract:
            CHECK((c - a + b) % p == 0);
            break;
          case ModularOperation::multiply:
            CHECK((c - a * b) % p == 0);
            break;
          case ModularOperation::sum_of_squares:
            CHECK((c - a * a - b * b) % p == 0);
            break;
          case ModularOperation::divide:
            CHECK((c * b - a) % p == 0);
            break;
        }
      }
      CHECK(static_cast<int64_t>(pairs.size()) == all.size());
    }
  }
}

TEST_CASE("modular: the training part has its share, and the test part the rest") {
  auto parts = data::modular_arithmetic({.modulus = 97, .train = 0.3, .seed = 2});
  data::Dataset train = parts.train(), test = parts.test();
  CHECK(train.size() == 2823);  // 0.3 · 97² = 2822.7
  CHECK(train.size() + test.size() == 97 * 97);
  std::set<int64_t> seen;
  for (const auto& part : {train, test})
    for (const auto& batch : part.batch(1000))
      for (int64_t i : to_vector<int64_t>(batch.index)) seen.insert(i);
  CHECK(seen.size() == 97 * 97);
  data::Dataset other = data::modular_arithmetic({.modulus = 97, .train = 0.3, .seed = 3}).train();
  CHECK(to_vector<int64_t>(other.batch(50).next().index) != to_vector<int64_t>(train.batch(50).next().index));
}

TEST_CASE("modular: impossible tables are refused") {
  CHECK_THROWS_WITH_AS(data::modular_arithmetic({.modulus = 1}), "modular_arithmetic: the modulus 1 is outside [2, 65535]", ValueError);
  CHECK_THROWS_WITH_AS(data::modular_arithmetic({.train = 1.5}), "modular_arithmetic: the training share 1.5 is outside [0, 1]",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::modular_arithmetic({.modulus = 91, .operation = ModularOperation::divide}),
                       "modular_arithmetic: division needs a prime modulus, 91 is not", ValueError);
  CHECK_THROWS_WITH_AS(data::modular(ModularOperation::divide, 3, 2, 4), "modular: 3 cannot be divided by 2 modulo 4", ValueError);
  CHECK_THROWS_WITH_AS(data::modular(ModularOperation::divide, 3, 0, 7), "modular: 3 cannot be divided by 0 modulo 7", ValueError);
}
