// The page of one run.
#include "models/train/report.h"

#include "engine/io/file.h"
#include "models/train/page.h"

namespace plumb::train {

void write_report(const RunDirectory& run, bool ending) {
  write_file_atomic(run.file("report.html"), frozen_page(run.path(), {RunView(run, ending)}));
}

}  // namespace plumb::train
