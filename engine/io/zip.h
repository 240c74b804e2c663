// Zip archives, as far as .npz files need them: stored and deflated entries, no zip64, no encryption.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plumb {

using ZipEntries = std::vector<std::pair<std::string, std::string>>;  ///< names and contents

/// The entries of an archive, in its order, checksums compared. Throws IoError "npz: path: …" for a damaged or unsupported archive, for one
/// whose entries share their data (which would unpack it again and again), and for entries of more than `limit` bytes together (0:
/// unpack_limit of the archive's size, engine/io/internal/unpack_limit.h).
ZipEntries read_zip(std::string_view archive, const std::string& path, size_t limit = 0);

/// The entries as an archive, deflated or stored, without time stamps. Throws IoError naming `path` beyond 4 GiB or 65,535 entries.
std::string zip_bytes(const ZipEntries& entries, bool compress, const std::string& path);

}  // namespace plumb
