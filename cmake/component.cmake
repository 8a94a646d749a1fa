# One folder of lib/src = one target = one COMPONENT of find_package(jobruntime).

add_library(jobruntime_flags INTERFACE)
target_compile_features(jobruntime_flags INTERFACE cxx_std_20)
target_compile_options(jobruntime_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers)

# jobruntime_component(NAME SOURCES … [LINKS public targets] [PRIVATE_LINKS …] [NEEDS "find_dependency(…)"])
#
# Headers are shared by all components (lib/include); a component's own private headers are
# reached as "NAME/file.hpp" by itself and by the components that may know it.
function(jobruntime_component name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS;NEEDS" ${ARGN})
    set(target jobruntime_${name})
    add_library(${target} ${arg_SOURCES})
    add_library(jobruntime::${name} ALIAS ${target})
    if(name STREQUAL "core")
        set_target_properties(${target} PROPERTIES OUTPUT_NAME jobruntime)
    endif()
    set_target_properties(${target} PROPERTIES
        EXPORT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
        CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
    target_compile_features(${target} PUBLIC cxx_std_20)
    target_include_directories(${target}
        PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/lib/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
        PRIVATE ${PROJECT_SOURCE_DIR}/lib/src)
    target_link_libraries(${target} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS} $<BUILD_INTERFACE:jobruntime_flags>)
    if(JOBRUNTIME_FAILPOINTS)
        target_compile_definitions(${target} PUBLIC $<BUILD_INTERFACE:JOBRUNTIME_FAILPOINTS=1>)
    endif()
    set_property(GLOBAL APPEND PROPERTY JOBRUNTIME_COMPONENTS ${name})
    set_property(GLOBAL PROPERTY JOBRUNTIME_NEEDS_${name} "${arg_NEEDS}")
    install(TARGETS ${target} EXPORT jobruntime-${name}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT jobruntime-${name} NAMESPACE jobruntime::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/jobruntime FILE jobruntime-${name}.cmake)
endfunction()
