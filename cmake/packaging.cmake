# Debian packages, made by CPack: `cmake --preset package && cmake --build build/package --target package`.
#
#   libjobruntime<SOVERSION>   the shared libraries
#   libjobruntime-dev          headers, CMake package, pkg-config files
#   jobrt                      the programs, the media helper, systemd's units, the man page, the documents
if(NOT JOBRUNTIME_INSTALL OR NOT BUILD_SHARED_LIBS OR NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    return()  # Static archives make no library package, and paths in units and pkg-config are those of /usr.
endif()

set(soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(library_package libjobruntime${soversion})
set(here ${PROJECT_SOURCE_DIR}/apps/packaging)
get_property(built GLOBAL PROPERTY JOBRUNTIME_COMPONENTS)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_NAME jobruntime)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the jobruntime authors <maintainers@localhost>")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SECTION misc)

set(CPACK_COMPONENTS_ALL "")
foreach(component IN LISTS built)
    list(APPEND CPACK_COMPONENTS_ALL ${component}-runtime ${component})
    string(TOUPPER ${component} upper)
    set(CPACK_COMPONENT_${upper}-RUNTIME_GROUP libraries)
    set(CPACK_COMPONENT_${upper}_GROUP development)
endforeach()

set(CPACK_DEBIAN_LIBRARIES_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARIES_DESCRIPTION "durable job runtime for C++ (shared libraries)
 Enqueue a job, and it is never lost: it runs in this process or in another one,
 and every step can be watched. SQLite inside, MongoDB for several machines.")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/packaging/triggers CONTENT "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARIES_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/packaging/triggers)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libjobruntime-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
# What public headers include; a shared library carries its other links itself.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${library_package} (= ${PROJECT_VERSION}), libboost-json1.81-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libcpp-httplib-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "durable job runtime for C++ (development files)
 Headers, CMake package (find_package(jobruntime COMPONENTS ...)) and pkg-config
 files.")

set(CPACK_COMPONENT_PROGRAMS_GROUP programs)
if(JOBRUNTIME_APPS)
    list(APPEND CPACK_COMPONENTS_ALL programs)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME jobrt)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_DEPENDS "${library_package} (= ${PROJECT_VERSION}), adduser")
    # Only a worker needs them; a host that runs the API alone installs with --no-install-recommends.
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_RECOMMENDS "chromium, ca-certificates")
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SUGGESTS "ffmpeg, sqlite3")
    set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION "saves the videos of posts, durably
 Give it the address of a post or of any page with a video, and it saves the
 video: HTTP API, worker, or both, on the durable job runtime.")
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_CONTROL_EXTRA
        ${here}/debian/postinst ${here}/debian/prerm ${here}/debian/postrm)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/packaging/conffiles CONTENT "/etc/default/jobrt\n")
    list(APPEND CPACK_DEBIAN_PROGRAMS_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/packaging/conffiles)
endif()
# The programs link our own libraries, which no installed package provides yet.
set(private_dirs "")
foreach(component IN LISTS built)
    list(APPEND private_dirs $<TARGET_FILE_DIR:jobruntime_${component}>)
endforeach()
list(REMOVE_DUPLICATES private_dirs)
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/packaging/private_dirs.cmake
    CONTENT "set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS \"${private_dirs}\")\n")
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/packaging/private_dirs.cmake)

include(CPack)
cpack_add_component_group(libraries)
cpack_add_component_group(development)
cpack_add_component_group(programs)
