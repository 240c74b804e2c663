# Third-party libraries, all from Debian packages (tools/packages.sh names them). Nothing is downloaded by the build.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(nlohmann_json REQUIRED)
include(PlumbOpenBLAS)
# JSON's headers reach .cpp files only; as SYSTEM so that their warnings are not ours.
add_library(plumb_json INTERFACE)
get_target_property(json_include nlohmann_json::nlohmann_json INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(plumb_json SYSTEM INTERFACE ${json_include})
# What the library's .cpp files use. Headers only for the build itself: JSON.
set(PLUMB_PRIVATE_LIBRARIES plumb::openblas fmt::fmt ZLIB::ZLIB PNG::PNG JPEG::JPEG $<BUILD_INTERFACE:plumb_json>)
