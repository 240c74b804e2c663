# The pages of `plumb explain`, made of the sources by docs/builder/text_pages.py. Without Python the command says that it has none.
find_package(Python3 COMPONENTS Interpreter QUIET)
set(operation_pages ${PROJECT_BINARY_DIR}/explain/operation_pages.cpp)
if(Python3_EXECUTABLE)
  file(GLOB_RECURSE page_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/*.h ${PROJECT_SOURCE_DIR}/ops/*.cpp ${PROJECT_SOURCE_DIR}/tests/ops/*.cpp
    ${PROJECT_SOURCE_DIR}/cuda/*.cu ${PROJECT_SOURCE_DIR}/docs/builder/*.py)
  add_custom_command(OUTPUT ${operation_pages}
    COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${PROJECT_SOURCE_DIR}/docs ${Python3_EXECUTABLE} -B -m builder.text_pages ${PROJECT_SOURCE_DIR} ${operation_pages}
    DEPENDS ${page_sources} ${PROJECT_SOURCE_DIR}/docs/operations.txt VERBATIM)
else()
  file(CONFIGURE OUTPUT ${operation_pages} CONTENT "// No pages: there was no Python.
#include \"tools/explain/pages.h\"

namespace plumb::tools {

std::string_view packed_pages() { return {}; }
const char* pages_problem() { return \"it was configured without Python 3 (on Debian: apt-get install python3, then run cmake again)\"; }

}  // namespace plumb::tools
")
endif()
target_sources(plumb_tools PRIVATE ${operation_pages})
