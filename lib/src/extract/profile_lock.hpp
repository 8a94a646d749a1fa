// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

namespace jobruntime::extract {

/// Holds a browser profile for as long as it lives. Our own lock is a flock on `<profile>/.jobrt.lock`, which
/// dies with its holder; beside it Chromium's own marks are heeded, so that no other browser's profile is
/// disturbed.
class ProfileLock {
public:
    /// Makes the directory when missing, sets it to 0700, takes the lock, and removes Chromium's marks when
    /// their browser is gone. Waits up to three seconds for a browser that is just leaving because its own
    /// worker died. BROWSER_PROFILE_IN_USE: Errc::unavailable (one of us) or conflict (another program);
    /// BROWSER_LAUNCH_FAILED.
    static Result<ProfileLock> take(const std::string& profile, const std::stop_token& stop);
    /// Leaves the browser's pid in the lock file, for the next holder to recognise it.
    void note_browser(int pid) const;

private:
    explicit ProfileLock(Fd file) : file_(std::move(file)) {}
    Fd file_;
};

}  // namespace jobruntime::extract
