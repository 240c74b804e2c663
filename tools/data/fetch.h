// Fetching a data set: download, check, store.
#pragma once
#include <cstdio>
#include <functional>
#include <string>

#include "tools/data/catalogue.h"

namespace plumb::tools {

/// Puts the files of `set` under `directory`, each whole and checked or not at all; files that are there are left alone. A download that
/// breaks leaves `<file>.part` and goes on from there the next time. Every stored file's SHA-256 goes into directory/SHA256SUMS.
/// Says on `log` what it does. Throws IoError for an address that does not answer, a checksum that differs, a file that cannot be written.
void fetch(const DataSet& set, const std::string& directory, std::FILE* log);

/// The data set called `name`. Throws ValueError listing the names if there is none.
const DataSet& find_data_set(const std::string& name);

}  // namespace plumb::tools
