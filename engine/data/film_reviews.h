// The film reviews of Pang & Lee 2004: 1,000 positive and 1,000 negative ones, in ten folds by their file numbers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::data {

struct Review {
  std::string text;  ///< lower case, words and punctuation apart by spaces
  int64_t number;    ///< of its file, 0 … 999: cv123_….txt is 123
  int64_t positive;  ///< 1 or 0
  int64_t fold() const { return number / 100; }
};

/// The reviews in review_polarity.tar.gz at `path`, negative ones first, by number. Throws IoError naming what is wrong with the archive.
std::vector<Review> read_film_reviews(const std::string& path);
/// text/review_polarity.tar.gz of the data directory (see files.h). Throws IoError naming the file and `plumb data fetch review_polarity`.
std::vector<Review> film_reviews(const std::string& directory = "");

}  // namespace plumb::data
