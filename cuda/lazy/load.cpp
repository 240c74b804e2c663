// Finds a function of a library when it is first called (see cmake/PlumbLazyLibraries.cmake).
#include <dlfcn.h>

#include <string>

#include "engine/core/error.h"

namespace {

struct Function {
  const char *library, *built_with, *name;
};
const Function kFunctions[] = {
#include "functions.inc"
    {nullptr, nullptr, nullptr}};

void* opened(const Function& f) {
  if (void* library = dlopen(f.library, RTLD_NOW | RTLD_GLOBAL)) return library;
  std::string problem = dlerror();
  if (void* library = dlopen((std::string(f.built_with) + "/" + f.library).c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
  throw plumb::DeviceError("cuda: " + std::string(f.library) + " could not be loaded: " + problem);
}

}  // namespace

/// Called by the stubs. Throws DeviceError through them to the caller of the function. dlopen counts and locks: threads may meet here.
extern "C" void* plumb_load_function(size_t number) {
  const Function& f = kFunctions[number];
  void* found = dlsym(opened(f), f.name);
  if (!found)
    throw plumb::DeviceError("cuda: " + std::string(f.library) + " has no function " + f.name +
                             ": it is older than the one this program was built with");
  return found;
}
