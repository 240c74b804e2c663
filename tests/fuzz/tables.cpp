// Tables, time series and ratings: formats of text.
#include <filesystem>

#include "engine/core/error.h"
#include "engine/data/recommendation.h"
#include "engine/io/csv.h"
#include "engine/io/file.h"
#include "engine/io/ts.h"
#include "tests/fuzz/target.h"
#include "tests/scratch.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

void read_csv(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    CsvTable table = load_csv(path);
    table.tensor();
    load_csv(path, table);
  });
}

void read_ts(std::string_view bytes) {
  SeriesSet set;
  with_file(bytes, [&](const std::string& path) { set = load_ts(path); });
  try {
    set.stacked();
  } catch (const ValueError&) {}  // mostly padding
}

const std::vector<std::string> kSeries{
    "@problemName a\n@dimensions 2\n@classLabel true x y\n@data\n1,2.5,-3:4,?,6:x\n0,1:2,3:y\n",
    "# c\n@univariate true\n@equalLength true\n@seriesLength 3\n@targetLabel true\n@data\n1,2,3:0.5\n4,NaN,6:-1\n"};

// Two files in one input, apart by a zero: films and ratings, or the other way round.
template <bool kCsv>
void read_movielens(std::string_view bytes) {
  struct Files {
    MemoryFile films, ratings;
    plumb_test::Scratch directory;
    Files() {
      std::filesystem::create_symlink(films.path(), directory.path(kCsv ? "movies.csv" : "movies.dat"));
      std::filesystem::create_symlink(ratings.path(), directory.path(kCsv ? "ratings.csv" : "ratings.dat"));
    }
  };
  static const Files files;
  size_t cut = std::min(bytes.find('\0'), bytes.size());
  files.films.put(bytes.substr(0, cut));
  files.ratings.put(bytes.substr(std::min(cut + 1, bytes.size())));
  data::movielens(files.directory.path());
}

}  // namespace

std::vector<Target> table_targets() {
  return {
      {"csv", read_csv,
       [] {
         return std::vector<std::string>{"name,x,y\n\"a \"\"b\"\"\",1.5,?\nc,-2e3,4\n\"d\ne\",0,1\n", "1;2\n",
                                         "\xef\xbb\xbf"
                                         "a,a,a\r\n1,2,3\r\n"};
       },
       "csv"},
      {"ts", read_ts, [] { return kSeries; }, "ts"},
      {"movielens_dat", read_movielens<false>,
       [] {
         return std::vector<std::string>{std::string("1::Toy Story (1995)::Animation|Comedy\n2::X::Drama\n") + '\0' +
                                         "1::1::5::978300760\n1::2::3.5::978300761\n2::2::1::3\n"};
       }},
      {"movielens_csv", read_movielens<true>,
       [] {
         return std::vector<std::string>{std::string("movieId,title,genres\n1,\"Toy, Story (1995)\",Animation|Comedy\n") + '\0' +
                                         "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n"};
       }},
  };
}

}  // namespace plumb_fuzz
