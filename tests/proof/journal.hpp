// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proof {

/// What a process says has happened, one line each, which survives its kill: a line that is only half
/// there was never said. Several threads may write.
class Journal {
public:
    /// Appends; drops a half line that an earlier process has left. `synced`: each line is on disk before write()
    /// returns.
    Journal(const std::string& path, bool synced);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;
    /// "<word> <nanoseconds of the machine's steady clock> <rest>".
    void write(char word, std::string_view rest);

private:
    int fd_ = -1;
    bool synced_ = false;
};

struct Line {
    char word = 0;
    std::int64_t at = 0;
    std::vector<std::string> rest;
};
/// All whole lines of a journal; none when there is no such file.
std::vector<Line> read_journal(const std::string& path);

}  // namespace proof
