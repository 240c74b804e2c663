// The processes that this program is one of.
#pragma once
#include <string>

#include "engine/dist/communicator.h"

namespace plumb::dist {

/// Who trains together: what set_world was given, a group of one before. Training shares its batches out among them, and the first writes
/// files.
Communicator& world();
/// `processes` must outlive its use as the world. Programs under mpirun: set_world(mpi_world()) (engine/dist/mpi.h).
void set_world(Communicator& processes);

/// Lets all processes but the first say nothing on standard output and standard error from now on.
void quieten_others();
/// Writes a line to what was standard error at the start, on whichever process: for what the first cannot say in its place.
void say_anyway(const std::string& line) noexcept;

}  // namespace plumb::dist
