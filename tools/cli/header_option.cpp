// The words of --header.
#include "tools/cli/header_option.h"

#include "engine/core/error.h"

namespace plumb::tools {

CsvOptions::Header checked_header(const std::string& word) {
  if (word == "auto") return CsvOptions::Header::automatic;
  if (word == "yes") return CsvOptions::Header::present;
  if (word == "no") return CsvOptions::Header::absent;
  throw ConfigError("--header " + word + " is unknown; choose yes, no or auto");
}

}  // namespace plumb::tools
