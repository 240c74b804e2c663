# plumb::openblas: OpenBLAS with its C headers. Used by the build and by the installed package alike.
if(NOT TARGET plumb::openblas)
  find_library(OPENBLAS_LIBRARY NAMES openblas REQUIRED)
  find_path(OPENBLAS_INCLUDE NAMES openblas_config.h PATHS /usr/include PATH_SUFFIXES x86_64-linux-gnu aarch64-linux-gnu openblas REQUIRED)
  add_library(plumb::openblas INTERFACE IMPORTED)
  set_target_properties(plumb::openblas PROPERTIES INTERFACE_LINK_LIBRARIES ${OPENBLAS_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${OPENBLAS_INCLUDE} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${OPENBLAS_INCLUDE})
endif()
