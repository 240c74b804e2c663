// Film reviews from their archive: txt_sentoken/neg/cv000_29416.txt and so on.
#include "engine/data/film_reviews.h"

#include <algorithm>
#include <cctype>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "engine/io/file.h"
#include "engine/io/tar.h"

namespace plumb::data {

std::vector<Review> read_film_reviews(const std::string& path) {
  std::string archive = read_nonempty_file(path);
  std::vector<Review> reviews;
  for (const auto& [name, content] : tar_members(archive, path)) {
    size_t folder = name.find("/neg/cv") != std::string::npos ? name.find("/neg/cv") : name.find("/pos/cv");
    if (folder == std::string::npos) continue;
    std::string digits = name.substr(folder + 7, 3);
    if (digits.size() != 3 || !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); }))
      throw IoError("film reviews: " + path + ": " + name + " has no file number");
    reviews.push_back({std::string(content), std::stoll(digits), name[folder + 1] == 'p'});
  }
  if (reviews.empty()) throw IoError("film reviews: " + path + ": holds no file like neg/cv000_….txt or pos/cv000_….txt");
  std::sort(reviews.begin(), reviews.end(),
            [](const Review& a, const Review& b) { return std::pair(a.positive, a.number) < std::pair(b.positive, b.number); });
  return reviews;
}

std::vector<Review> film_reviews(const std::string& directory) {
  return read_film_reviews(find_data_file("review_polarity", directory, "text", "review_polarity.tar.gz"));
}

}  // namespace plumb::data
