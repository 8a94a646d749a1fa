// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/telemetry_sink.hpp>
#include <jobruntime/worker.hpp>

namespace jobruntime::host {

/// What a program of your own adds to jobrt. Everything may be left empty.
struct Setup {
    /// Called for each worker before it starts: register your handlers with `worker.on…`.
    std::function<void(Worker& worker)> handlers;
    /// Your extractors, tried for every platform before the built-in ones, in this order. An extractor that does not
    /// feel responsible answers UNSUPPORTED_SOURCE, and the next one is asked. A platform's list in JOBRT_CONFIG that has
    /// the name() of one takes it in its place there, with the list's time-out, attempts and codes. main() refuses two of
    /// one name, an empty one, and those of the built-in ones.
    std::vector<std::shared_ptr<Extractor>> extractors;
    /// Further places for events, besides the store; they outlive main().
    std::vector<TelemetrySink*> sinks;
    std::string name = "jobrt";  ///< In --help, log lines and /api/health.
};

/// A whole program: reads flags, environment, .env and configuration file, opens the store, serves the
/// HTTP API, works, or both, by ROLE, until SIGTERM or SIGINT. Returns the exit code of docs/configuration.md:
/// 0 stopped cleanly · 1 failed · 2 usage or configuration · 69 port taken or store unusable at start ·
/// 70 lost handler threads · 130 after a second signal. It sets signal handling for the whole process, so call it from
/// main(), before other threads start:
///
///     int main(int argc, char** argv) {
///         return jobruntime::host::main(argc, argv, {.handlers = [](jobruntime::Worker& worker) { … }});
///     }
JOBRUNTIME_API int main(int argc, char** argv, Setup setup = {});

}  // namespace jobruntime::host
