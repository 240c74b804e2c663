// One process trains a run directory at a time.
#pragma once
#include <string>

namespace plumb::train {

/// The right to train the run directory at `path`, held until the end of this object or of its process, however that ends. It is a lock of
/// the operating system on the file .lock in it, which says who holds it; the file stays, and by itself means nothing. On file systems that
/// know no locks every process gets it. Throws ConfigError saying who trains the directory if another does, or naming a symbolic link in
/// it; IoError if .lock cannot be made.
class RunLock {
 public:
  explicit RunLock(const std::string& path);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace plumb::train
