// A disk that fails when a test wants it to. The calls with which Plumb reads and writes files are linked to the functions of disk.cpp
// (ld's --wrap), which count those that concern one directory and make one of them, or all from one on, go wrong.
#pragma once
#include <string>

namespace plumb_test::disk {

enum class Fault {
  none,          ///< calls are only counted
  kill,          ///< the process is killed (SIGKILL) as the call begins
  kill_halfway,  ///< a write is half done when the process is killed; as kill for other calls
  power_loss,  ///< the process is killed, files lose what was written after their last sync, and new ones vanish if their directory was not
               ///< synced
  error,       ///< the call fails with `error`
  full,        ///< this call and all later ones that need room fail with ENOSPC
  cut_short,   ///< a write takes one byte only; other calls are interrupted once (EINTR) where they may be
  slow,        ///< this call and all later ones take a millisecond
};

struct Plan {
  std::string directory = {};  ///< absolute; only calls for what lies in it count
  Fault fault = Fault::none;
  long call = 0;          ///< which one goes wrong, from 0
  int error = 0;          ///< an errno
};

/// From now on calls are counted and fail as planned. Syncs of the directory's files are counted but not made, which tests need not wait
/// for.
void begin(const Plan& plan);
/// Back to the plain calls. Returns how many were counted.
long end();
/// What the last call that went wrong was: "write", "rename", …; "" if none did.
const char* failed_call();

}  // namespace plumb_test::disk
