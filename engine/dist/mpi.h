// Processes that `mpirun` started, over MPI. In the library plumb_mpi, which is built where CMake finds MPI.
#pragma once
#include "engine/dist/communicator.h"

namespace plumb::dist {

/// All processes that mpirun started together; a group of one in a program that was started without it. MPI begins at the first call and
/// ends with the program. Only the thread that called first may use it. Throws DeviceError if MPI cannot begin.
Communicator& mpi_world();

/// Ends all processes of mpi_world() with `status`: a process that fails alone would leave the others waiting for it for ever.
[[noreturn]] void abandon(int status);

}  // namespace plumb::dist
