// The probe that is set.
#include "models/train/step_probe.h"

namespace plumb::train {

static StepProbe* current = nullptr;

StepProbe* step_probe() { return current; }
void set_step_probe(StepProbe* probe) { current = probe; }

}  // namespace plumb::train
