// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>

#include <jobruntime/result.hpp>

namespace jobruntime::jobrt {

/// Makes a test picture with a tone, of so many seconds, with ffmpeg. FFMPEG_NOT_FOUND, FFMPEG_FAILED.
Result<void> make_clip(const std::string& path, int seconds);

/// A page with the clip at `clip`, on a loopback port of its own as long as the object lives.
class DemoSite {
public:
    explicit DemoSite(std::string clip);
    ~DemoSite();
    /// The page's address.
    Result<std::string> start();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime::jobrt
