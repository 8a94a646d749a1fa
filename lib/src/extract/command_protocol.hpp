// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/extractor.hpp>

// The messages of the command extractor, without a process in sight. Pure; tested as a table.
namespace jobruntime::extract {

/// The request as one line, with its line end.
std::string command_request(const ExtractRequest& request);

/// Takes a program's lines one after another and keeps its one answer.
class CommandAnswer {
public:
    CommandAnswer(const ExtractRequest& request, std::function<void(std::string_view line)> log)
        : request_(request), log_(std::move(log)) {}

    /// EXTRACTOR_PROTOCOL: garbage, or a second answer.
    Result<void> take(std::string_view line);

    bool answered() const { return answer_.has_value(); }
    int answers() const { return answers_; }
    int lines() const { return lines_; }
    bool garbage() const { return garbage_; }
    /// The answer as far as the text goes; nothing when none has come.
    std::optional<Result<MediaInfo>> answer() const { return answer_; }

private:
    Result<void> refuse(std::string message);
    void progress(const boost::json::object& message) const;

    const ExtractRequest& request_;
    const std::function<void(std::string_view line)> log_;
    std::optional<Result<MediaInfo>> answer_;
    int answers_ = 0;
    int lines_ = 0;
    int logged_ = 0;
    bool garbage_ = false;
};

}  // namespace jobruntime::extract
