// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <jobruntime/subprocess.hpp>

namespace proof {

/// How much of the full counts to do: JOBRT_TEST_SCALE percent, at least `least`.
int scaled(int full, int least = 1);

/// A folder that is gone afterwards, on the disk of the build (or below `base`).
class Folder {
public:
    explicit Folder(const std::string& base = "");
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string operator/(const std::string& name) const { return path + "/" + name; }
    std::string path;
};

/// One actor process, started again whenever it was killed.
class ActorProcess {
public:
    /// `arguments` are those of proof_actor; `environment` as "NAME=value".
    ActorProcess(std::vector<std::string> arguments, std::vector<std::string> environment = {});
    void start();
    void kill();                ///< SIGKILL, and waits until it is gone.
    void signal(int number);    ///< To the process.
    /// SIGTERM; false when it does not end well within `limit`.
    bool stop(std::chrono::seconds limit = std::chrono::seconds(60));
    bool running() const { return child_.has_value(); }
    /// Whether it has ended by itself.
    bool ended();

private:
    std::vector<std::string> arguments_, environment_;
    std::optional<jobruntime::Subprocess> child_;
};

/// True once `what` is, false when it is not within `limit`.
bool eventually(const std::function<bool()>& what, std::chrono::milliseconds limit = std::chrono::seconds(60));

}  // namespace proof
