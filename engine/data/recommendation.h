// Who took what: users' items in the order of time, items with categorical features. Generated, and read from MovieLens' files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::data {

/// One categorical feature of all items, with one value each or several (or none).
struct ItemFeature {
  std::string name;
  int64_t cardinality = 0;
  std::vector<int64_t> values;   ///< in [0, cardinality), item after item
  std::vector<int64_t> offsets;  ///< items + 1 of them: item i has values[offsets[i]] … values[offsets[i + 1] − 1]; empty: one value each
};

struct RecommendationSet {
  std::string name;
  int64_t items = 0;
  std::vector<ItemFeature> features;       ///< an item's own number is not among them
  std::vector<std::vector<int64_t>> train;  ///< of each user, items in the order in which they were taken
  std::vector<std::vector<int64_t>> test;   ///< of each user, the last ones; empty for users who took too few

  int64_t users() const { return static_cast<int64_t>(train.size()); }
  /// How often each item occurs in `train`.
  std::vector<int64_t> counts() const;
};

struct PowerLawOptions {
  int64_t items = 1500, users = 1000;
  int64_t types = 30;          ///< hidden kinds of items, one an item
  int64_t taken = 20;          ///< different items of each user
  int64_t test = 4;            ///< the last so many of them
  double exponent = 1.1;       ///< popularity of the item at place r of a random order: r^−exponent
  double other = 0.01;         ///< weight of types a user does not prefer; preferred ones have 1
  int64_t groups = 2, in_group = 3;  ///< features: `groups` times `in_group` of them
  int64_t cardinality = 20;    ///< of each
  double keep = 0.8;           ///< how often a feature says what it should; else it is any value
  int64_t tags = 0;            ///< values of one more feature, "tags", with one to three values an item; 0: there is none
};

/// Items of hidden types whose popularity follows a power law. In each group the first feature's clean value is a random function of the
/// type and the others' are random functions of the first's; noise then replaces each by any value with probability 1 − keep. A type has
/// three tags, of which an item has one to three, each replaced by any tag with probability 1 − keep. A user prefers two or three types and
/// takes different items with probability ∝ weight of the type · popularity. All follows from the seed. Throws ValueError for options out
/// of range.
RecommendationSet power_law_catalogue(const PowerLawOptions& options, uint64_t seed);

struct MovieLensOptions {
  double least_rating = 0;  ///< ratings below it are left out
  int64_t test = 2;         ///< the last so many items of each user with more than that
};

/// MovieLens (Harper & Konstan 2015) as GroupLens gives it out, whichever of these `directory` holds: u.data and u.item (100K), ratings.dat
/// and movies.dat (1M, 10M), ratings.csv and movies.csv (20M and later). An item is a line of the film file, in its order, with "genres"
/// (several values) and "year" (0 where it is unknown, else 1 + (year − 1890) / 5, at least 1 and at most 30; from the column of dates or
/// the end of the title). Users come in the order of their numbers, their items in that of the time stamps, equal ones in that of the file;
/// only the first rating of a film by a user counts. Throws IoError naming file and line for a missing file, another number of fields, what
/// is no number, a rating outside [0, 5], or an item that the film file has not; ValueError for test < 0 or if no rating is left.
RecommendationSet movielens(const std::string& directory, const MovieLensOptions& options = {});
/// The first of movielens, ml-100k, ml-1m, ml-10M100K, ml-20m, ml-25m, ml-32m and ml-latest-small in the data directory
/// (engine/data/files.h), alone or below movielens/, that holds such files; empty if none does.
std::string find_movielens(const std::string& directory = "");

}  // namespace plumb::data
