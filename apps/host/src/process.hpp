// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "cli.hpp"

namespace jobruntime::host {

/// What the parts of one serving process share. Outlives them.
struct Process {
    const Invocation& in;
    Store& store;
    Clock& clock;
    TelemetrySink& sink;
    std::string started_at;               ///< ISO.
    std::function<void(int code)> quit;   ///< Ends the process in good order with this exit code; from any thread.
};

/// The API or the worker of a process.
class Part {
public:
    virtual ~Part() = default;
    virtual Result<void> start() = 0;
    /// Ends in good order; may take the grace time.
    virtual void stop() = 0;
    /// Beside a stop() that takes too long.
    virtual void stop_now() {}
    /// Whether it runs handlers, which have a time of their own to end. Does not wait.
    virtual bool busy() { return false; }
    /// Reads of `fresh` what may change while it runs (Setting::live, and the file's structure) and changes nothing yet;
    /// the rest is not looked at. The answer takes it over, and cannot fail; it is called once or not at all, at once.
    virtual Result<std::function<void()>> prepare(const Config& fresh) = 0;
    /// Rises while the part is alive, as Heartbeat::rounds(); one that stands still for minutes means that it hangs.
    virtual std::uint64_t pulse() = 0;
    /// Addresses it serves.
    virtual std::vector<std::string> urls() const { return {}; }
};
using PartFactory = std::function<std::unique_ptr<Part>(Process&)>;

/// What a program was linked with; a role without its factory is refused.
struct Parts {
    PartFactory api;
    PartFactory worker;
};

/// Opens the configured store. The message of an error names the variable to check, never a password.
/// `log` outlives the store.
Result<std::unique_ptr<Store>> open_store(const Config& config, Origin origin, const Log& log);
/// The store's address without secrets, for people.
std::string store_name(const Config& config);
/// Where progress and log lines go, as sessions say it.
std::string_view sink_name(const Config& config);

/// Runs the roles that the configuration asks for until a signal; returns the exit code.
int serve(const Invocation& in, const Parts& parts);

}  // namespace jobruntime::host
