// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include <boost/json/object.hpp>
#include <jobruntime/result.hpp>

#include "commands.hpp"
#include "process.hpp"

// What `jobrt save` does the same way on the store and through an API. A job is its JSON here, as the API
// shows it.
namespace jobruntime::jobrt {

/// Shows a job's way to its end: one line that moves on a terminal, else a line whenever the stage changes.
class ProgressView {
public:
    explicit ProgressView(bool quiet);
    void show(const boost::json::object& job);
    void end() const;

private:
    bool quiet_;
    bool terminal_;
    std::string last_;
};

/// A job that `save` follows, in the store or through an API.
struct Saving {
    std::string id;
    bool already = false;      ///< It was completed before this command.
    std::string download_dir;  ///< Where its file will lie.
    /// Blocks until the job is final; Errc::canceled when asked to stop.
    std::function<Result<boost::json::object>(ProgressView& view, std::stop_token stop)> follow;
    /// What does this job here, and is stopped once its outcome was told; nullptr when somebody else does it. To be
    /// asked after `follow`, which may start it.
    std::function<host::Part*()> worker = [] { return nullptr; };
};

/// Puts the job in by `begin`, follows it until its end or a signal, and tells its outcome; the exit code. A signal
/// is obeyed at any moment.
int see_through(const Invocation& in, const std::function<Result<Saving>()>& begin);

/// `save --api`: the API puts the job in, its worker does it.
int save_through_api(const Invocation& in);

}  // namespace jobruntime::jobrt
