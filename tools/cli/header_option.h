// The option --header of what reads a user's CSV file.
#pragma once
#include <string>

#include "engine/io/csv.h"

namespace plumb::tools {

inline constexpr const char* kHeaderHelp =
    "whether the first line has the columns' names: yes, no or auto (it has, unless a field of it is a number)";

/// Throws ConfigError, naming --header, for a word that is none of these.
CsvOptions::Header checked_header(const std::string& word);

}  // namespace plumb::tools
