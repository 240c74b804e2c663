# Install rules: headers under include/plumb with the paths they have here, the library, the command, and packages that
# find_package(plumb CONFIG) and pkg-config find.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/plumb)

list(FILTER PLUMB_HEADERS EXCLUDE REGEX "^ops/cpu/")
foreach(header ${PLUMB_HEADERS})
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plumb/${folder})
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/include/plumb/plumb.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plumb)
install(TARGETS plumb_library EXPORT plumbTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET plumb_methods)
  file(GLOB_RECURSE method_headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/methods/*.h)
  foreach(header ${method_headers})
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plumb/${folder})
  endforeach()
  install(TARGETS plumb_methods EXPORT plumbTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET plumb_mpi)
  install(TARGETS plumb_mpi EXPORT plumbTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  set(PLUMB_HAS_MPI ON)
else()
  set(PLUMB_HAS_MPI OFF)
endif()
install(TARGETS plumb RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

configure_package_config_file(cmake/plumbConfig.cmake.in ${PROJECT_BINARY_DIR}/plumbConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/plumbConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT plumbTargets NAMESPACE plumb:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/plumbConfig.cmake ${PROJECT_BINARY_DIR}/plumbConfigVersion.cmake cmake/PlumbOpenBLAS.cmake
  DESTINATION ${package_dir})

if(NOT BUILD_SHARED_LIBS)
  set(pc_static_libs " -lstdc++ -lm -lpthread")
  set(pc_requires "Requires: openblas fmt zlib libpng libjpeg")
endif()
# The prefix is known at installation only, so the file finds it from where it lies.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
configure_file(cmake/plumb.pc.in ${PROJECT_BINARY_DIR}/plumb.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/plumb.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
