// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "log.hpp"

#include <string>

#include <boost/json/serialize.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace jobruntime::host {
namespace {

class LogSink final : public TelemetrySink {
public:
    explicit LogSink(const Log& log) : log_(log) {}
    void emit(const Event& event, bool) noexcept override try {
        if (event.name == "worker.job.progress" || event.name == "worker.job.download.progress") return;
        std::string line = event.name;
        if (event.job) line += " job=" + event.job.str();
        for (const auto& field : event.fields) {
            line += ' ';
            line += field.key();
            line += '=';
            line += boost::json::serialize(field.value());
        }
        if (event.level == Level::info) log_.info(line);
        if (event.level == Level::warn) log_.warn(line);
        if (event.level == Level::error) log_.error(line);
    } catch (...) {
        // A line that cannot be written is lost; the job goes on.
    }

private:
    const Log& log_;
};

}  // namespace

struct Log::Impl {
    explicit Impl(bool as_json) : json(as_json), logger("jobrt", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
        logger.set_pattern(json ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    }
    void write(spdlog::level::level_enum level, std::string_view name, std::string_view line) {
        const std::string safe = redact(line);
        if (!json) return logger.log(level, safe);
        const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
        logger.log(level, boost::json::serialize(boost::json::object{
                              {"ts", to_iso(now)}, {"level", name}, {"message", safe}}));
    }
    bool json;
    spdlog::logger logger;
    std::unique_ptr<LogSink> sink;
};

Log::Log(std::string_view format) : impl_(std::make_unique<Impl>(format == "json")) {
    impl_->sink = std::make_unique<LogSink>(*this);
}
Log::~Log() = default;

void Log::set_level(std::string_view level) const {
    impl_->logger.set_level(level == "error" ? spdlog::level::err
                            : level == "warn" ? spdlog::level::warn
                                              : spdlog::level::info);
}

void Log::info(std::string_view line) const { impl_->write(spdlog::level::info, "info", line); }
void Log::warn(std::string_view line) const { impl_->write(spdlog::level::warn, "warn", line); }
void Log::error(std::string_view line) const { impl_->write(spdlog::level::err, "error", line); }
TelemetrySink& Log::sink() const { return *impl_->sink; }

}  // namespace jobruntime::host
