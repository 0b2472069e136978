# What `make install` installs: program, library, headers, CMake package, default model, man page, completion.
include(CMakePackageConfigHelpers)

foreach(module report synthesis quantize reproduce hub lineage registry)
  defectoscope_closure(${module} targets libs)
  list(APPEND library_targets ${targets})
  list(APPEND library_libs ${libs})
endforeach()
list(REMOVE_DUPLICATES library_targets)
list(REMOVE_DUPLICATES library_libs)

add_library(defectoscope_library SHARED)
target_link_libraries(defectoscope_library PRIVATE ${library_targets} defectoscope_flags OpenMP::OpenMP_CXX ${library_libs})
target_include_directories(defectoscope_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/defectoscope>)
target_compile_features(defectoscope_library INTERFACE cxx_std_20)
set_target_properties(defectoscope_library PROPERTIES
  OUTPUT_NAME defectoscope EXPORT_NAME defectoscope LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

foreach(shell bash zsh fish)
  list(APPEND completions ${PROJECT_BINARY_DIR}/completion.${shell})
  list(APPEND completion_commands COMMAND defectoscope completion ${shell} > ${PROJECT_BINARY_DIR}/completion.${shell})
endforeach()
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/defectoscope.1 ${completions}
  COMMAND defectoscope man > ${PROJECT_BINARY_DIR}/defectoscope.1 ${completion_commands}
  DEPENDS defectoscope VERBATIM)
add_custom_target(man_page ALL DEPENDS ${PROJECT_BINARY_DIR}/defectoscope.1)

install(TARGETS defectoscope RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS defectoscope_library EXPORT defectoscopeTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT defectoscopeTargets NAMESPACE defectoscope:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/defectoscope)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ ${PROJECT_BINARY_DIR}/generated/
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/defectoscope FILES_MATCHING PATTERN "*.h"
        PATTERN "cli" EXCLUDE PATTERN "rust" EXCLUDE PATTERN "page" EXCLUDE PATTERN "testdata" EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/zoo/llama-base
        DESTINATION ${CMAKE_INSTALL_DATADIR}/defectoscope/models)
install(FILES ${PROJECT_BINARY_DIR}/defectoscope.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${PROJECT_BINARY_DIR}/completion.bash RENAME defectoscope
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${PROJECT_BINARY_DIR}/completion.zsh RENAME _defectoscope
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${PROJECT_BINARY_DIR}/completion.fish RENAME defectoscope.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
file(WRITE ${PROJECT_BINARY_DIR}/defectoscopeConfig.cmake
     "include(\${CMAKE_CURRENT_LIST_DIR}/defectoscopeTargets.cmake)\n")
write_basic_package_version_file(${PROJECT_BINARY_DIR}/defectoscopeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/defectoscopeConfig.cmake ${PROJECT_BINARY_DIR}/defectoscopeConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/defectoscope)
