# <plumb/plumb.h>, generated: every header of engine/, ops/ and models/ but those that only the library's own code needs.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/engine/*.h ${PROJECT_SOURCE_DIR}/ops/*.h ${PROJECT_SOURCE_DIR}/models/*.h)
list(SORT headers)
set(PLUMB_HEADERS ${headers})
# Kernel slots, the code behind them, and what carries the graph from one .cpp file to another.
list(FILTER headers EXCLUDE REGEX "^ops/(cpu|kernels)/|/internal/|(kernels?|_call|_functions|_formula|_frame|engine_operations|geometry|host_rows|unicode|zip|dist/mpi)\\.h$")
set(includes "#include <plumb/version.h>\n")
foreach(header ${headers})
  string(APPEND includes "#include \"${header}\"\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/plumb/plumb.h CONTENT
"// Everything that a program needs. Generated from the headers of engine/, ops/ and models/.
#pragma once
@includes@" @ONLY)
# <plumb/version.h>: the version that the project's one line in CMakeLists.txt says.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/plumb/version.h CONTENT
"// The version of Plumb, by the rules of semver.org. Generated.
#pragma once
namespace plumb {
inline constexpr const char* kVersion = \"@PROJECT_VERSION@\";
inline constexpr int kVersionMajor = @PROJECT_VERSION_MAJOR@, kVersionMinor = @PROJECT_VERSION_MINOR@, kVersionPatch = @PROJECT_VERSION_PATCH@;
}  // namespace plumb
" @ONLY)
