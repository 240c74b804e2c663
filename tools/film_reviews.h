// The film reviews of Pang & Lee 2004: 1,000 positive and 1,000 negative ones, in ten folds by their file numbers.
#pragma once
#include <string>
#include <vector>

namespace plumb::tools {

struct Review {
  std::string text;
  int64_t number;    ///< of its file, 0 … 999: cv123_….txt is 123
  int64_t positive;  ///< 1 or 0
  int64_t fold() const { return number / 100; }
};

/// The reviews in review_polarity.tar.gz at `path`, negative ones first, by number. Throws IoError naming what is wrong with the archive.
std::vector<Review> read_film_reviews(const std::string& path);

}  // namespace plumb::tools
