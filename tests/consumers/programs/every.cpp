// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Sees the doors of all components that are there. The build links each of them whole, so a
// dependency that the package forgot is a link error.
#include <cstdio>

#include <jobruntime/result.hpp>
#if __has_include(<jobruntime/sqlite.hpp>)
#include <jobruntime/sqlite.hpp>
#endif
#if __has_include(<jobruntime/mongo.hpp>)
#include <jobruntime/mongo.hpp>
#endif
#if __has_include(<jobruntime/http.hpp>)
#include <jobruntime/http.hpp>
#endif
#if __has_include(<jobruntime/net.hpp>)
#include <jobruntime/net.hpp>
#endif
#if __has_include(<jobruntime/extract.hpp>)
#include <jobruntime/extract.hpp>
#endif
#if __has_include(<jobruntime/media.hpp>)
#include <jobruntime/media.hpp>
#endif
#if __has_include(<jobruntime/host.hpp>)
#include <jobruntime/host.hpp>
#endif

int main() { return std::puts(to_string(jobruntime::Errc::full).data()) < 0; }
