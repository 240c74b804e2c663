// Reading MovieLens' rating and film files, in the three forms that were given out.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "engine/data/recommendation.h"
#include "engine/io/file.h"

namespace plumb::data {
namespace {

/// How one form is written.
struct Form {
  const char *ratings, *films;
  std::string_view rating_delimiter, film_delimiter;
  bool header;  ///< the first line names the columns
  bool flags;   ///< genres are 19 columns of 0 and 1
};
constexpr Form kForms[] = {{"u.data", "u.item", "\t", "|", false, true},
                           {"ratings.dat", "movies.dat", "::", "::", false, false},
                           {"ratings.csv", "movies.csv", ",", ",", true, false}};
constexpr int64_t kFlags = 19, kBeforeFlags = 5;
constexpr int64_t kFirstYear = 1890, kYearsTogether = 5, kLastBucket = 30;

const Form* form_in(const std::string& directory) {
  for (const Form& form : kForms)
    if (path_exists(directory + "/" + form.ratings) || path_exists(directory + "/" + form.ratings + ".gz")) return &form;
  return nullptr;
}

std::string path_of(const std::string& directory, const char* file) {
  std::string path = directory + "/" + file;
  return path_exists(path) || !path_exists(path + ".gz") ? path : path + ".gz";
}

std::vector<std::string_view> split(std::string_view text, std::string_view delimiter) {
  std::vector<std::string_view> fields;
  for (size_t at; (at = text.find(delimiter)) != std::string_view::npos; text.remove_prefix(at + delimiter.size()))
    fields.push_back(text.substr(0, at));
  fields.push_back(text);
  return fields;
}

/// The lines of a file, with what is needed to say where one is wrong.
class Lines {
 public:
  Lines(std::string path, bool header) : path_(std::move(path)), text_(read_nonempty_file(path_)), rest_(text_) {
    if (header) next();
  }
  /// The next line that is not empty; false at the end.
  bool next() {
    while (!rest_.empty()) {
      size_t end = rest_.find('\n');
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
      if (!line_.empty() && line_.back() == '\r') line_.remove_suffix(1);
      ++number_;
      if (!line_.empty()) return true;
    }
    return false;
  }
  std::string_view line() const { return line_; }
  const std::string& path() const { return path_; }
  [[noreturn]] void fail(const std::string& problem) const {
    throw_io_error("movielens", path_, fmt::format("line {}: {}", number_, problem));
  }
  template <typename T>
  T number(const char* what, std::string_view field) const {
    T value{};
    auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size()) fail(fmt::format("the {} \"{}\" is no number", what, field));
    return value;
  }

 private:
  std::string path_, text_;
  std::string_view rest_, line_;
  int64_t number_ = 0;
};

int64_t year_bucket(std::string_view four) {
  int64_t year = 0;
  auto [end, error] = std::from_chars(four.data(), four.data() + four.size(), year);
  if (four.size() != 4 || error != std::errc() || end != four.data() + 4) return 0;
  return std::clamp<int64_t>(1 + (year - kFirstYear) / kYearsTogether, 1, kLastBucket);
}

/// Of "Toy Story (1995)", quoted or not.
int64_t year_of_title(std::string_view title) {
  size_t close = title.rfind(')');
  return close == std::string_view::npos || close < 5 || title[close - 5] != '(' ? 0 : year_bucket(title.substr(close - 4, 4));
}

struct Films {
  std::unordered_map<int64_t, int64_t> place;  // of a film's number in the files
  ItemFeature genres{"genres", 0, {}, {0}}, year{"year", kLastBucket + 1, {}, {}};
};

class FilmReader {
 public:
  FilmReader(const std::string& path, const Form& form) : lines_(path, form.header), form_(form) {}

  Films read() {
    while (lines_.next()) {
      if (form_.flags) add_flags();
      else add_named();
      films_.genres.offsets.push_back(static_cast<int64_t>(films_.genres.values.size()));
    }
    if (films_.place.empty()) throw_io_error("movielens", lines_.path(), "has no films");
    if (form_.flags) films_.genres.cardinality = kFlags;
    else number_genres();
    return std::move(films_);
  }

 private:
  void add_film(std::string_view number) {
    auto place = static_cast<int64_t>(films_.place.size());
    if (!films_.place.emplace(lines_.number<int64_t>("item", number), place).second)
      lines_.fail(fmt::format("item {} is there twice", number));
  }

  void add_flags() {
    auto fields = split(lines_.line(), form_.film_delimiter);
    if (fields.size() != kBeforeFlags + kFlags) lines_.fail(fmt::format("has {} fields, not {}", fields.size(), kBeforeFlags + kFlags));
    add_film(fields[0]);
    int64_t year = fields[2].size() >= 4 ? year_bucket(fields[2].substr(fields[2].size() - 4)) : 0;
    films_.year.values.push_back(year ? year : year_of_title(fields[1]));
    for (size_t k = 0; k < kFlags; ++k) {
      std::string_view flag = fields[kBeforeFlags + k];
      if (flag != "0" && flag != "1") lines_.fail(fmt::format("the flag \"{}\" of genre {} is neither 0 nor 1", flag, k));
      if (flag == "1") films_.genres.values.push_back(static_cast<int64_t>(k));
    }
  }

  // A title may hold the delimiter; a number and genres do not.
  void add_named() {
    std::string_view line = lines_.line(), delimiter = form_.film_delimiter;
    size_t first = line.find(delimiter), last = line.rfind(delimiter);
    if (first == std::string_view::npos || last == first) lines_.fail("is not a number, a title and genres");
    add_film(line.substr(0, first));
    films_.year.values.push_back(year_of_title(line.substr(first, last - first)));
    for (std::string_view genre : split(line.substr(last + delimiter.size()), "|"))
      if (!genre.empty() && genre != "(no genres listed)")
        films_.genres.values.push_back(names_.emplace(std::string(genre), static_cast<int64_t>(names_.size())).first->second);
  }

  // Genres were numbered as they came; now by name.
  void number_genres() {
    std::vector<int64_t> sorted(names_.size());
    int64_t next = 0;
    for (const auto& [name, number] : names_) sorted[static_cast<size_t>(number)] = next++;
    for (int64_t& value : films_.genres.values) value = sorted[static_cast<size_t>(value)];
    films_.genres.cardinality = std::max<int64_t>(1, next);
  }

  Lines lines_;
  const Form& form_;
  Films films_;
  std::map<std::string, int64_t> names_;
};

struct Rating {
  int64_t user, time, item;
};

std::vector<Rating> read_ratings(const std::string& path, const Form& form, const Films& films, double least) {
  Lines lines(path, form.header);
  std::vector<Rating> ratings;
  while (lines.next()) {
    auto fields = split(lines.line(), form.rating_delimiter);
    if (fields.size() != 4) lines.fail(fmt::format("has {} fields, not user, item, rating and time", fields.size()));
    auto user = lines.number<int64_t>("user", fields[0]), item = lines.number<int64_t>("item", fields[1]);
    auto rating = lines.number<double>("rating", fields[2]);
    auto time = lines.number<int64_t>("time", fields[3]);
    if (!(rating >= 0 && rating <= 5)) lines.fail(fmt::format("the rating {} is outside [0, 5]", rating));
    auto place = films.place.find(item);
    if (place == films.place.end()) lines.fail(fmt::format("item {} was never seen: {} has no such film", item, form.films));
    if (rating >= least) ratings.push_back({user, time, place->second});
  }
  std::stable_sort(ratings.begin(), ratings.end(),
                   [](const Rating& a, const Rating& b) { return std::pair(a.user, a.time) < std::pair(b.user, b.time); });
  return ratings;
}

}  // namespace

RecommendationSet movielens(const std::string& directory, const MovieLensOptions& o) {
  if (o.test < 0) throw ValueError(fmt::format("movielens: test must not be negative, it is {}", o.test));
  const Form* form = form_in(directory);
  if (!form) throw IoError(fmt::format("movielens: {} holds none of u.data, ratings.dat and ratings.csv", directory));
  Films films = FilmReader(path_of(directory, form->films), *form).read();
  std::vector<Rating> ratings = read_ratings(path_of(directory, form->ratings), *form, films, o.least_rating);
  if (ratings.empty()) throw ValueError(fmt::format("movielens: {}: no rating of at least {} is left", directory, o.least_rating));
  RecommendationSet set{"MovieLens", static_cast<int64_t>(films.place.size()), {films.genres, films.year}, {}, {}};
  for (size_t i = 0; i < ratings.size();) {
    std::vector<int64_t> taken;
    std::unordered_set<int64_t> known;
    for (int64_t user = ratings[i].user; i < ratings.size() && ratings[i].user == user; ++i)
      if (known.insert(ratings[i].item).second) taken.push_back(ratings[i].item);
    auto cut = taken.end() - (static_cast<int64_t>(taken.size()) > o.test ? o.test : 0);
    set.train.emplace_back(taken.begin(), cut);
    set.test.emplace_back(cut, taken.end());
  }
  return set;
}

std::string find_movielens(const std::string& directory) {
  const std::string root = data_directory(directory);
  for (const char* folder : {"movielens", "ml-100k", "ml-1m", "ml-10M100K", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small"})
    for (const char* above : {"/", "/movielens/"})
      if (std::string path = root + above + folder; form_in(path)) return path;
  return "";
}

}  // namespace plumb::data
