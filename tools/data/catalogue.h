// The published data sets that `plumb data fetch` knows: where each file comes from, its checksum, and how it is stored.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace plumb::tools {

/// What is done to a downloaded file before it is stored, so that every table is comma-separated, without a header, target last.
enum class Form {
  as_it_is,
  comma_for_spaces,        ///< columns separated by spaces
  comma_for_semicolons,    ///< columns separated by semicolons, under a header
  target_first,            ///< the first column moves to the end
  identifier_first,        ///< the first column goes
  comment_first,           ///< the first line goes
  cifar_archive            ///< a gzipped tar; its .bin files are stored beside `path`
};

struct RemoteFile {
  std::string path;    ///< within the data directory
  std::string url;
  std::string sha256;  ///< of what the address serves; empty if no checksum is published
  Form form = Form::as_it_is;
};

struct DataSet {
  std::string name;
  std::string about;  ///< what it is and on what terms
  std::vector<RemoteFile> files;
};

std::span<const DataSet> catalogue();

}  // namespace plumb::tools
