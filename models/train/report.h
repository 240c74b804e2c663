// report.html: what a run was, how its loss fell, and what it makes.
#pragma once
#include "models/train/run_directory.h"

namespace plumb::train {

/// Writes report.html into the run: the page of `plumb board` (page.h) as it stands now, in one file that opens anywhere. `ending`:
/// the run is finished, though its model, which marks it so, is not saved yet. Throws IoError.
void write_report(const RunDirectory& run, bool ending = false);

}  // namespace plumb::train
