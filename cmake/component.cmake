# One folder = one target = one COMPONENT of find_package(jobruntime) = one pkg-config file.

# Every component there can be. NAME.hpp and NAME/ of the public headers belong to component
# NAME and are installed with it only; all other headers are the core's.
set(JOBRUNTIME_ALL_COMPONENTS core testing sqlite mongo http net extract media host)

add_library(jobruntime_flags INTERFACE)
target_compile_features(jobruntime_flags INTERFACE cxx_std_20)
target_compile_options(jobruntime_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers)

# Everything that can be installed as a component, without programs and tests.
add_custom_target(jobruntime_components)

# jobruntime_component(NAME SOURCES … [LINKS public targets] [PRIVATE_LINKS …] [NEEDS "find_dependency(…)" …]
#                      [PKG_REQUIRES modules …] [PKG_LIBS flags …])
#
# May be called from any folder. A component's own private headers are reached as
# "NAME/file.hpp", by itself and by the components that may know it; public headers are in
# lib/include, or in include/ beside the caller.
# NEEDS are the CMake lines that find what the links name, for those who use the installed library.
# PKG_REQUIRES and PKG_LIBS say the same to pkg-config, only for links that it cannot guess.
function(jobruntime_component name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS;NEEDS;PKG_REQUIRES;PKG_LIBS" ${ARGN})
    if(NOT name IN_LIST JOBRUNTIME_ALL_COMPONENTS)
        message(FATAL_ERROR "jobruntime_component(${name}): add ${name} to JOBRUNTIME_ALL_COMPONENTS in cmake/component.cmake")
    endif()
    set(target jobruntime_${name})
    add_library(${target} ${arg_SOURCES})
    add_library(jobruntime::${name} ALIAS ${target})
    add_dependencies(jobruntime_components ${target})
    if(name STREQUAL "core")
        set_target_properties(${target} PROPERTIES OUTPUT_NAME jobruntime)
    endif()
    # No DEFINE_SYMBOL: static and shared then compile the same way, so a compiler cache serves both.
    set_target_properties(${target} PROPERTIES
        EXPORT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
        CXX_EXTENSIONS OFF C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
        POSITION_INDEPENDENT_CODE ON DEFINE_SYMBOL "")
    target_compile_features(${target} PUBLIC cxx_std_20)
    target_include_directories(${target}
        PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/lib/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
        PRIVATE ${PROJECT_SOURCE_DIR}/lib/src ${CMAKE_CURRENT_SOURCE_DIR}/..)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/include)
        target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>)
    endif()
    target_link_libraries(${target} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS} $<BUILD_INTERFACE:jobruntime_flags>)
    jobruntime_precompiled(${target} library)
    if(JOBRUNTIME_FAILPOINTS)
        target_compile_definitions(${target} PUBLIC $<BUILD_INTERFACE:JOBRUNTIME_FAILPOINTS=1>)
    endif()
    set_property(GLOBAL APPEND PROPERTY JOBRUNTIME_COMPONENTS ${name})
    _jobruntime_describe_links(${name} "${arg_LINKS}" "${arg_PRIVATE_LINKS}" "${arg_NEEDS}")
    if(JOBRUNTIME_INSTALL)
        _jobruntime_install_target(${name})
        _jobruntime_install_pkgconfig(${name} "${arg_LINKS}" "${arg_PRIVATE_LINKS}" "${arg_PKG_REQUIRES}" "${arg_PKG_LIBS}")
    endif()
endfunction()

# Remembers which components this one stands on, and which find_dependency lines its users need.
function(_jobruntime_describe_links name links private_links needs)
    set(components "")
    set(foreign_public FALSE)
    foreach(link IN LISTS links private_links)
        if(link MATCHES "^jobruntime::(.+)$")
            list(APPEND components ${CMAKE_MATCH_1})
        elseif(link IN_LIST links)
            set(foreign_public TRUE)
        endif()
    endforeach()
    get_target_property(type jobruntime_${name} TYPE)
    # A shared library carries its private links itself; only what it shows must be found again.
    if(type STREQUAL "SHARED_LIBRARY" AND NOT foreign_public)
        set(needs "")
    endif()
    set_property(GLOBAL PROPERTY JOBRUNTIME_USES_${name} "${components}")
    set_property(GLOBAL PROPERTY JOBRUNTIME_NEEDS_${name} "${needs}")
endfunction()

function(_jobruntime_install_target name)
    set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/jobruntime)
    # What programs load is apart from what developers need, so that packages can be too.
    install(TARGETS jobruntime_${name} EXPORT jobruntime-${name} COMPONENT ${name}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${name}-runtime NAMELINK_COMPONENT ${name}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${name})
    install(EXPORT jobruntime-${name} NAMESPACE jobruntime:: DESTINATION ${package_dir}
        FILE jobruntime-${name}.cmake COMPONENT ${name})
    get_property(needs GLOBAL PROPERTY JOBRUNTIME_NEEDS_${name})
    list(JOIN needs "\n" needs)
    file(CONFIGURE OUTPUT jobruntime-${name}-needs.cmake CONTENT "@needs@\n" @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/jobruntime-${name}-needs.cmake DESTINATION ${package_dir} COMPONENT ${name})

    set(include_dir ${PROJECT_SOURCE_DIR}/lib/include/jobruntime)
    set(header_dir ${CMAKE_INSTALL_INCLUDEDIR}/jobruntime)
    if(name STREQUAL "core")
        file(GLOB headers CONFIGURE_DEPENDS ${include_dir}/*.hpp ${include_dir}/*.h)
        foreach(door IN LISTS JOBRUNTIME_ALL_COMPONENTS)
            list(REMOVE_ITEM headers ${include_dir}/${door}.hpp)
        endforeach()
        install(FILES ${headers} DESTINATION ${header_dir} COMPONENT core)
    else()
        install(FILES ${include_dir}/${name}.hpp DESTINATION ${header_dir} COMPONENT ${name} OPTIONAL)
        install(DIRECTORY ${include_dir}/${name} DESTINATION ${header_dir} COMPONENT ${name} OPTIONAL
            FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
    endif()
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/include)
        install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT ${name})
    endif()
endfunction()

# How pkg-config says a CMake target: a module that it knows, or plain linker flags.
function(_jobruntime_pkgconfig_name link out_requires out_libs)
    set(requires "")
    set(libs "")
    if(link STREQUAL "jobruntime::core")
        set(requires jobruntime)
    elseif(link MATCHES "^jobruntime::(.+)$")
        set(requires jobruntime-${CMAKE_MATCH_1})
    elseif(link MATCHES "^Boost::(json|container)$")
        set(libs -lboost_${CMAKE_MATCH_1})  # Boost has no pkg-config files.
        get_target_property(file ${link} LOCATION)
        get_filename_component(folder "${file}" DIRECTORY)
        if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
            list(PREPEND libs "-L${folder}")
        endif()
        if(link STREQUAL "Boost::json")
            list(APPEND libs -lboost_container)
        endif()
    elseif(link STREQUAL "Threads::Threads")
        set(libs -pthread)
    elseif(link STREQUAL "SQLite::SQLite3")
        set(requires sqlite3)
    elseif(link STREQUAL "CURL::libcurl")
        set(requires libcurl)
    elseif(link STREQUAL "ZLIB::ZLIB")
        set(requires zlib)
    elseif(link STREQUAL "OpenSSL::Crypto")
        set(requires libcrypto)
    elseif(link MATCHES "^spdlog::")
        set(requires spdlog)
    elseif(link MATCHES "^PkgConfig::(.+)$" AND DEFINED ${CMAKE_MATCH_1}_MODULE_NAME)
        set(requires ${${CMAKE_MATCH_1}_MODULE_NAME})
    elseif(link MATCHES "^[a-z0-9_]+$" AND NOT TARGET ${link})
        set(libs -l${link})
    endif()
    set(${out_requires} "${requires}" PARENT_SCOPE)
    set(${out_libs} "${libs}" PARENT_SCOPE)
endfunction()

function(_jobruntime_install_pkgconfig name links private_links pkg_requires pkg_libs)
    set(header_only CLI11::CLI11 Boost::headers Boost::describe)
    set(requires "")
    set(requires_private "${pkg_requires}")
    set(libs "")
    set(libs_private "${pkg_libs}")
    foreach(link IN LISTS links private_links)
        if(link IN_LIST header_only OR link MATCHES "^\\$<BUILD_INTERFACE:")
            continue()
        endif()
        _jobruntime_pkgconfig_name("${link}" link_requires link_libs)
        if(NOT link_requires AND NOT link_libs AND NOT pkg_requires AND NOT pkg_libs)
            message(FATAL_ERROR "jobruntime_component(${name}): pkg-config's name of ${link} is not known; "
                "say it with PKG_REQUIRES (a module) or PKG_LIBS (linker flags)")
        endif()
        if(link IN_LIST links)
            list(APPEND requires ${link_requires})
            list(APPEND libs ${link_libs})
        else()
            list(APPEND requires_private ${link_requires})
            list(APPEND libs_private ${link_libs})
        endif()
    endforeach()
    get_target_property(type jobruntime_${name} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
        # There is only the archive, so every program needs its private links too, with --static or without.
        list(APPEND requires ${requires_private})
        list(APPEND libs ${libs_private})
        set(requires_private "")
        set(libs_private "")
    endif()
    set(pc_name jobruntime-${name})
    if(name STREQUAL "core")
        set(pc_name jobruntime)
    endif()
    get_target_property(file jobruntime_${name} OUTPUT_NAME)
    if(NOT file)
        set(file jobruntime_${name})
    endif()
    set(cflags "")
    if("-pthread" IN_LIST libs)
        set(cflags " -pthread")
    endif()
    foreach(variable requires requires_private libs libs_private)
        list(REMOVE_DUPLICATES ${variable})
    endforeach()
    list(JOIN requires ", " requires)
    list(JOIN requires_private ", " requires_private)
    list(JOIN libs " " libs)
    list(JOIN libs_private " " libs_private)
    # Relative to the file, so that an installed tree may be moved.
    file(RELATIVE_PATH up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    string(REGEX REPLACE "/$" "" up "${up}")
    set(libdir "\${prefix}")
    set(includedir "\${prefix}")
    cmake_path(APPEND libdir ${CMAKE_INSTALL_LIBDIR})
    cmake_path(APPEND includedir ${CMAKE_INSTALL_INCLUDEDIR})
    string(CONCAT content
        "prefix=\${pcfiledir}/${up}\nlibdir=${libdir}\nincludedir=${includedir}\n\n"
        "Name: ${pc_name}\nDescription: ${PROJECT_DESCRIPTION} (${name})\nVersion: ${PROJECT_VERSION}\n"
        "Requires: ${requires}\nRequires.private: ${requires_private}\n"
        "Cflags: -I\${includedir}${cflags}\nLibs: -L\${libdir} -l${file} ${libs}\nLibs.private: ${libs_private}\n")
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${pc_name}.pc "${content}")
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${pc_name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${name})
endfunction()

# Writes the package files that know of all components; called once, after the last of them.
function(jobruntime_package)
    if(NOT JOBRUNTIME_INSTALL)
        return()
    endif()
    get_property(built GLOBAL PROPERTY JOBRUNTIME_COMPONENTS)
    set(uses "")
    foreach(name IN LISTS built)
        get_property(components GLOBAL PROPERTY JOBRUNTIME_USES_${name})
        string(APPEND uses "set(_jobruntime_uses_${name} ${components})\n")
    endforeach()
    set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/jobruntime)
    configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/jobruntimeConfig.cmake.in
        ${CMAKE_CURRENT_BINARY_DIR}/jobruntimeConfig.cmake INSTALL_DESTINATION ${package_dir})
    # Before 1.0 a new minor version may change anything, as its SOVERSION says.
    write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/jobruntimeConfigVersion.cmake
        COMPATIBILITY SameMinorVersion)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/jobruntimeConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/jobruntimeConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT core)
endfunction()
