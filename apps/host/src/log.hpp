// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string_view>

#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime::host {

/// The program's log on stderr: one line an entry, as text or JSON; secrets are redacted. Thread-safe.
class Log {
public:
    explicit Log(std::string_view format);
    ~Log();
    /// From now on only lines of at least this weight: "info", "warn" or "error".
    void set_level(std::string_view level) const;
    void info(std::string_view line) const;
    void warn(std::string_view line) const;
    void error(std::string_view line) const;
    /// Events as log lines: the life of jobs and workers, without progress.
    TelemetrySink& sink() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime::host
